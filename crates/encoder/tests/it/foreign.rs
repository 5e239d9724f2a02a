//! Weights files that lie about themselves: each is refused by name, before memory is asked for.

use std::path::{Path, PathBuf};

use apprentice_encoder::{EncoderConfig, EncoderError, Parameters, load_classifier, read_bounded, save};
use serde_json::{Value, json};

use crate::small_config;

const CLASSES: usize = 3;
/// The tensor that is tampered with.
const VICTIM: &str = "bert.encoder.layer.1.attention.self.key.weight";

fn write(path: &Path, content: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), content).unwrap();
}

/// A sound file, and its header and data.
fn sound(directory: &Path) -> (PathBuf, Value, Vec<u8>) {
    let path = directory.join("model.safetensors");
    save(&Parameters::initialised(&small_config(), CLASSES, 5).unwrap(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
    (path, header, bytes[8 + size..].to_vec())
}

fn assemble(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = serde_json::to_vec(header).unwrap();
    [&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat()
}

fn error(path: &Path, config: &EncoderConfig) -> String {
    load_classifier(path, config, CLASSES).unwrap_err().to_string()
}

#[test]
fn headers_that_lie_are_refused_by_tensor() {
    let directory = tempfile::tempdir().unwrap();
    let (path, header, data) = sound(directory.path());
    let offsets = header[VICTIM]["data_offsets"].clone();
    let (from, to) = (offsets[0].as_u64().unwrap(), offsets[1].as_u64().unwrap());
    for (key, value, expected) in [
        ("data_offsets", json!([from - 4, to]), "overlaps what ends at"),
        ("data_offsets", json!([from, to + 4]), "but its shape needs 9216 bytes"),
        ("data_offsets", json!([to, from]), "of the data"),
        ("data_offsets", json!([from, u64::MAX]), "but its shape needs 9216 bytes"),
        ("shape", json!([48, 49]), "but its shape needs 9408 bytes"),
        ("shape", json!([u64::MAX, 48]), "has a shape whose product is beyond all numbers"),
        ("shape", json!([1_u64 << 32, 1_u64 << 32]), "has a shape whose product is beyond all numbers"),
        ("dtype", json!("F4"), "but its shape needs 1152 bytes"),
    ] {
        let mut header = header.clone();
        header[VICTIM][key] = value;
        write(&path, &assemble(&header, &data));
        let error = error(&path, &small_config());
        assert!(error.contains("model.safetensors: tensor `bert.") && error.contains(expected), "{error}");
    }
    // A tensor that is not needed must not lie either.
    let mut extra = header.clone();
    extra["pooler.dense.weight"] = json!({"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 324]});
    write(&path, &assemble(&extra, &data));
    assert!(error(&path, &small_config()).contains("overlaps"));
    // Two names for one weight: which of them is meant cannot be known.
    let mut twice = header.clone();
    let short = VICTIM.strip_prefix("bert.").unwrap();
    twice[short] = json!({"dtype": "F32", "shape": [48, 48], "data_offsets": [data.len(), data.len() + 9216]});
    write(&path, &assemble(&twice, &[data.as_slice(), &[0; 9216]].concat()));
    let error = error(&path, &small_config());
    assert!(error.contains(VICTIM) && error.contains("stand for the same weight"), "{error}");
}

#[test]
fn files_that_are_no_safetensors_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, header, data) = sound(directory.path());
    let huge = |size: u64| [&size.to_le_bytes(), data.as_slice()].concat();
    let rest = [data.as_slice(), b"more"].concat();
    for content in [huge(u64::MAX), huge(1 << 40), huge(data.len() as u64 + 1), huge(0), assemble(&header, &rest)] {
        write(&path, &content);
        let error = load_classifier(&path, &small_config(), CLASSES).unwrap_err();
        assert!(matches!(error, EncoderError::Safetensors { .. }), "{error}");
    }
    // Deeply nested JSON must not overflow the stack.
    let deep = "[".repeat(100_000);
    write(&path, &[&(deep.len() as u64).to_le_bytes(), deep.as_bytes()].concat());
    assert!(matches!(load_classifier(&path, &small_config(), CLASSES).unwrap_err(), EncoderError::Safetensors { .. }));
    assert!(error(directory.path(), &small_config()).ends_with("not a regular file"));
}

/// 30 GB are never asked for: the shapes come first.
#[test]
fn giant_sizes_of_a_config_are_compared_with_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ..) = sound(directory.path());
    let giant = EncoderConfig { vocab_size: 16 << 20, hidden_size: 480, ..small_config() };
    let error = error(&path, &giant);
    assert!(error.contains("`bert.embeddings.word_embeddings.weight` has shape [90, 48]"), "{error}");
    assert!(error.contains("config.json says [16777216, 480]"), "{error}");
}

#[test]
fn the_length_of_a_file_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = EncoderConfig::read(&path).unwrap_err();
    assert!(matches!(error, EncoderError::FileTooLarge { found, .. } if found == 1 << 40), "{error}");
    write(&path, b"12345");
    assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
    assert!(read_bounded(&path, 4).is_err());
}

