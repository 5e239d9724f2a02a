//! Label sets: what a teacher is told to mark, in a file of its own, so that another domain is no change to the program.
//!
//! A file is TOML. `name`, `about` and at least one type with a `name` and a `description` are needed, the rest is for
//! better answers:
//!
//! ```
//! use apprentice_teacher::LabelSet;
//! let text = r#"
//! name = "beer"
//! about = "reviews of beer"                        # "You are an expert annotator of named entities in …"
//! exclusions = ["prices", "grades"]                # phrases: "Do not mark …"
//! contexts = ["review", "advertisement"]           # kinds of text, for a chain of thought
//! hints = ["A beer named after its brewery is a BEER."]    # sentences: how to decide where types are near each other
//!
//! [[types]]
//! name = "BEER"
//! description = "the name of a beer"               # a phrase, without a full stop
//! examples = ["Old Heron"]
//! exclusions = ["Styles such as \"pale ale\" are not part of the name."]    # sentences
//!
//! [[examples]]
//! sentence = "Old Heron is worth its 4 euros ."
//! entities = [{ text = "Old Heron", type = "BEER" }]       # as written, in order
//! reasoning = "1. Context: review. …"              # shown where the strategy reasons
//! "#;
//! let set = LabelSet::parse(text, "beer.toml").unwrap();
//! assert_eq!((set.types.len(), &*set.labels()[0]), (1, "BEER"));
//! assert_eq!(set.types[0].definition(),
//!     "the name of a beer. For example: Old Heron. Styles such as \"pale ale\" are not part of the name.");
//! let error = LabelSet::parse(&text.replace("\"Old Heron\", type", "\"Old Crow\", type"), "beer.toml").unwrap_err();
//! assert_eq!(error.to_string(), "beer.toml: examples[0].entities[0].text is \"Old Crow\", expected text that stands in \
//!     the sentence, after the entity before it");
//! ```

use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{Example, Mention};

/// The built-in label sets and their files.
const BUILT_IN: [(&str, &str); 2] = [
    ("conll2003", include_str!("../label_sets/conll2003.toml")),
    ("wnut17", include_str!("../label_sets/wnut17.toml")),
];

/// The longest name of a type or set, in characters.
const LONGEST_NAME: usize = 64;

static DEFAULT: LazyLock<LabelSet> = LazyLock::new(|| {
    let (name, text) = BUILT_IN[0];
    LabelSet::parse(text, name).expect("a test reads every built-in label set: this is a bug")
});

/// The entity types of the label set `conll2003`.
#[must_use]
pub fn default_labels() -> Vec<Arc<str>> {
    DEFAULT.labels()
}

/// One entity type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityType {
    /// What tags and answers call it, such as `PER`.
    pub name: Arc<str>,
    /// What it covers, a phrase without a full stop.
    pub description: String,
    /// Some names of this type.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Sentences that say what is not of this type, or not part of the name.
    #[serde(default)]
    pub exclusions: Vec<String>,
}

impl EntityType {
    /// All that is said about the type, in sentences.
    #[must_use]
    pub fn definition(&self) -> String {
        let mut sentences = vec![format!("{}.", self.description)];
        if !self.examples.is_empty() {
            sentences.push(format!("For example: {}.", self.examples.join(", ")));
        }
        sentences.extend_from_slice(&self.exclusions);
        sentences.join(" ")
    }
}

