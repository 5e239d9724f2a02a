//! A kind with parameters, as people write it: the table `{ kind = "blend", curve = "sigmoid", k = 5 }` in a file, or
//! `blend:sigmoid,k=5` for short.
//!
//! The short form is the kind, then the parameters as `key=value`. A bare word is a switch that is on (`reverse`), or
//! the value of [`BARE`] (`sigmoid`). Both forms are read by the same code, so they take the same
//! parameters and give the same errors.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use thiserror::Error;

/// Why a setting's text or table means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} `{found}`: {problem}")]
pub struct ChoiceError {
    /// What was to be chosen.
    pub what: &'static str,
    /// What was written, in its short form.
    pub found: String,
    /// What is wrong with it, and what was expected.
    pub problem: String,
}

/// The parameter whose value may stand alone.
const BARE: &str = "curve";

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Switch(bool),
    Number(f64),
    Word(String),
}

/// A kind and its parameters, before anyone has looked what they mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Choice {
    pub(crate) kind: String,
    parameters: Vec<(String, Value)>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a name such as `linear`, or a table with a `kind`")]
enum Written {
    Short(String),
    Table {
        kind: String,
        #[serde(flatten)]
        parameters: BTreeMap<String, Value>,
    },
}

impl From<Written> for Choice {
    fn from(written: Written) -> Self {
        match written {
            Written::Short(text) => Self::parse(&text),
            Written::Table { kind, parameters } => Self { kind, parameters: parameters.into_iter().collect() },
        }
    }
}

/// As a table.
impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.parameters.len()))?;
        map.serialize_entry("kind", &self.kind)?;
        for (key, value) in &self.parameters {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// In the short form.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        for (index, (key, value)) in self.parameters.iter().enumerate() {
            f.write_str(if index == 0 { ":" } else { "," })?;
            match value {
                Value::Switch(true) => f.write_str(key)?,
                Value::Switch(false) => write!(f, "{key}=false")?,
                Value::Number(number) => write!(f, "{key}={number}")?,
                Value::Word(word) if key == BARE => f.write_str(word)?,
                Value::Word(word) => write!(f, "{key}={word}")?,
            }
        }
        Ok(())
    }
}

impl Choice {
    pub(crate) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), parameters: Vec::new() }
    }

    /// Reads the short form. Any text has one: whether it makes sense is for [`Self::read`] to say.
    pub(crate) fn parse(text: &str) -> Self {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let parameter = |part: &str| match part.split_once('=') {
            None => (part.trim().to_owned(), Value::Switch(true)),
            Some((key, value)) => (key.trim().to_owned(), Value::parse(value.trim())),
        };
        let parameters = rest.map(|rest| rest.split(',').map(parameter).collect());
        Self { kind: kind.trim().to_owned(), parameters: parameters.unwrap_or_default() }
    }

    pub(crate) fn with_number(self, key: &str, number: f64) -> Self {
        self.with(key, Value::Number(number))
    }

    pub(crate) fn with_switch(self, key: &str, on: bool) -> Self {
        self.with(key, Value::Switch(on))
    }

    pub(crate) fn with_word(self, key: &str, word: &str) -> Self {
        self.with(key, Value::Word(word.to_owned()))
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.parameters.push((key.to_owned(), value));
        self
    }

    /// What `meaning` makes of the parameters that it takes; one that it leaves is an error.
    pub(crate) fn read<T>(
        self,
        what: &'static str,
        meaning: impl FnOnce(&mut Reading) -> Result<T, String>,
    ) -> Result<T, ChoiceError> {
        let found = self.to_string();
        let mut reading = Reading { kind: self.kind, left: self.parameters, known: Vec::new() };
        let read = meaning(&mut reading).and_then(|read| reading.end().map(|()| read));
        read.map_err(|problem| ChoiceError { what, found, problem })
    }

    /// The choice of `value` without the parameters that mean the same when they are left out.
    pub(crate) fn brief<T>(value: T) -> Self
    where
        T: TryFrom<Self>,
        Self: From<T>,
    {
        let full = Self::from(value);
        let mut brief = full.clone();
        for parameter in &full.parameters {
            let mut without = brief.clone();
            without.parameters.retain(|other| other != parameter);
            if T::try_from(without.clone()).is_ok_and(|same| Self::from(same) == full) {
                brief = without;
            }
        }
        brief
    }
}

impl Value {
    fn parse(text: &str) -> Self {
        match (text.parse(), text.parse()) {
            (Ok(on), _) => Self::Switch(on),
            (_, Ok(number)) => Self::Number(number),
            _ => Self::Word(text.to_owned()),
        }
    }
}

/// The parameters of a [`Choice`] that nobody has taken yet.
pub(crate) struct Reading {
    pub(crate) kind: String,
    left: Vec<(String, Value)>,
    known: Vec<&'static str>,
}

impl Reading {
    fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.left.iter().position(|(found, _)| found == key)?;
        Some(self.left.remove(at).1)
    }

    pub(crate) fn number(&mut self, key: &'static str, default: Option<f64>) -> Result<f64, String> {
        self.known.push(key);
        match (self.take(key), default) {
            (Some(Value::Number(number)), _) => Ok(number),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("{key} is missing: expected {key}=NUMBER")),
            (Some(_), _) => Err(format!("{key} is no number")),
        }
    }

    pub(crate) fn switch(&mut self, key: &'static str, default: bool) -> Result<bool, String> {
        self.known.push(key);
        match self.take(key) {
            Some(Value::Switch(on)) => Ok(on),
            None => Ok(default),
            Some(_) => Err(format!("{key} is neither true nor false")),
        }
    }

    /// One of `names`, as `key=name` or, for [`BARE`], as the name alone.
    pub(crate) fn word(&mut self, key: &'static str, names: &[&'static str]) -> Result<&'static str, String> {
        self.known.push(key);
        let alone =
            |name: &&&str| self.left.iter().any(|(found, value)| found == *name && *value == Value::Switch(true));
        if let Some(name) = names.iter().find(|name| key == BARE && alone(name)) {
            self.take(name);
            return Ok(name);
        }
        let expected = || format!("expected {}", names.join(", "));
        match self.take(key) {
            Some(Value::Word(word)) => {
                let name = names.iter().find(|name| **name == word);
                name.copied().ok_or_else(|| format!("unknown {key} `{word}`: {}", expected()))
            }
            Some(_) => Err(format!("{key} is no name: {}", expected())),
            None => Err(format!("{key} is missing: {}", expected())),
        }
    }

    /// Whether every parameter was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    fn end(&self) -> Result<(), String> {
        let Some((key, _)) = self.left.first() else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(format!("unknown parameter `{key}`: expected {known}"))
    }
}
