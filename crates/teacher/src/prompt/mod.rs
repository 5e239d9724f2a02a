//! Prompts: how a sentence is put to the teacher.
//!
//! A template is a Minijinja text (the syntax of Jinja 2). It is filled in with:
//!
//! | variable | what |
//! |---|---|
//! | `sentence` | the text to annotate |
//! | `fence` | eight hexadecimal digits that do not stand in `sentence`: a tag such as `<text-{{ fence }}>` cannot be closed from inside |
//! | `labels` | the names of the types |
//! | `types` | the types, each with `name`, `description`, `examples`, `exclusions`, and all that in sentences: `definition` |
//! | `about` | the kind of text, such as `news text` |
//! | `exclusions` | phrases: what not to mark |
//! | `hints` | sentences: how to decide between types |
//! | `contexts` | kinds of sentence |
//! | `examples` | those of the label set, then those chosen from a pool, each with `sentence`, `entities` (of `text` and `type`), `answer` (these as JSON), `reasoning` (none for those of a pool) and `fence` |
//!
//! besides Minijinja's own filters, `types | length | in_words` ("four") and `exclusions | listed("or")` ("a, b, or c"). A
//! line that holds only a `{% … %}` leaves no empty line.
//!
//! A line `--- user ---` parts the system message from the message of the user; without it, everything is one message of
//! the user. A name that is set in one part is not known in the other.
//!
//! Before the first request is paid for, the template is filled in with made-up sentences: unknown variables and attributes
//! are errors that name them, and so is a message of the user that does not depend on the sentence. The sentence is data;
//! nothing inside it is read as template.
//!
//! Examples of a pool have no reasoning. `cot@1` shows them with the answer alone; `cot@2` says at each that its steps are
//! left out and that the teacher has to write them. Those of the label set, which have their steps, come first.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{LabelSet, Prompt, Strategy};
//! let template = "Names of {{ labels | listed('or') }}?\n--- user ---\n{{ sentence }}".to_owned();
//! let custom = Strategy::Custom { name: "terse".into(), template, reasons: false };
//! let prompt = Prompt::new(&custom, &LabelSet::default()).unwrap();
//! let request = prompt.request(&Sentence::from_words("s1", ["{{", "Rome"]), "m").unwrap();
//! assert_eq!(request.messages[0].content, "Names of PER, LOC, ORG, or MISC?");
//! assert_eq!(request.messages[1].content, "{{ Rome");
//! ```

mod fence;
mod strategy;
mod template;

use std::fmt::Write as _;
use std::sync::Arc;

use apprentice_core::Sentence;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use thiserror::Error;

pub use strategy::{Strategy, UnknownStrategy, Version};

use self::template::{Template, VARIABLES};
use crate::{EntityType, Example, Examples, LabelSet, Mention, Message, Request, Role};

/// What is wrong with a template, or with a template and its examples.
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
    /// More than two messages.
    #[error("prompt template {name} has the line `--- user ---` twice, in lines {first} and {second}; take one out")]
    Split {
        /// The template.
        name: String,
        /// The first of the lines, from 1.
        first: usize,
        /// The second.
        second: usize,
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
    #[error("prompt template {name} uses {}, expected only {}; correct the name or take it out", quoted(found), quoted(&VARIABLES))]
    UnknownVariables {
        /// The template.
        name: String,
        /// Their names, sorted.
        found: Vec<String>,
    },
    /// A template that does not show the sentence.
    #[error(
        "prompt template {name} asks the same whatever the sentence; put {{{{ sentence }}}} into the message of the user"
    )]
    NoSentence {
        /// The template.
        name: String,
    },
    /// A template that fails on any sentence.
    #[error("prompt template {name} cannot be filled in, tried with a made-up sentence")]
    Trial {
        /// The template.
        name: String,
        /// Where and why.
        #[source]
        source: minijinja::Error,
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
    /// An example with a type that the rules do not define.
    #[error(
        "sentence {id} of the pool of examples has an entity of type {found}, expected one of {}; rename the type in the \
         pool, or add it to the label set {set}", .labels.join(", ")
    )]
    ExampleType {
        /// The sentence.
        id: String,
        /// The type.
        found: Arc<str>,
        /// The label set.
        set: String,
        /// Its types.
        labels: Vec<Arc<str>>,
    },
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A label set as templates see it.
#[derive(Serialize)]
struct Rules<'a> {
    about: &'a str,
    labels: Vec<Arc<str>>,
    types: Vec<Type<'a>>,
    exclusions: &'a [String],
    hints: &'a [String],
    contexts: &'a [String],
}

