//! The model directory, in the Hugging Face layout: what `AutoModelForTokenClassification.from_pretrained` reads.

use std::path::{Path, PathBuf};

use apprentice_core::Tag;
use apprentice_encoder::EncoderConfig;
use serde_json::{Map, Value, json};

use crate::{StudentError, labels::Labels, tokenize::SubwordTokenizer};

/// Files that belong to a tokeniser; whatever of them the source had is copied as it is.
const TOKENIZER_FILES: [&str; 4] = ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"];

/// What a student keeps of the directory it came from, to write it again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// `config.json` with every key, also those that are not used here.
    pub config: Map<String, Value>,
    /// The tokeniser's files as they were.
    pub tokenizer_files: Vec<(&'static str, Vec<u8>)>,
}

/// The parts of a model directory but the weights.
pub(crate) struct Parts {
    pub config: EncoderConfig,
    pub tokenizer: SubwordTokenizer,
    pub origin: Origin,
    pub weights: PathBuf,
}

/// Reads and checks everything but the weights.
pub(crate) fn read(directory: &Path) -> Result<Parts, StudentError> {
    let config_path = directory.join("config.json");
    let config = EncoderConfig::read(&config_path)?;
    let origin = Origin { config: read_json(&config_path)?, tokenizer_files: tokenizer_files(directory)? };
    let tokenizer = SubwordTokenizer::read(directory)?;
    let largest_id = tokenizer.largest_id();
    if largest_id as usize >= config.vocab_size {
        return Err(StudentError::VocabularyTooLarge {
            path: directory.to_owned(),
            largest_id,
            embedded: config.vocab_size,
        });
    }
    let weights = directory.join("model.safetensors");
    if !weights.exists() {
        let pickle = directory.join("pytorch_model.bin").exists();
        return Err(StudentError::NoWeights { path: directory.to_owned(), pickle });
    }
    Ok(Parts { config, tokenizer, origin, weights })
}

fn read_json(path: &Path) -> Result<Map<String, Value>, StudentError> {
    let text = std::fs::read_to_string(path).map_err(|source| StudentError::Io { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| StudentError::Json { path: path.to_owned(), source })
}

fn tokenizer_files(directory: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    let mut files = Vec::new();
    for name in TOKENIZER_FILES {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Ok(content) => files.push((name, content)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(StudentError::Io { path, source }),
        }
    }
    Ok(files)
}

/// The labels that `config.json` gives to the classes.
pub(crate) fn labels(directory: &Path, config: &Map<String, Value>) -> Result<Labels, StudentError> {
    let error = |problem: String| StudentError::Labels { path: directory.join("config.json"), problem };
    let names = config.get("id2label").and_then(Value::as_object).ok_or_else(|| {
        error("no id2label: expected a token-classification model, trained by `apprentice train`".into())
    })?;
    if names.is_empty() {
        return Err(error("id2label names no class".into()));
    }
    let tags = (0..names.len())
        .map(|class| {
            let name = names
                .get(&class.to_string())
                .and_then(Value::as_str)
                .ok_or_else(|| error(format!("id2label names {} classes but not class {class}", names.len())))?;
            match name.parse::<Tag>() {
                Ok(Tag::End(_) | Tag::Single(_)) => {
                    Err(error(format!("id2label, class {class}: `{name}`: expected a model with classes O, B- and I-")))
                }
                Ok(tag) => Ok(tag),
                Err(e) => Err(error(format!("id2label, class {class}: {e}"))),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Labels::from_tags(tags))
}

/// The content of every file of the directory but the weights and the card.
pub(crate) fn contents(
    origin: &Origin,
    config: &EncoderConfig,
    labels: &Labels,
    tokenizer: &SubwordTokenizer,
) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    let serialise = |value: &Value| {
        serde_json::to_vec_pretty(value).map_err(|source| StudentError::Json { path: "config.json".into(), source })
    };
    let mut map = origin.config.clone();
    // By way of text: straight to a value, 0.1 in f32 would become 0.10000000149011612.
    let own: Map<String, Value> = serde_json::to_string(config)
        .and_then(|text| serde_json::from_str(&text))
        .map_err(|source| StudentError::Json { path: "config.json".into(), source })?;
    for (key, value) in own {
        map.entry(key).or_insert(value);
    }
    let by_class: Map<String, Value> = labels.names().enumerate().map(|(i, n)| (i.to_string(), n.into())).collect();
    let by_name: Map<String, Value> = labels.names().enumerate().map(|(i, n)| (n, i.into())).collect();
    // Of the source: the numbers are saved as f32, and the labels' number follows from their names.
    for key in ["dtype", "torch_dtype", "num_labels", "_num_labels"] {
        map.remove(key);
    }
    map.insert("torch_dtype".into(), json!("float32"));
    map.insert("architectures".into(), json!(["BertForTokenClassification"]));
    map.insert("id2label".into(), by_class.into());
    map.insert("label2id".into(), by_name.into());
    let mut files = vec![("config.json", serialise(&map.into())?)];
    if origin.tokenizer_files.is_empty() {
        let vocabulary: String = tokenizer.vocabulary().into_iter().map(|token| token + "\n").collect();
        let settings = json!({
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": false,
            "strip_accents": false,
            "model_max_length": config.max_position_embeddings,
            "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
            "cls_token": "[CLS]", "mask_token": "[MASK]",
        });
        files.push(("vocab.txt", vocabulary.into_bytes()));
        files.push(("tokenizer_config.json", serialise(&settings)?));
    }
    files.extend(origin.tokenizer_files.iter().cloned());
    if !files.iter().any(|(name, _)| *name == "tokenizer.json") {
        files.push(("tokenizer.json", tokenizer.to_json()?.into_bytes()));
    }
    Ok(files)
}