/// Cuts the sound file in two, with an index beside the parts; the index's path.
fn cut(directory: &Path) -> PathBuf {
    let (path, header, data) = sound(directory);
    let mut names: Vec<&String> = header.as_object().unwrap().keys().filter(|name| !name.starts_with("__")).collect();
    names.sort_unstable();
    let mut map = serde_json::Map::new();
    for (part, names) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", part + 1);
        let (mut own, mut bytes) = (serde_json::Map::new(), Vec::new());
        for name in names {
            let mut info = header[name.as_str()].clone();
            let place: [usize; 2] = serde_json::from_value(info["data_offsets"].clone()).unwrap();
            info["data_offsets"] = json!([bytes.len(), bytes.len() + place[1] - place[0]]);
            bytes.extend_from_slice(&data[place[0]..place[1]]);
            own.insert((*name).clone(), info);
            map.insert((*name).clone(), file.clone().into());
        }
        write(&directory.join(file), &assemble(&own.into(), &bytes));
    }
    std::fs::remove_file(path).unwrap();
    let index = directory.join("model.safetensors.index.json");
    write(&index, json!({"metadata": {"total_size": data.len()}, "weight_map": map}).to_string().as_bytes());
    index
}

#[test]
fn weights_in_parts_are_read_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let whole = Parameters::initialised(&small_config(), CLASSES, 5).unwrap();
    let index = cut(directory.path());
    assert_eq!(load_classifier(&index, &small_config(), CLASSES).unwrap().values(), whole.values());
    // The index and the parts must agree.
    let text = std::fs::read_to_string(&index).unwrap();
    let mut wrong: Value = serde_json::from_str(&text).unwrap();
    let other = if wrong["weight_map"][VICTIM] == "model-00001-of-00002.safetensors" { 2 } else { 1 };
    wrong["weight_map"][VICTIM] = format!("model-0000{other}-of-00002.safetensors").into();
    write(&index, wrong.to_string().as_bytes());
    let message = error(&index, &small_config());
    assert!(message.contains(&format!("index.json: tensor `{VICTIM}` is not in model-0000{other}-of")), "{message}");
    let mut stranger: Value = serde_json::from_str(&text).unwrap();
    stranger["weight_map"]["no.such.tensor"] = json!("model-00001-of-00002.safetensors");
    write(&index, stranger.to_string().as_bytes());
    assert!(error(&index, &small_config()).contains("tensor `no.such.tensor` is not in model-00001"));
    write(&index, text.as_bytes());
    std::fs::remove_file(directory.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert!(error(&index, &small_config()).contains("model-00002-of-00002.safetensors: "));
}

#[test]
fn an_index_names_files_beside_it_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    let (outside, ..) = sound(directory.path());
    let index = folder.join("model.safetensors.index.json");
    for name in [
        "../model.safetensors",
        outside.to_str().unwrap(),
        "sub/model.safetensors",
        "..\\model.safetensors",
        "C:\\model.safetensors",
        "C:model.safetensors",
        "\\\\server\\share\\model.safetensors",
        "NUL.safetensors",
        "com1.x.safetensors",
        ".safetensors",
        ".hidden.safetensors",
        "model.safetensors\0",
        "model\u{202e}.safetensors",
        "pytorch_model.bin",
        "",
        "..",
    ] {
        write(&index, json!({"weight_map": {VICTIM: name}}).to_string().as_bytes());
        let error = error(&index, &small_config());
        assert!(error.contains("index.json: weight_map names the file"), "{name:?}: {error}");
    }
    let many: serde_json::Map<String, Value> =
        (0..2000).map(|i| (format!("t{i}"), format!("model-{i}.safetensors").into())).collect();
    write(&index, json!({"weight_map": many}).to_string().as_bytes());
    assert!(error(&index, &small_config()).contains("weight_map names 2000 files, expected at most 1024"));
    write(&index, b"{}");
    assert!(error(&index, &small_config()).contains("index.json: not a readable index: missing field `weight_map`"));
}
