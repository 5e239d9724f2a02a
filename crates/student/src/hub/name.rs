//! Names as the hub has them. Names become parts of URLs and of paths: nothing is made of one before it is checked.

use std::{fmt, str::FromStr};

use super::HubError;

/// A model's name on the hub: `NAME` or `ORGANISATION/NAME`, by the rules of the hub, which leave no room for paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its directory in the cache. Names have no `--`, so no two share one.
    pub(super) fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    pub(super) fn of_folder(folder: &str) -> Option<Self> {
        folder.strip_prefix("models--")?.replace("--", "/").parse().ok()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = HubError;

    fn from_str(name: &str) -> Result<Self, HubError> {
        match problem_of_name(name) {
            None => Ok(Self(name.to_owned())),
            Some(problem) => Err(HubError::Name { found: name.to_owned(), problem }),
        }
    }
}

fn problem_of_name(name: &str) -> Option<&'static str> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_outer = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_word = |part: &str| part.chars().all(is_inner) && part.starts_with(is_outer) && part.ends_with(is_outer);
    if name.len() > 96 {
        Some("it is longer than 96 characters")
    } else if name.matches('/').count() > 1 {
        Some("it has several slashes")
    } else if !name.split('/').all(is_word) {
        Some("its parts must be letters, digits, `-`, `_` and `.`, with none of `-` and `.` at an end")
    } else if name.contains("--") || name.contains("..") {
        Some("it has `--` or `..`")
    } else {
        (name.rsplit('.').next() == Some("git")).then_some("it ends in .git")
    }
}

/// A branch, a tag, a pull request (`refs/pr/1`) or a commit of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    /// What is meant where nothing is said.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The revision as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the whole hash of a commit, which always means the same files.
    #[must_use]
    pub fn is_commit(&self) -> bool {
        is_commit(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Revision {
    type Err = HubError;

    /// By git's rules for names of branches, as far as they keep paths inside their directory on every system.
    fn from_str(revision: &str) -> Result<Self, HubError> {
        let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.');
        let is_strange = |c: char| c.is_control() || c.is_whitespace() || r#"\:?*[~^"<>|"#.contains(c);
        if revision.len() <= 200 && revision.split('/').all(is_part) && !revision.contains(is_strange) {
            Ok(Self(revision.to_owned()))
        } else {
            Err(HubError::Revision { found: revision.to_owned() })
        }
    }
}

/// Whether a text is the hash of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    is_lower_hex(text, 40)
}

pub(super) fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a file's name in a model stays inside the model's directory, on every system.
pub(super) fn stays_inside(file: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    let has_drive = file.as_bytes().get(1) == Some(&b':');
    file.split('/').all(is_part) && !has_drive && !file.contains(|c: char| c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_hub_are_names() {
        for name in ["bert-base-cased", "google-bert/bert-base-cased", "a/b.c_d-e", "_x/0"] {
            let read: ModelName = name.parse().unwrap();
            assert_eq!(ModelName::of_folder(&read.folder()).as_ref().map(ModelName::as_str), Some(name));
        }
        let long = "a".repeat(97);
        for name in [
            "",
            ".",
            "..",
            "../../x",
            "/etc/passwd",
            "a/../b",
            "a/b/c",
            "./a",
            "a/",
            "/a",
            "a//b",
            r"a\b",
            r"..\x",
            "C:",
            r"C:\x",
            "C:/x",
            r"\\host\share",
            "a\0b",
            "a b",
            "a\n",
            "a--b",
            "a..b",
            "-a",
            "a-",
            ".a",
            "a.git",
            "~/a",
            "%2e%2e/x",
            "é",
            "a?b",
            &long,
        ] {
            assert!(name.parse::<ModelName>().is_err(), "{name:?}");
        }
        assert_eq!(ModelName::of_folder("models--..--..--x"), None);
    }

    #[test]
    fn revisions_stay_in_their_directory() {
        for revision in ["main", "v1.0", "refs/pr/1", "feature/a#1", &"0a".repeat(20)] {
            assert!(revision.parse::<Revision>().is_ok(), "{revision}");
        }
        for revision in
            ["", "..", "../x", "a/../b", "/a", "a/", "a//b", r"a\b", "C:x", "a\0", "a b", ".a", "a/.b", "a."]
        {
            assert!(revision.parse::<Revision>().is_err(), "{revision:?}");
        }
        assert!(!Revision::main().is_commit() && "0a".repeat(20).parse::<Revision>().unwrap().is_commit());
    }

    #[test]
    fn files_stay_inside() {
        assert!(["a", "onnx/model.onnx", ".gitattributes", "a b:c"].into_iter().all(stays_inside));
        let outside = ["", "/a", "a/../../b", "..", "./a", r"..\a", "C:a", "C:/a", "a\0", "a//b"];
        assert!(!outside.into_iter().any(stays_inside));
    }
}
