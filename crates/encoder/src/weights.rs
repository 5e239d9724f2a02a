//! Weights from and to `model.safetensors` of the Hugging Face layout.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    path::Path,
    str::FromStr,
    sync::Arc,
};

use half::bf16;
use safetensors::{Dtype, SafeTensorError, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{
    EncoderConfig, EncoderError, Layout, Parameters, Tensor, Transitions,
    family::Names,
    tensors::{Place, TensorFiles, is_readable},
};

/// The output layer, and where its weights come from.
enum Head {
    Fresh {
        classes: usize,
        seed: u64,
    },
    File {
        classes: usize,
    },
    FileWithCrf {
        allowed: Transitions,
    },
    /// Fresh where the file has none.
    Language {
        seed: u64,
    },
}

impl Head {
    fn layout(self, config: &EncoderConfig) -> Result<Layout, EncoderError> {
        match self {
            Self::Fresh { classes, .. } | Self::File { classes } => Ok(Layout::new(config, classes)),
            Self::FileWithCrf { allowed } => Ok(Layout::new(config, allowed.classes()).with_crf(allowed)),
            Self::Language { .. } => Layout::language_model(config),
        }
    }

    /// The seed of the tensors that may be fresh, and how their names begin.
    fn fresh(&self) -> Option<(u64, &'static str)> {
        match *self {
            Self::Fresh { seed, .. } => Some((seed, "classifier.")),
            Self::Language { seed } => Some((seed, "cls.predictions.")),
            Self::File { .. } | Self::FileWithCrf { .. } => None,
        }
    }
}

/// An encoder's weights from a safetensors file, or from the files that a `model.safetensors.index.json` names, with a
/// fresh output layer of `classes`.
///
/// Tensor names may lack the family's prefix (`bert.`) and may end in the `gamma` and `beta` of old checkpoints; numbers
/// may be stored as f32, f16 or bf16. Tensors that the architecture does not need (a pooler, a pretraining head) are
/// ignored. The files are not trusted: every shape is compared with `config` before memory is asked for.
///
/// # Errors
/// If a file is unreadable or incomplete, or a tensor is missing, has another shape or type, or is not finite.
pub fn load_encoder(
    path: &Path,
    config: &EncoderConfig,
    classes: usize,
    seed: u64,
) -> Result<Parameters, EncoderError> {
    load(path, config, Head::Fresh { classes, seed })
}

/// An encoder's weights together with those of its token-classification layer of `classes`; else as [`load_encoder`].
///
/// # Errors
/// As [`load_encoder`].
pub fn load_classifier(path: &Path, config: &EncoderConfig, classes: usize) -> Result<Parameters, EncoderError> {
    load(path, config, Head::File { classes })
}

/// The same where the token-classification layer has a linear-chain CRF over it: its scores are the tensors
/// `crf.transitions`, `crf.start_transitions` and `crf.end_transitions`. What is not `allowed` stays forbidden.
///
/// # Errors
/// As [`load_encoder`].
pub fn load_crf(path: &Path, config: &EncoderConfig, allowed: Transitions) -> Result<Parameters, EncoderError> {
    load(path, config, Head::FileWithCrf { allowed })
}

/// An encoder's weights with those of its masked language model; of an encoder without one, its head is fresh. Else as
/// [`load_encoder`].
///
/// # Errors
/// As [`load_encoder`] and [`Layout::language_model`].
pub fn load_language_model(path: &Path, config: &EncoderConfig, seed: u64) -> Result<Parameters, EncoderError> {
    load(path, config, Head::Language { seed })
}

fn load(path: &Path, config: &EncoderConfig, head: Head) -> Result<Parameters, EncoderError> {
    config.check()?;
    let mut files = TensorFiles::open(path)?;
    let fresh = head.fresh();
    let is_fresh_anyway = matches!(head, Head::Fresh { .. });
    let layout = head.layout(config)?;
    let may_be_fresh = |tensor: &Tensor, is_there: bool| {
        fresh.is_some_and(|(_, prefix)| tensor.name.starts_with(prefix)) && (is_fresh_anyway || !is_there)
    };
    let places = find(path, &files, &layout, config.family.names(), may_be_fresh)?;

    let mut parameters = Parameters::zeros(Arc::new(layout));
    let layout = parameters.layout().clone();
    for (index, (tensor, place)) in layout.tensors().iter().zip(places).enumerate() {
        let Some(place) = place else {
            let Some((seed, _)) = fresh else { unreachable!("every tensor was found: this is a bug") };
            parameters.initialise_tensor(index, config, seed);
            continue;
        };
        let values = &mut parameters.values_mut()[tensor.range.clone()];
        files.read(&place, values)?;
        if let Some(position) = values.iter().position(|v| !v.is_finite()) {
            return Err(EncoderError::TensorValue {
                path: files.path(&place).to_owned(),
                name: tensor.name.clone(),
                found: values[position],
                position,
            });
        }
    }
    Ok(parameters)
}

/// The place of every tensor of the layout, `None` for a fresh one (as `is_fresh` says, which is told whether it is there), its shape and number format checked.
fn find(
    path: &Path,
    files: &TensorFiles,
    layout: &Layout,
    names: &Names,
    is_fresh: impl Fn(&Tensor, bool) -> bool,
) -> Result<Vec<Option<Place>>, EncoderError> {
    let mut by_name: BTreeMap<String, (&str, &Place)> = BTreeMap::new();
    for (name, place) in &files.places {
        if let Some((first, _)) = by_name.insert(canonical_name(name, names), (name, place)) {
            let (path, first, second) = (files.path(place).to_owned(), first.to_owned(), name.clone());
            return Err(EncoderError::TensorTwice { path, first, second });
        }
    }
    let found = layout.tensors().iter().map(|tensor| {
        if is_fresh(tensor, by_name.contains_key(&tensor.name)) {
            return Ok(None);
        }
        let missing = || EncoderError::MissingTensor { path: path.to_owned(), name: tensor.name.clone() };
        let (_, place) = by_name.get(&tensor.name).ok_or_else(missing)?;
        let (path, name) = (files.path(place).to_owned(), tensor.name.clone());
        if place.shape != tensor.shape {
            let (found, expected) = (place.shape.clone(), tensor.shape.clone());
            return Err(EncoderError::TensorShape { path, name, found, expected });
        }
        if !is_readable(place.dtype) {
            return Err(EncoderError::TensorType { path, name, found: format!("{:?}", place.dtype) });
        }
        Ok(Some((*place).clone()))
    });
    found.collect()
}

/// The name that transformers gives the tensor today.
fn canonical_name(name: &str, names: &Names) -> String {
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    let stack = names.stack.split_once('.').map_or(names.stack, |(first, _)| first);
    let root = name.split_once('.').map_or("", |(first, _)| first);
    let bare = root == stack || root == "embeddings" || root == "embeddings_project";
    if bare { format!("{}.{name}", names.prefix) } else { name }
}

/// How weights are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NumberFormat {
    /// 32-bit floating point: as they are.
    #[default]
    F32,
    /// Rounded to the nearest number of its upper 16 bits: a file of half the size.
    Bf16,
}

