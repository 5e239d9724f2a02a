//! Which files of a model are needed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{HubError, ModelName};

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
/// Says in which files the tensors of weights in several parts are.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// A tokeniser is one of these, best first.
pub(super) const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.txt"];
/// What a tokeniser may have beside it.
const BESIDE: [&str; 5] =
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"];
const MOST_PARTS: usize = 1000;

/// What is needed of a model, and what of it the model has not.
pub(super) struct Needed {
    pub files: Vec<&'static str>,
    pub absent: Vec<&'static str>,
}

impl Needed {
    /// Of a model with these files.
    ///
    /// # Errors
    /// If they make no encoder.
    pub fn of(name: &ModelName, files: &BTreeSet<String>) -> Result<Self, HubError> {
        let unusable = |problem: &str| HubError::Unusable { name: name.clone(), problem: problem.to_owned() };
        if !files.contains(CONFIG) {
            return Err(unusable("it has no config.json"));
        }
        let weights = [WEIGHTS, INDEX].into_iter().find(|file| files.contains(*file));
        let weights = weights.ok_or_else(|| match files.iter().find(|file| is_pickle(file)) {
            Some(pickle) => HubError::Pickle { name: name.clone(), file: pickle.clone() },
            None => unusable("it has no model.safetensors"),
        })?;
        if !TOKENIZERS.iter().any(|file| files.contains(*file)) {
            return Err(unusable("it has neither tokenizer.json nor vocab.txt"));
        }
        let small = [CONFIG].into_iter().chain(TOKENIZERS).chain(BESIDE);
        // The weights come last, when all else is known to do.
        let (mut there, mut absent): (Vec<_>, Vec<_>) = small.partition(|file| files.contains(*file));
        there.push(weights);
        if weights == INDEX {
            absent.push(WEIGHTS);
        }
        Ok(Self { files: there, absent })
    }
}

/// Whether a file holds weights in a form that can run code.
pub(super) fn is_pickle(file: &str) -> bool {
    let is_weights = file.starts_with("pytorch_model") || file.starts_with("model");
    is_weights && [".bin", ".bin.index.json", ".pt", ".pth", ".ckpt"].iter().any(|ending| file.ends_with(ending))
}

/// The files in which the weights are, by their index.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parts(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index)
        .map_err(|error| format!("not the expected JSON in line {}, column {}", error.line(), error.column()))?;
    let parts: BTreeSet<String> = index.weight_map.into_values().collect();
    // In the model's own directory, under a name that all systems take.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_part = |part: &String| {
        part.len() <= 200 && part.ends_with(".safetensors") && !part.starts_with('.') && part.chars().all(is_plain)
    };
    if !(1..=MOST_PARTS).contains(&parts.len()) {
        return Err(format!("it names {} files of weights: expected from 1 to {MOST_PARTS}", parts.len()));
    }
    match parts.iter().find(|part| !is_part(part)) {
        Some(part) => Err(format!("it names {part:?} as a file of weights: expected NAME.safetensors")),
        None => Ok(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> Result<Needed, String> {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        Needed::of(&"a/b".parse().unwrap(), &files).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_is_needed() {
        let needed = of(&[CONFIG, WEIGHTS, "pytorch_model.bin", "vocab.txt", "onnx/model.onnx", "README.md"]).unwrap();
        assert_eq!(needed.files, [CONFIG, "vocab.txt", WEIGHTS]);
        assert!(needed.absent.contains(&"tokenizer.json") && !needed.absent.contains(&INDEX));
        let needed = of(&[CONFIG, INDEX, "model-00001-of-00001.safetensors", "tokenizer.json"]).unwrap();
        assert_eq!(needed.files, [CONFIG, "tokenizer.json", INDEX]);
    }

    #[test]
    fn what_makes_no_encoder() {
        for (files, why) in [
            (&["README.md"][..], "no config.json"),
            (&[CONFIG, "vocab.txt"], "no model.safetensors"),
            (&[CONFIG, WEIGHTS], "neither tokenizer.json nor vocab.txt"),
            (&[CONFIG, "vocab.txt", "pytorch_model.bin"], "only as pytorch_model.bin, a pickle"),
            (&[CONFIG, "vocab.txt", "pytorch_model.bin.index.json"], "a pickle"),
        ] {
            let error = of(files).err().unwrap();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn parts_are_plain_names() {
        let read = |part: &str| parts(serde_json::json!({"weight_map": {"a": part, "b": part}}).to_string().as_bytes());
        assert_eq!(read("model-00001-of-00002.safetensors").unwrap().len(), 1);
        for part in
            ["../x.safetensors", "/x.safetensors", r"..\x.safetensors", "C:x.safetensors", "x.bin", ".safetensors"]
        {
            assert!(read(part).is_err(), "{part}");
        }
        assert!(parts(b"{}").is_err() && parts(br#"{"weight_map": {}}"#).is_err() && parts(b"<html>").is_err());
    }
}