/// A type as templates see it.
#[derive(Serialize)]
struct Type<'a> {
    #[serde(flatten)]
    fields: &'a EntityType,
    definition: String,
}

impl<'a> From<&'a LabelSet> for Rules<'a> {
    fn from(set: &'a LabelSet) -> Self {
        let LabelSet { about, types, exclusions, hints, contexts, .. } = set;
        let types = types.iter().map(|fields| Type { fields, definition: fields.definition() }).collect();
        Self { about, labels: set.labels(), types, exclusions, hints, contexts }
    }
}

/// An example as templates see it.
#[derive(Serialize)]
struct Shown<'a> {
    sentence: &'a str,
    entities: &'a [Mention],
    answer: String,
    reasoning: Option<&'a str>,
    fence: String,
}

impl<'a> From<&'a Example> for Shown<'a> {
    fn from(Example { sentence, entities, reasoning }: &'a Example) -> Self {
        let fence = fence::code(sentence);
        Self { sentence, entities, answer: answer(entities), reasoning: reasoning.as_deref(), fence }
    }
}

/// The answer that these mentions are: JSON with a blank after each colon and comma, as prompts have had it since their
/// first version.
fn answer(mentions: &[Mention]) -> String {
    let mut json = String::from("{\"entities\": [");
    for (index, Mention { text, label }) in mentions.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let (text, label) = (serde_json::Value::from(text.as_str()), serde_json::Value::from(label.as_str()));
        let _ = write!(json, "{comma}{{\"text\": {text}, \"type\": {label}}}");
    }
    json + "]}"
}

/// What a strategy is called where the teacher has checked its answers.
#[must_use]
pub fn checked(strategy: &str) -> Arc<str> {
    format!("{strategy}+check").into()
}

/// A template that is ready to be filled in, with the label set and the examples to fill it with.
#[derive(Debug)]
pub struct Prompt {
    name: Arc<str>,
    reasons: bool,
    label_set: LabelSet,
    template: Template,
    /// The variables that are the same for every sentence.
    rules: Value,
    examples: Option<Examples>,
}

impl Prompt {
    /// The strategy's template for this label set, checked. Its examples are those of the label set.
    ///
    /// # Errors
    /// Every [`PromptError`] but `Render` and `ExampleType`; none for the built-in strategies.
    pub fn new(strategy: &Strategy, label_set: &LabelSet) -> Result<Self, PromptError> {
        let name = strategy.name();
        if let Strategy::Custom { .. } = strategy {
            // `standard@9` may become a version one day.
            let base = name.split('@').next().unwrap_or_default().trim();
            if ["", "standard", "cot"].contains(&base) {
                return Err(PromptError::Name { found: name.to_owned() });
            }
        }
        let prompt = Self {
            name: name.into(),
            reasons: strategy.reasons(),
            template: Template::new(name, strategy.template())?,
            rules: Value::from(Serde(Rules::from(label_set))),
            label_set: label_set.clone(),
            examples: None,
        };
        prompt.try_out()?;
        Ok(prompt)
    }

