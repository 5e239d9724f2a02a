//! Prompt strategies: how a sentence is put to the teacher.
//!
//! A template is a Minijinja text with the one variable `sentence`. Any other variable is an error that names it, and so
//! is a template that never shows the sentence: both are found before the first request is paid for. The sentence is
//! data; nothing inside it is read as template.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{Prompt, Strategy};
//! let custom = Strategy::Custom { name: "terse".into(), template: "Names in: {{ sentence }}".into() };
//! let request = Prompt::new(&custom).unwrap().request(&Sentence::from_words("s1", ["{{", "Rome"]), "m").unwrap();
//! assert_eq!(request.messages[0].content, "Names in: {{ Rome");
//! assert_eq!(Strategy::Standard.version(), Some(1));
//! ```

use std::sync::Arc;

use apprentice_core::Sentence;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Message, Request, Role};

/// The one variable of a template.
const VARIABLE: &str = "sentence";

/// The entity types that the built-in templates define.
#[must_use]
pub fn default_labels() -> Vec<Arc<str>> {
    ["PER", "LOC", "ORG", "MISC"].map(Arc::from).into()
}

/// How a sentence is put to the teacher.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A few examples, answer only.
    #[default]
    Standard,
    /// Chain of thought: four steps of reasoning, then the answer.
    Cot,
    /// A user's own template.
    Custom {
        /// What transcripts and reports call it.
        name: String,
        /// Minijinja text with the variable `sentence`.
        template: String,
    },
}

impl Strategy {
    /// What transcripts and reports call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Standard => "standard",
            Self::Cot => "cot",
            Self::Custom { name, .. } => name,
        }
    }

    /// The version of a built-in template's wording, which goes up whenever the wording changes. A user's template has
    /// none: it is known by its text.
    #[must_use]
    pub const fn version(&self) -> Option<u32> {
        match self {
            Self::Standard | Self::Cot => Some(1),
            Self::Custom { .. } => None,
        }
    }

    /// The template's text.
    #[must_use]
    pub fn template(&self) -> &str {
        match self {
            Self::Standard => include_str!("../prompts/standard.md"),
            Self::Cot => include_str!("../prompts/cot.md"),
            Self::Custom { template, .. } => template,
        }
    }
}

/// What is wrong with a user's template.
#[derive(Debug, Error)]
pub enum PromptError {
    /// A name that is empty or that of a built-in strategy.
    #[error(
        "a template of your own needs a name of its own, found {found:?}; choose one that is not empty, `standard` or `cot`"
    )]
    Name {
        /// The name.
        found: String,
    },
    /// Not Minijinja.
    #[error("prompt template {name} is not valid Minijinja")]
    Syntax {
        /// The template.
        name: String,
        /// Where and why.
        #[source]
        source: minijinja::Error,
    },
    /// Variables that nobody fills in.
    #[error("prompt template {name} uses {found}, expected only `{VARIABLE}`; correct the name or take it out", found = found.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "))]
    UnknownVariables {
        /// The template.
        name: String,
        /// Their names, sorted.
        found: Vec<String>,
    },
    /// A template that does not show the sentence.
    #[error(
        "prompt template {name} never uses `{VARIABLE}`, so every sentence would get the same prompt; put {{{{ {VARIABLE} }}}} into it"
    )]
    NoSentence {
        /// The template.
        name: String,
    },
    /// A template that fails on a sentence.
    #[error("prompt template {name} cannot be filled in for sentence {id}")]
    Render {
        /// The template.
        name: String,
        /// The sentence.
        id: String,
        /// Where and why.
        #[source]
        source: minijinja::Error,
    },
}

/// A template that is ready to be filled in.
#[derive(Debug)]
pub struct Prompt {
    name: Arc<str>,
    environment: Environment<'static>,
}

impl Prompt {
    /// The strategy's template, checked.
    ///
    /// # Errors
    /// Every [`PromptError`] but `Render`; none for the built-in strategies.
    pub fn new(strategy: &Strategy) -> Result<Self, PromptError> {
        let name = strategy.name().to_owned();
        if let Strategy::Custom { .. } = strategy
            && (name.trim().is_empty() || [Strategy::Standard, Strategy::Cot].iter().any(|s| s.name() == name))
        {
            return Err(PromptError::Name { found: name });
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let parsed = environment.add_template_owned(name.clone(), strategy.template().to_owned());
        parsed.map_err(|source| PromptError::Syntax { name: name.clone(), source })?;
        let template = environment.get_template(&name);
        let mut used =
            template.map_err(|source| PromptError::Syntax { name: name.clone(), source })?.undeclared_variables(false);
        if !used.remove(VARIABLE) {
            return Err(PromptError::NoSentence { name });
        }
        used.retain(|variable| !environment.globals().any(|(global, _)| global == variable));
        if !used.is_empty() {
            let mut found: Vec<_> = used.into_iter().collect();
            found.sort();
            return Err(PromptError::UnknownVariables { name, found });
        }
        Ok(Self { name: name.into(), environment })
    }

    /// The strategy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The question that puts `sentence` to `model`.
    ///
    /// # Errors
    /// [`PromptError::Render`] if the template fails, such as by a filter that does not fit.
    pub fn request(&self, sentence: &Sentence, model: impl Into<Arc<str>>) -> Result<Request, PromptError> {
        let rendered = self
            .environment
            .get_template(&self.name)
            .and_then(|template| template.render(context! { sentence => sentence.text() }));
        let content = rendered.map_err(|source| PromptError::Render {
            name: self.name.to_string(),
            id: sentence.id().to_owned(),
            source,
        })?;
        Ok(Request::new(model, vec![Message { role: Role::User, content }]).about(
            sentence.id(),
            self.name.clone(),
            sentence.text(),
        ))
    }
}
