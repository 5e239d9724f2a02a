//! The model directory, in the Hugging Face layout: what `AutoModelForTokenClassification.from_pretrained` reads.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use apprentice_core::Tag;
use apprentice_encoder::{EncoderConfig, NumberFormat, Parameters, read_bounded};
use serde_json::{Map, Value, json};

use crate::{
    Head, StudentError,
    foreign::{LARGEST_TOKENIZER, with_leading_blanks},
    labels::Labels,
    tokenize::{LARGEST_SETTINGS, LARGEST_VOCABULARY, SubwordTokenizer},
};

/// Files that belong to a tokeniser, and how many bytes of them are read; whatever of them the source had is copied.
const TOKENIZER_FILES: [(&str, u64); 4] = [
    ("tokenizer.json", LARGEST_TOKENIZER),
    ("tokenizer_config.json", LARGEST_SETTINGS),
    ("vocab.txt", LARGEST_VOCABULARY),
    ("special_tokens_map.json", LARGEST_SETTINGS),
];

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

/// The forms of weights that are read, and of pickles, which are not; in the order of preference.
const WEIGHTS: [&str; 2] = ["model.safetensors", "model.safetensors.index.json"];
const PICKLES: [&str; 3] = ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pt"];

/// The largest `config.json` that is read, in bytes; the encoder's own limit is the same.
const LARGEST_CONFIG: u64 = 1 << 20;
/// The most classes of a head: decoding keeps a table of their pairs.
const MOST_CLASSES: usize = 4096;

/// Reads and checks everything but the weights.
pub(crate) fn read(directory: &Path) -> Result<Parts, StudentError> {
    let config_path = directory.join("config.json");
    let config = EncoderConfig::read(&config_path)?;
    let weights = weights(directory)?;
    let tokenizer = SubwordTokenizer::read(directory)?;
    let mut origin = Origin { config: read_json(&config_path)?, tokenizer_files: tokenizer_files(directory)? };
    ask_for_leading_blanks(directory, &mut origin.tokenizer_files)?;
    let largest_id = tokenizer.largest_id();
    if largest_id as usize >= config.vocab_size {
        return Err(StudentError::VocabularyTooLarge {
            path: directory.to_owned(),
            largest_id,
            embedded: config.vocab_size,
        });
    }
    Ok(Parts { config, tokenizer, origin, weights })
}