    /// The same prompt, which also shows examples from a pool.
    ///
    /// # Errors
    /// [`PromptError::ExampleType`] if the pool has types that the label set lacks.
    pub fn with_examples(mut self, examples: Examples) -> Result<Self, PromptError> {
        let labels = self.label_set.labels();
        if let Some((sentence, label)) = examples.pool().outside(&labels) {
            let (id, found) = (sentence.id().to_owned(), label.clone());
            return Err(PromptError::ExampleType { id, found, set: self.label_set.name, labels });
        }
        self.examples = Some(examples);
        Ok(self)
    }

    /// The strategy's name, as transcripts have it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the teacher reasons before it answers.
    #[must_use]
    pub const fn reasons(&self) -> bool {
        self.reasons
    }

    /// What the teacher is told to mark.
    #[must_use]
    pub const fn label_set(&self) -> &LabelSet {
        &self.label_set
    }

    /// The JSON schema of an answer, with a place for the reasoning if there is any.
    #[must_use]
    pub fn schema(&self) -> serde_json::Value {
        if self.reasons { self.label_set.reasoning_schema() } else { self.label_set.schema() }
    }

    /// The question that puts `sentence` to `model`, with the examples that are chosen for it.
    ///
    /// # Errors
    /// [`PromptError::Render`] if the template fails on this sentence.
    pub fn request(&self, sentence: &Sentence, model: impl Into<Arc<str>>) -> Result<Request, PromptError> {
        let chosen = self.examples.iter().flat_map(|examples| examples.choose(sentence));
        let chosen: Vec<Example> = chosen.map(Example::from).collect();
        let variables = self.variables(sentence.text(), &fence::code(sentence.text()), &chosen);
        let messages = self.template.render(&variables).map_err(|source| PromptError::Render {
            name: self.name.to_string(),
            id: sentence.id().to_owned(),
            source,
        })?;
        Ok(Request::new(model, messages).about(sentence.id(), self.name.clone(), sentence.text()))
    }

    /// The question that puts `answer` to the model that gave it to `request`, to be checked and given again, whole and in
    /// the same form. The strategy is called as before with `+check` behind it.
    ///
    /// A second look at one's own answer is known to help reasoning (Madaan et al. 2023, arXiv 2303.17651) and to remove
    /// names that are none (Wang et al. 2023, arXiv 2304.10428, who ask about each entity by itself).
    #[must_use]
    pub fn check(request: &Request, answer: &str) -> Request {
        let mut check = request.clone();
        check.strategy = checked(&request.strategy);
        let say = |role, content: &str| Message { role, content: content.to_owned() };
        check.messages.push(say(Role::Assistant, answer));
        check.messages.push(say(Role::User, include_str!("../../prompts/check-1.md").trim_end()));
        check
    }

    fn variables(&self, sentence: &str, fence: &str, chosen: &[Example]) -> Value {
        let examples: Vec<Shown> = self.label_set.examples.iter().chain(chosen).map(Shown::from).collect();
        context! { sentence, fence, examples => Serde(examples), ..self.rules.clone() }
    }

    /// Fills the template in for made-up sentences, with and without an example from a pool.
    fn try_out(&self) -> Result<(), PromptError> {
        let name = || self.name.to_string();
        let label = self.label_set.types.first().map_or(String::new(), |t| t.name.to_string());
        let entities = vec![Mention { text: "Oslo".to_owned(), label }];
        let example = [Example { sentence: "Rain fell on Oslo .".to_owned(), entities, reasoning: None }];
        // The fence is held still: a message that differs by it alone does not show the sentence.
        let try_with = |sentence: &str, chosen: &[Example]| {
            let messages = self.template.render(&self.variables(sentence, "00000000", chosen));
            messages.map_err(|source| PromptError::Trial { name: name(), source })
        };
        try_with("Mia Torres sings .", &[])?;
        let (first, second) = (try_with("Mia Torres sings .", &example)?, try_with("Rain is wet", &example)?);
        if first.last() == second.last() {
            return Err(PromptError::NoSentence { name: name() });
        }
        Ok(())
    }
}