/// What a teacher is told to mark, and in what. [`Self::parse`] and [`Self::read`] check what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSet {
    /// What reports call it.
    pub name: String,
    /// The kind of text, such as `news text`.
    pub about: String,
    /// The entity types, at least one, in the order of the prompt.
    pub types: Vec<EntityType>,
    /// Phrases that say what is no entity at all.
    #[serde(default)]
    pub exclusions: Vec<String>,
    /// Kinds of sentence in this kind of text, which a chain of thought chooses from.
    #[serde(default)]
    pub contexts: Vec<String>,
    /// Sentences that say how to decide between types.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Sentences with their answers.
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// Why there is no label set.
#[derive(Debug, Error)]
pub enum LabelSetError {
    /// A name that is not built in.
    #[error("no label set {found:?} is built in, expected {expected}, or give the TOML file of one", expected = LabelSet::names().collect::<Vec<_>>().join(" or "))]
    NotBuiltIn {
        /// The name.
        found: String,
    },
    /// A file that cannot be read.
    #[error("cannot read label set {file}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, or keys that are unknown, missing or of the wrong kind; the message names line and key.
    #[error("{file}: not a label set: {source}")]
    Toml {
        /// The file.
        file: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value that does not do.
    #[error("{file}: {key} is {found}, expected {expected}")]
    Value {
        /// The file.
        file: String,
        /// Which key, such as `types[2].name`, counted from 0.
        key: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

impl Default for LabelSet {
    /// `conll2003`.
    fn default() -> Self {
        DEFAULT.clone()
    }
}

impl LabelSet {
    /// The property of [`Self::reasoning_schema`] that holds the reasoning. A model writes the properties in the order in
    /// which the schema is sent, and must reason before it answers; but `serde_json` sorts the keys of an object, so
    /// the name has to come before `entities` in the alphabet.
    pub const REASONING: &str = "chain_of_thought";

    /// The names of the label sets that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The built-in label set `name`: `conll2003` or `wnut17`.
    ///
    /// # Errors
    /// [`LabelSetError::NotBuiltIn`].
    pub fn built_in(name: &str) -> Result<Self, LabelSetError> {
        let (name, text) = BUILT_IN
            .iter()
            .find(|(built_in, _)| *built_in == name)
            .ok_or_else(|| LabelSetError::NotBuiltIn { found: name.to_owned() })?;
        Self::parse(text, name)
    }

    /// The label set in the file at `path`.
    ///
    /// # Errors
    /// Every [`LabelSetError`] but `NotBuiltIn`.
    pub fn read(path: &Path) -> Result<Self, LabelSetError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(LabelSetError::Read { file, source }),
        }
    }

    /// The label set that `text` describes; errors call it `file`.
    ///
    /// # Errors
    /// [`LabelSetError::Toml`] or [`LabelSetError::Value`].
    pub fn parse(text: &str, file: &str) -> Result<Self, LabelSetError> {
        let set: Self = toml::from_str(text)
            .map_err(|source| LabelSetError::Toml { file: file.to_owned(), source: Box::new(source) })?;
        set.check().map_err(|Wrong { key, found, expected }| LabelSetError::Value {
            file: file.to_owned(),
            key,
            found,
            expected,
        })?;
        Ok(set)
    }

    /// The names of the types, in order.
    #[must_use]
    pub fn labels(&self) -> Vec<Arc<str>> {
        self.types.iter().map(|t| t.name.clone()).collect()
    }

    /// The JSON schema of an answer, `{"entities": [{"text", "type"}]}`: within the strict subset that `OpenAI`'s
    /// structured outputs accept (every object closed, every property required).
    ///
    /// ```
    /// let schema = apprentice_teacher::LabelSet::default().schema();
    /// assert_eq!(schema["properties"]["entities"]["items"]["properties"]["type"]["enum"][3], "MISC");
    /// ```
    #[must_use]
    pub fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "entities": self.entities_schema() },
            "required": ["entities"],
            "additionalProperties": false,
        })
    }

    /// The JSON schema of an answer that is reasoned before it is given: a text [`Self::REASONING`], then as
    /// [`Self::schema`].
    ///
    /// ```
    /// let schema = apprentice_teacher::LabelSet::default().reasoning_schema();
    /// assert_eq!(schema["required"][0], "chain_of_thought");
    /// ```
    #[must_use]
    pub fn reasoning_schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { Self::REASONING: { "type": "string" }, "entities": self.entities_schema() },
            "required": [Self::REASONING, "entities"],
            "additionalProperties": false,
        })
    }

    fn entities_schema(&self) -> Value {
        json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": { "type": "string" },
                    "type": { "type": "string", "enum": self.labels() },
                },
                "required": ["text", "type"],
                "additionalProperties": false,
            },
        })
    }
}

/// A value that does not do; [`LabelSetError::Value`] adds the file.
struct Wrong {
    key: String,
    found: String,
    expected: String,
}

