//! Weights from and to `model.safetensors` of the Hugging Face layout.

use std::{collections::HashMap, path::Path, sync::Arc};

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use crate::{EncoderConfig, EncoderError, Layout, Parameters};

/// Where the output layer's weights come from.
enum Head {
    Fresh { seed: u64 },
    File,
}

/// An encoder's weights from a safetensors file, with a fresh output layer of `classes`.
///
/// Tensor names may lack the prefix `bert.` and may end in the `gamma` and `beta` of old checkpoints; numbers may be
/// stored as f32, f16 or bf16. Tensors that the architecture does not need (a pooler, a pretraining head) are ignored.
///
/// # Errors
/// If the file is unreadable or incomplete, or a tensor is missing, has another shape or type, or is not finite.
pub fn load_encoder(
    path: &Path,
    config: &EncoderConfig,
    classes: usize,
    seed: u64,
) -> Result<Parameters, EncoderError> {
    load(path, config, classes, &Head::Fresh { seed })
}

/// An encoder's weights together with those of its token-classification layer of `classes`; else as [`load_encoder`].
///
/// # Errors
/// As [`load_encoder`].
pub fn load_classifier(path: &Path, config: &EncoderConfig, classes: usize) -> Result<Parameters, EncoderError> {
    load(path, config, classes, &Head::File)
}

fn load(path: &Path, config: &EncoderConfig, classes: usize, head: &Head) -> Result<Parameters, EncoderError> {
    config.check()?;
    let safetensors_error = |source| EncoderError::Safetensors { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(|source| EncoderError::Io { path: path.to_owned(), source })?;
    let file = SafeTensors::deserialize(&bytes).map_err(safetensors_error)?;
    let by_name: HashMap<String, TensorView<'_>> =
        file.iter().map(|(name, view)| (canonical_name(name), view)).collect();

    // Every tensor's shape is compared before the buffer is allocated: a config of absurd sizes asks for no memory.
    let layout = Layout::new(config, classes);
    let mut views = Vec::with_capacity(layout.tensors().len());
    for tensor in layout.tensors() {
        let fresh = matches!(head, Head::Fresh { .. }) && tensor.name.starts_with("classifier.");
        let view = if fresh { None } else { by_name.get(&tensor.name) };
        match view {
            None if fresh => {}
            None => return Err(EncoderError::MissingTensor { path: path.to_owned(), name: tensor.name.clone() }),
            Some(view) if view.shape() != tensor.shape => {
                return Err(EncoderError::TensorShape {
                    path: path.to_owned(),
                    name: tensor.name.clone(),
                    found: view.shape().to_vec(),
                    expected: tensor.shape.clone(),
                });
            }
            Some(_) => {}
        }
        views.push(view);
    }

    let mut parameters = Parameters::zeros(Arc::new(layout));
    let layout = parameters.layout().clone();
    for (index, (tensor, view)) in layout.tensors().iter().zip(views).enumerate() {
        let Some(view) = view else {
            let Head::Fresh { seed } = *head else { unreachable!("every tensor was found: this is a bug") };
            parameters.initialise_tensor(index, config, seed);
            continue;
        };
        let values = &mut parameters.values_mut()[tensor.range.clone()];
        if !decode(view, values) {
            return Err(EncoderError::TensorType {
                path: path.to_owned(),
                name: tensor.name.clone(),
                found: format!("{:?}", view.dtype()),
            });
        }
        if let Some(position) = values.iter().position(|v| !v.is_finite()) {
            return Err(EncoderError::TensorValue {
                path: path.to_owned(),
                name: tensor.name.clone(),
                found: values[position],
                position,
            });
        }
    }
    Ok(parameters)
}

/// The name that transformers gives the tensor today.
fn canonical_name(name: &str) -> String {
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    let bare = name.starts_with("embeddings.") || name.starts_with("encoder.");
    if bare { format!("bert.{name}") } else { name }
}

/// Fills `values` from the little-endian bytes of `view`; false for a number format that is not read.
fn decode(view: &TensorView<'_>, values: &mut [f32]) -> bool {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => {
            for (value, b) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*b);
            }
        }
        Dtype::F16 => {
            for (value, b) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = half::f16::from_le_bytes(*b).to_f32();
            }
        }
        Dtype::BF16 => {
            for (value, b) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = half::bf16::from_le_bytes(*b).to_f32();
            }
        }
        _ => return false,
    }
    true
}

/// Writes `parameters` as a safetensors file that transformers reads.
///
/// # Errors
/// If the file cannot be written.
pub fn save(parameters: &Parameters, path: &Path) -> Result<(), EncoderError> {
    let safetensors_error = |source| match source {
        SafeTensorError::IoError(source) => EncoderError::Io { path: path.to_owned(), source },
        source => EncoderError::Safetensors { path: path.to_owned(), source },
    };
    let mut encoded = Vec::with_capacity(parameters.layout().tensors().len());
    for (tensor, values) in parameters.tensors() {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        encoded.push((tensor, bytes));
    }
    let views = encoded
        .iter()
        .map(|(tensor, bytes)| Ok((tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(safetensors_error)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(safetensors_error)
}