/// The file of the weights, or of their parts.
fn weights(directory: &Path) -> Result<PathBuf, StudentError> {
    let first = |names: &[&'static str]| names.iter().copied().find(|name| directory.join(name).exists());
    first(&WEIGHTS)
        .map(|name| directory.join(name))
        .ok_or_else(|| StudentError::NoWeights { path: directory.to_owned(), pickle: first(&PICKLES) })
}

fn read_json(path: &Path) -> Result<Map<String, Value>, StudentError> {
    let text = read_bounded(path, LARGEST_CONFIG)?;
    serde_json::from_slice(&text).map_err(|source| StudentError::Json { path: path.to_owned(), source })
}

fn tokenizer_files(directory: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    let there = TOKENIZER_FILES.into_iter().filter(|(name, _)| directory.join(name).exists());
    there.map(|(name, limit)| Ok((name, read_bounded(&directory.join(name), limit)?))).collect()
}

/// Makes the files say that words get a leading blank, where that was changed for words that come one by one; the
/// settings too, from which transformers takes it.
fn ask_for_leading_blanks(directory: &Path, files: &mut Vec<(&'static str, Vec<u8>)>) -> Result<(), StudentError> {
    const SETTINGS: &str = "tokenizer_config.json";
    let Some((_, tokenizer)) = files.iter_mut().find(|(name, _)| *name == "tokenizer.json") else { return Ok(()) };
    let Some(changed) = with_leading_blanks(tokenizer) else { return Ok(()) };
    *tokenizer = changed;
    let json = |source| StudentError::Json { path: directory.join(SETTINGS), source };
    let old = files.iter().find(|(name, _)| *name == SETTINGS);
    let mut settings: Map<String, Value> =
        old.map_or_else(|| Ok(Map::new()), |(_, content)| serde_json::from_slice(content)).map_err(json)?;
    settings.insert("add_prefix_space".into(), true.into());
    files.retain(|(name, _)| *name != SETTINGS);
    files.push((SETTINGS, serde_json::to_vec_pretty(&settings).map_err(json)?));
    Ok(())
}

/// The key of `config.json` that a CRF has, and what it says: the names of the tensors. Others do not know it, and take the
/// model for one whose classes are decided word by word.
const CRF: &str = "apprentice_crf";

fn crf_tensors() -> Value {
    json!({
        "transitions": "crf.transitions",
        "start_transitions": "crf.start_transitions",
        "end_transitions": "crf.end_transitions",
    })
}

/// The head that `config.json` says the model has.
pub(crate) fn head(directory: &Path, config: &Map<String, Value>) -> Result<Head, StudentError> {
    match config.get(CRF) {
        None => Ok(Head::Softmax),
        Some(tensors) if *tensors == crf_tensors() => Ok(Head::Crf),
        Some(other) => {
            let found: String = other.to_string().chars().take(200).collect();
            let problem = format!("{CRF} is {found}, expected {}", crf_tensors());
            Err(StudentError::Labels { path: directory.join("config.json"), problem })
        }
    }
}

/// The labels that `config.json` gives to the classes.
pub(crate) fn labels(directory: &Path, config: &Map<String, Value>) -> Result<Labels, StudentError> {
    let error = |problem: String| StudentError::Labels { path: directory.join("config.json"), problem };
    let names = config.get("id2label").and_then(Value::as_object).ok_or_else(|| {
        error("no id2label: expected a token-classification model, trained by `apprentice train`".into())
    })?;
    if !(1..=MOST_CLASSES).contains(&names.len()) {
        return Err(error(format!("id2label names {} classes, expected from 1 to {MOST_CLASSES}", names.len())));
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

/// The content of every file of a student's directory but the weights and the card.
pub(crate) fn contents(
    origin: &Origin,
    config: &EncoderConfig,
    head: Head,
    labels: &Labels,
    tokenizer: &SubwordTokenizer,
) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    let by_class: Map<String, Value> = labels.names().enumerate().map(|(i, n)| (i.to_string(), n.into())).collect();
    let by_name: Map<String, Value> = labels.names().enumerate().map(|(i, n)| (n, i.into())).collect();
    let mut own = vec![("id2label", by_class.into()), ("label2id", by_name.into())];
    own.extend((head == Head::Crf).then(|| (CRF, crf_tensors())));
    files(origin, config, config.family.classifier_class(), own, tokenizer, NumberFormat::F32)
}

/// The same of a masked language model.
pub(crate) fn language_model(
    origin: &Origin,
    config: &EncoderConfig,
    tokenizer: &SubwordTokenizer,
    format: NumberFormat,
) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    files(origin, config, "BertForMaskedLM", Vec::new(), tokenizer, format)
}

fn files(
    origin: &Origin,
    config: &EncoderConfig,
    class: &str,
    own: Vec<(&str, Value)>,
    tokenizer: &SubwordTokenizer,
    format: NumberFormat,
) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    let serialise = |value: &Value| {
        serde_json::to_vec_pretty(value).map_err(|source| StudentError::Json { path: "config.json".into(), source })
    };
    let mut map = origin.config.clone();
    let sizes = config.to_map().map_err(|source| StudentError::Json { path: "config.json".into(), source })?;
    for (key, value) in sizes {
        map.entry(key).or_insert(value);
    }
    // Of the source: the numbers may be saved in another format, the labels' number follows from their names, and the head is another.
    for key in ["dtype", "torch_dtype", "num_labels", "_num_labels", "id2label", "label2id", CRF] {
        map.remove(key);
    }
    map.insert("torch_dtype".into(), json!(format.name()));
    map.insert("architectures".into(), json!([class]));
    map.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
    let mut files = vec![("config.json", serialise(&map.into())?)];
    if origin.tokenizer_files.is_empty() {
        let vocabulary: String = tokenizer.vocabulary().into_iter().map(|token| token + "\n").collect();
        let settings = json!({
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": false,
            "strip_accents": false,
            "model_max_length": config.longest_sequence(),
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

/// Writes the files, with `card` as the `README.md`, and the weights into `directory`, which exists.
pub(crate) fn write(
    directory: &Path,
    mut files: Vec<(&'static str, Vec<u8>)>,
    card: &str,
    parameters: &Parameters,
    format: NumberFormat,
) -> Result<(), StudentError> {
    files.push(("README.md", card.as_bytes().to_vec()));
    for (name, content) in files {
        let path = directory.join(name);
        let written = File::create(&path).and_then(|mut file| file.write_all(&content));
        written.map_err(|source| StudentError::Io { path, source })?;
    }
    Ok(apprentice_encoder::save_as(format, parameters, &directory.join("model.safetensors"))?)
}