impl NumberFormat {
    /// Their names here.
    pub const NAMES: [&str; 2] = ["f32", "bf16"];

    /// What becomes of a number that is saved.
    #[must_use]
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// What PyTorch calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }
}

impl FromStr for NumberFormat {
    type Err = EncoderError;

    fn from_str(text: &str) -> Result<Self, EncoderError> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(EncoderError::NumberFormat { found: text.to_owned() }),
        }
    }
}

/// Writes `parameters` as a safetensors file that transformers reads.
///
/// # Errors
/// If the file cannot be written.
pub fn save(parameters: &Parameters, path: &Path) -> Result<(), EncoderError> {
    save_as(NumberFormat::F32, parameters, path)
}

/// The same in a number format.
///
/// # Errors
/// As [`save`].
pub fn save_as(format: NumberFormat, parameters: &Parameters, path: &Path) -> Result<(), EncoderError> {
    let safetensors_error = |source| match source {
        SafeTensorError::IoError(source) => EncoderError::Io { path: path.to_owned(), source },
        source => EncoderError::Safetensors { path: path.to_owned(), source },
    };
    let mut encoded = Vec::with_capacity(parameters.layout().tensors().len());
    for (tensor, values) in parameters.tensors().filter(|(tensor, _)| parameters.layout().is_of_model(tensor)) {
        let bytes: Vec<u8> = match format {
            NumberFormat::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            NumberFormat::Bf16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        };
        encoded.push((tensor, bytes));
    }
    let dtype = match format {
        NumberFormat::F32 => Dtype::F32,
        NumberFormat::Bf16 => Dtype::BF16,
    };
    let views = encoded
        .iter()
        .map(|(tensor, bytes)| Ok((tensor.name.as_str(), TensorView::new(dtype, tensor.shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(safetensors_error)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // The crate makes a file that its owner alone can read: it gets the rights that the user's other files have.
    let io = |source| EncoderError::Io { path: path.to_owned(), source };
    let permissions = File::create(path).and_then(|file| file.metadata()).map_err(io)?.permissions();
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(safetensors_error)?;
    fs::set_permissions(path, permissions).map_err(io)
}
