//! Weights files: every form that is read, and every fault by its name.

use std::path::Path;

use apprentice_encoder::{
    EncoderConfig, EncoderError, NumberFormat, Parameters, load_classifier, load_encoder, save, save_as,
};
use safetensors::{Dtype, tensor::TensorView};

use crate::small_config;

/// Saves the tensors as `change` gives them back: name, number format, shape and bytes; `None` leaves one out.
fn save_changed(
    path: &Path,
    parameters: &Parameters,
    change: impl Fn(&str, &[usize], &[f32]) -> Option<(String, Dtype, Vec<usize>, Vec<u8>)>,
) {
    let changed: Vec<_> = parameters.tensors().filter_map(|(t, v)| change(&t.name, &t.shape, v)).collect();
    let views = changed
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn what_was_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let config = small_config();
    let parameters = Parameters::initialised(&config, 3, 5).unwrap();
    save(&parameters, &path).unwrap();
    assert_eq!(load_classifier(&path, &config, 3).unwrap().values(), parameters.values());
    let other = directory.path().join("other");
    std::fs::File::create(&other).unwrap();
    let permissions = [&path, &other].map(|path| std::fs::metadata(path).unwrap().permissions());
    assert_eq!(permissions[0], permissions[1]);
    // As an encoder, only the head is fresh.
    let encoder = load_encoder(&path, &config, 9, 6).unwrap();
    let head = encoder.layout().tensors().iter().find(|t| t.name == "classifier.weight").unwrap().range.start;
    assert_eq!(encoder.values()[..head], parameters.values()[..head]);
}

#[test]
fn what_was_saved_in_half_is_loaded_as_it_was_rounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let config = small_config();
    let mut parameters = Parameters::initialised(&config, 3, 5).unwrap();
    save(&parameters, &path).unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    save_as(NumberFormat::Bf16, &parameters, &path).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < whole * 6 / 10);
    for value in parameters.values_mut() {
        *value = NumberFormat::Bf16.round(*value);
    }
    assert_eq!(load_classifier(&path, &config, 3).unwrap().values(), parameters.values());
}

#[test]
fn old_names_and_half_precision_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let config = small_config();
    let parameters = Parameters::initialised(&config, 3, 5).unwrap();
    for (dtype, round) in [
        (Dtype::F16, (|v| half::f16::from_f32(v).to_le_bytes()) as fn(f32) -> [u8; 2]),
        (Dtype::BF16, |v| half::bf16::from_f32(v).to_le_bytes()),
    ] {
        save_changed(&path, &parameters, |name, shape, values| {
            let name = name.strip_prefix("bert.").unwrap_or(name).replace("LayerNorm.weight", "LayerNorm.gamma");
            let name = name.replace("LayerNorm.bias", "LayerNorm.beta");
            Some((name, dtype, shape.to_vec(), values.iter().flat_map(|v| round(*v)).collect()))
        });
        let loaded = load_classifier(&path, &config, 3).unwrap();
        for (a, b) in loaded.values().iter().zip(parameters.values()) {
            assert!((a - b).abs() <= 0.004 * b.abs() + 1e-7, "{dtype:?}: {b} became {a}");
        }
    }
}