impl Wrong {
    fn new(key: impl Into<String>, found: &str, expected: impl Into<String>) -> Self {
        Self { key: key.into(), found: format!("{found:?}"), expected: expected.into() }
    }
}

impl LabelSet {
    /// Whether every value can be put into a prompt and every answer into a corpus.
    fn check(&self) -> Result<(), Wrong> {
        check_name("name", &self.name)?;
        check_line("about", &self.about)?;
        if self.types.is_empty() {
            let found = "an empty list".to_owned();
            return Err(Wrong { key: "types".to_owned(), found, expected: "at least one type".to_owned() });
        }
        for (index, entity_type) in self.types.iter().enumerate() {
            let key = format!("types[{index}]");
            self.check_type(index, &format!("{key}.name"))?;
            check_line(&format!("{key}.description"), &entity_type.description)?;
            check_lines(&format!("{key}.examples"), &entity_type.examples)?;
            check_lines(&format!("{key}.exclusions"), &entity_type.exclusions)?;
        }
        check_lines("exclusions", &self.exclusions)?;
        check_lines("contexts", &self.contexts)?;
        check_lines("hints", &self.hints)?;
        (0..self.examples.len()).try_for_each(|index| self.check_example(index))
    }

    fn check_type(&self, index: usize, key: &str) -> Result<(), Wrong> {
        let name = &*self.types[index].name;
        check_name(key, name)?;
        // A type becomes part of a tag: a name that looks like a tag would be read back as another type, or as none.
        let prefixed = matches!(name.as_bytes(), [b'B' | b'I' | b'M' | b'E' | b'L' | b'S' | b'U', b'-', ..]);
        if name == "O" || prefixed {
            return Err(Wrong::new(key, name, "the name of a type, not a tag with its prefix"));
        }
        match self.types[..index].iter().find(|t| t.name.to_lowercase() == name.to_lowercase()) {
            Some(same) => {
                let expected = format!("a name that differs from that of the type {:?} by more than case", same.name);
                Err(Wrong::new(key, name, expected))
            }
            None => Ok(()),
        }
    }

    fn check_example(&self, index: usize) -> Result<(), Wrong> {
        let example = &self.examples[index];
        let key = format!("examples[{index}]");
        check_line(&format!("{key}.sentence"), &example.sentence)?;
        let mut rest = &*example.sentence;
        for (at, Mention { text, label }) in example.entities.iter().enumerate() {
            let key = format!("{key}.entities[{at}]");
            check_line(&format!("{key}.text"), text)?;
            let Some(place) = rest.find(text.as_str()) else {
                let expected = "text that stands in the sentence, after the entity before it";
                return Err(Wrong::new(format!("{key}.text"), text, expected));
            };
            rest = &rest[place + text.len()..];
            if !self.types.iter().any(|t| *t.name == **label) {
                let expected = format!("one of the types {}", self.labels().join(", "));
                return Err(Wrong::new(format!("{key}.type"), label, expected));
            }
        }
        match &example.reasoning {
            Some(reasoning) if reasoning.trim().is_empty() => {
                Err(Wrong::new(format!("{key}.reasoning"), reasoning, "some words, or no such key"))
            }
            _ => Ok(()),
        }
    }
}

/// Names stand in columns, tags, JSON and lists with `|`: nothing that means something there.
fn check_name(key: &str, name: &str) -> Result<(), Wrong> {
    let fits = name.starts_with(char::is_alphabetic)
        && name.chars().all(|c| c.is_alphanumeric() || "-_./+".contains(c))
        && name.chars().count() <= LONGEST_NAME;
    if fits {
        return Ok(());
    }
    let expected = format!(
        "a letter, then letters, digits and -_./+ without blanks, at most {LONGEST_NAME} characters, such as creative-work"
    );
    Err(Wrong::new(key, name, expected))
}

fn check_lines(key: &str, lines: &[String]) -> Result<(), Wrong> {
    lines.iter().enumerate().try_for_each(|(index, line)| check_line(&format!("{key}[{index}]"), line))
}

fn check_line(key: &str, line: &str) -> Result<(), Wrong> {
    if line.trim().is_empty() || line.contains(char::is_control) {
        return Err(Wrong::new(key, line, "one line of text"));
    }
    Ok(())
}
