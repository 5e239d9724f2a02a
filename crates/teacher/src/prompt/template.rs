//! Templates: text with variables, one message or two.

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use crate::{Message, PromptError, Role};

/// The line between the system message and the message of the user.
const SPLIT: &str = "--- user ---";

/// The variables that a template may use.
pub(super) const VARIABLES: [&str; 9] =
    ["about", "contexts", "examples", "exclusions", "fence", "hints", "labels", "sentence", "types"];

/// A template whose syntax and variables are known to be right.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    /// Role and name in the environment of each message.
    parts: Vec<(Role, String)>,
}

impl Template {
    /// Cuts `text` into messages and checks each.
    ///
    /// # Errors
    /// [`PromptError`] `Split`, `Syntax`, `UnknownVariables` or `NoSentence`.
    pub(super) fn new(name: &str, text: &str) -> Result<Self, PromptError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // By default, a template whose name ends in `.json` or `.html` would be escaped.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let lines = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(lines.map_err(|source| PromptError::Syntax { name: name.to_owned(), source })?);
        environment.add_filter("in_words", in_words);
        environment.add_filter("listed", listed);
        let mut parts = Vec::new();
        let mut used = BTreeSet::new();
        for (role, source) in split(name, text)? {
            let part = if role == Role::System { format!("{name} (system)") } else { name.to_owned() };
            let syntax = |source| PromptError::Syntax { name: name.to_owned(), source };
            environment.add_template_owned(part.clone(), source).map_err(syntax)?;
            used.extend(environment.get_template(&part).map_err(syntax)?.undeclared_variables(false));
            parts.push((role, part));
        }
        let known = |variable: &str| {
            VARIABLES.contains(&variable) || environment.globals().any(|(global, _)| global == variable)
        };
        let found: Vec<String> = used.iter().filter(|variable| !known(variable)).cloned().collect();
        if !found.is_empty() {
            return Err(PromptError::UnknownVariables { name: name.to_owned(), found });
        }
        if !used.contains("sentence") {
            return Err(PromptError::NoSentence { name: name.to_owned() });
        }
        Ok(Self { environment, parts })
    }

    /// The messages, filled in.
    pub(super) fn render(&self, variables: &Value) -> Result<Vec<Message>, Error> {
        let fill = |(role, part): &(Role, String)| {
            let mut content = self.environment.get_template(part)?.render(variables)?;
            if *role == Role::System {
                content.truncate(content.trim_end_matches('\n').len());
            }
            Ok(Message { role: *role, content })
        };
        self.parts.iter().map(fill).collect()
    }
}

/// The source of each message. The message of the user keeps its lines' numbers, for the sake of error messages: what
/// stands before it becomes a comment.
fn split(name: &str, text: &str) -> Result<Vec<(Role, String)>, PromptError> {
    let lines = || text.lines().enumerate().filter(|(_, line)| line.trim_end() == SPLIT).map(|(index, _)| index + 1);
    let Some(line) = lines().next() else {
        return Ok(vec![(Role::User, text.to_owned())]);
    };
    if let Some(second) = lines().nth(1) {
        return Err(PromptError::Split { name: name.to_owned(), first: line, second });
    }
    let start = |line: usize| text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let (system, user) = (&text[..start(line - 1)], &text[start(line)..]);
    let user = format!("{{#{}-#}}{user}", "\n".repeat(line));
    let system = (!system.trim().is_empty()).then(|| (Role::System, system.to_owned()));
    Ok(system.into_iter().chain([(Role::User, user)]).collect())
}

/// A number as one writes it in a sentence.
fn in_words(number: usize) -> String {
    const WORDS: [&str; 13] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    WORDS.get(number).map_or_else(|| number.to_string(), |word| (*word).to_owned())
}

/// `a`, `a or b`, `a, b, or c`.
#[expect(clippy::needless_pass_by_value, reason = "filters take their arguments by value")]
fn listed(items: Vec<String>, conjunction: String) -> String {
    match &*items {
        [] => String::new(),
        [only] => only.clone(),
        [first, second] => format!("{first} {conjunction} {second}"),
        [first @ .., last] => format!("{}, {conjunction} {last}", first.join(", ")),
    }
}