#[test]
fn faults_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let config = small_config();
    let parameters = Parameters::initialised(&config, 3, 5).unwrap();
    let same =
        |name: &str, shape: &[usize], values: &[f32]| (name.to_owned(), Dtype::F32, shape.to_vec(), bytes(values));
    let victim = "bert.encoder.layer.1.attention.self.key.weight";

    save_changed(&path, &parameters, |n, s, v| (n != victim).then(|| same(n, s, v)));
    let error = load_classifier(&path, &config, 3).unwrap_err();
    assert!(matches!(&error, EncoderError::MissingTensor { name, .. } if name == victim), "{error}");

    let larger = EncoderConfig { intermediate_size: 101, ..config.clone() };
    let error = load_classifier(&path, &larger, 3).unwrap_err().to_string();
    assert!(error.contains("`bert.encoder.layer.0.intermediate.dense.weight` has shape [100, 48]"), "{error}");
    assert!(error.contains("config.json says [101, 48]"), "{error}");

    save_changed(&path, &parameters, |n, s, v| {
        Some(if n == victim { (n.to_owned(), Dtype::I32, s.to_vec(), bytes(v)) } else { same(n, s, v) })
    });
    let error = load_classifier(&path, &config, 3).unwrap_err();
    assert!(matches!(&error, EncoderError::TensorType { name, .. } if name == victim), "{error}");

    save_changed(&path, &parameters, |n, s, v| {
        let mut v = v.to_vec();
        if n == victim {
            v[77] = f32::NAN;
        }
        Some(same(n, s, &v))
    });
    let error = load_classifier(&path, &config, 3).unwrap_err();
    assert!(matches!(&error, EncoderError::TensorValue { name, position: 77, .. } if name == victim), "{error}");

    save(&parameters, &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for keep in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::File::options().write(true).open(&path).unwrap().set_len(keep as u64).unwrap();
        let error = load_classifier(&path, &config, 3).unwrap_err();
        assert!(matches!(error, EncoderError::Safetensors { .. }), "{keep} bytes left: {error}");
    }
}

#[test]
fn configurations_of_other_models_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let read = |text: &str| {
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        EncoderConfig::read(&path).unwrap_err().to_string()
    };
    let stranger = read(r#"{"model_type": "gpt2"}"#);
    assert!(stranger.contains("config.json: model type `gpt2` is not supported: expected `bert`, `distilbert`"));
    assert!(read("{}").contains("`(none)`"));
    let act = read(r#"{"model_type": "bert", "hidden_act": "silu"}"#);
    assert!(act.contains("hidden_act is silu, expected gelu, gelu_new or relu"), "{act}");
    // The keys are named as the family's files name them.
    assert!(read(r#"{"model_type": "distilbert", "activation": "silu"}"#).contains("activation is silu"));
    assert!(read(r#"{"model_type": "distilbert", "n_heads": 7}"#).contains("n_heads is 7, expected a divisor of 768"));
    assert!(read(r#"{"model_type": "distilbert", "dim": "x"}"#).contains("dim is x, expected a whole number"));
    assert!(
        read(r#"{"model_type": "roberta", "pad_token_id": null}"#).contains("pad_token_id is null, expected an id")
    );
    let short = read(r#"{"model_type": "roberta", "max_position_embeddings": 2}"#);
    assert!(short.contains("max_position_embeddings is 2, expected more than 2"), "{short}");
    assert!(read(r#"{"model_type": "bert", "pad_token_id": 30522}"#).contains("expected less than vocab_size = 30522"));
    assert!(read(r#"{"model_type": "electra", "embedding_size": 0}"#).contains("embedding_size is 0, expected from 1"));
    let relative = read(r#"{"model_type": "bert", "position_embedding_type": "relative_key"}"#);
    assert!(relative.contains("position_embedding_type is relative_key, expected absolute"), "{relative}");
    assert!(read(r#"{"model_type": "bert", "layer_norm_eps": 1e60}"#).contains("layer_norm_eps is inf"));
    assert!(read(r#"{"model_type": "bert", "num_attention_heads": 7}"#).contains("expected a divisor of 768"));
    assert!(read(r#"{"model_type": "bert", "hidden_size": 99999999999}"#).contains("hidden_size is 99999999999"));
    assert!(read(r#"{"model_type": "bert", "num_hidden_layers": 9999}"#).contains("num_hidden_layers is 9999"));
    assert!(read(r#"{"model_type": "bert", "hidden_size": 1048572}"#).contains("at most 8589934592 parameters"));
    assert!(read(r#"{"model_type": "bert", "is_decoder": true}"#).contains("is_decoder is true, expected false"));
    assert!(read(r#"{"model_type": "bert", "vocab_size": -1}"#).contains("vocab_size is -1, expected a whole number"));
    assert!(read(r#"{"model_type": "bert", "hidden_size": "#).contains("config.json: not a readable model"));
}
