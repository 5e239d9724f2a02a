//! Safetensors files, opened and checked: where the bytes of each tensor lie. Nothing but headers is read before a tensor
//! is asked for, and no size that a header states is believed before it fits the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensorError, tensor::TensorInfo};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    EncoderError,
    files::{open, read_bounded},
};

/// The largest header or index that is read, in bytes: a thousand layers need a quarter of it.
const LARGEST_HEADER: u64 = 4 << 20;
/// The most files that one model may be cut into.
const MOST_SHARDS: usize = 1024;

/// A tensor in one of the files.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    file: usize,
    /// Where in the file its bytes begin.
    start: u64,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// The files of a model's weights.
pub(crate) struct TensorFiles {
    files: Vec<(PathBuf, File)>,
    /// By name.
    pub places: BTreeMap<String, Place>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    _metadata: Option<IgnoredAny>,
    #[serde(flatten)]
    tensors: BTreeMap<String, TensorInfo>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl TensorFiles {
    /// Opens a safetensors file, or all files that a `….safetensors.index.json` names.
    pub(crate) fn open(path: &Path) -> Result<Self, EncoderError> {
        let mut files = Self { files: Vec::new(), places: BTreeMap::new() };
        if path.extension().is_some_and(|extension| extension == "json") {
            files.add_shards(path)?;
        } else {
            files.add(path)?;
        }
        Ok(files)
    }

    /// The file in which a tensor lies.
    pub(crate) fn path(&self, place: &Place) -> &Path {
        &self.files[place.file].0
    }

    /// Opens one more file, and checks that its tensors fill it without gap or overlap.
    fn add(&mut self, path: &Path) -> Result<(), EncoderError> {
        let broken = |source| EncoderError::Safetensors { path: path.to_owned(), source };
        let io = |source| EncoderError::Io { path: path.to_owned(), source };
        let (mut file, length) = open(path)?;
        let mut size = [0; 8];
        if length < size.len() as u64 {
            return Err(broken(SafeTensorError::HeaderTooSmall));
        }
        file.read_exact(&mut size).map_err(io)?;
        let size = u64::from_le_bytes(size);
        if size > LARGEST_HEADER {
            return Err(broken(SafeTensorError::HeaderTooLarge));
        }
        let begin = 8 + size;
        if begin > length {
            return Err(broken(SafeTensorError::InvalidHeaderLength));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(io)?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|e| broken(SafeTensorError::InvalidHeaderDeserialization(e)))?;
        let mut tensors: Vec<(String, TensorInfo)> = header.tensors.into_iter().collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in tensors {
            let place = |problem| EncoderError::TensorPlace { path: path.to_owned(), name: name.clone(), problem };
            end = check_place(&info, end).map_err(place)?;
            let start = begin + info.data_offsets.0 as u64;
            let place = Place { file: self.files.len(), start, dtype: info.dtype, shape: info.shape };
            if self.places.insert(name.clone(), place).is_some() {
                let problem = "stands in two files of the model".to_owned();
                return Err(EncoderError::TensorPlace { path: path.to_owned(), name, problem });
            }
        }
        if begin.checked_add(end as u64) != Some(length) {
            return Err(broken(SafeTensorError::MetadataIncompleteBuffer));
        }
        self.files.push((path.to_owned(), file));
        Ok(())
    }

    /// Opens the files that an index names, each once; they and the index must agree about every tensor.
    fn add_shards(&mut self, path: &Path) -> Result<(), EncoderError> {
        let error = |problem: String| EncoderError::ShardIndex { path: path.to_owned(), problem };
        let text = read_bounded(path, LARGEST_HEADER)?;
        let index: Index = serde_json::from_slice(&text).map_err(|e| error(format!("not a readable index: {e}")))?;
        let shards: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        // All names before any file is touched.
        if let Some(name) = shards.iter().find(|name| !is_plain_name(name)) {
            let expected = "expected the name of a file beside it, such as model-00001-of-00002.safetensors";
            return Err(error(format!("weight_map names the file {:?}, {expected}", abridge(name))));
        }
        if shards.len() > MOST_SHARDS {
            return Err(error(format!("weight_map names {} files, expected at most {MOST_SHARDS}", shards.len())));
        }
        for shard in &shards {
            self.add(&path.with_file_name(shard))?;
        }
        for (tensor, shard) in &index.weight_map {
            let found = self.places.get(tensor).map(|place| self.path(place));
            if found != Some(&path.with_file_name(shard)) {
                return Err(error(format!("tensor `{}` is not in {shard}, as weight_map says", abridge(tensor))));
            }
        }
        Ok(())
    }

    /// Fills `values` with the numbers of a tensor, which has as many, of a format that [`is_readable`].
    pub(crate) fn read(&mut self, place: &Place, values: &mut [f32]) -> Result<(), EncoderError> {
        /// Numbers that are converted at once.
        const CHUNK: usize = 1 << 16;
        let (path, file) = &mut self.files[place.file];
        let io = |source| EncoderError::Io { path: path.clone(), source };
        file.seek(SeekFrom::Start(place.start)).map_err(io)?;
        let mut bytes = vec![0; CHUNK.min(values.len()) * (place.dtype.bitsize() / 8)];
        for values in values.chunks_mut(CHUNK) {
            let bytes = &mut bytes[..values.len() * (place.dtype.bitsize() / 8)];
            file.read_exact(bytes).map_err(io)?;
            decode(place.dtype, bytes, values);
        }
        Ok(())
    }
}

/// Whether numbers of this format can be read.
pub(crate) fn is_readable(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Fills `values` from little-endian bytes of a format that [`is_readable`].
fn decode(dtype: Dtype, bytes: &[u8], values: &mut [f32]) {
    match dtype {
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
        _ => {
            for (value, b) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*b);
            }
        }
    }
}

/// Where the tensor ends that must start at `start`; or what is wrong with its place.
fn check_place(info: &TensorInfo, start: usize) -> Result<usize, String> {
    let (from, to) = info.data_offsets;
    if from < start {
        return Err(format!("starts at byte {from} of the data and overlaps what ends at {start}"));
    }
    if from > start {
        return Err(format!("starts at byte {from} of the data, expected {start}, where the one before it ends"));
    }
    let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |product, size| product.checked_mul(*size));
    let bits = bits.ok_or("has a shape whose product is beyond all numbers")?;
    let found = to.checked_sub(from);
    if !bits.is_multiple_of(8) || found != Some(bits / 8) {
        return Err(format!("lies at bytes {from} to {to} of the data, but its shape needs {} bytes", bits / 8));
    }
    Ok(to)
}

/// Whether a name is that of a safetensors file in the same folder, on every system: no separators, no drive, no device.
fn is_plain_name(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
    let Some(stem) = name.strip_suffix(".safetensors") else { return false };
    let lower = stem.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = DEVICES.contains(&lower.trim_end_matches(|c: char| c.is_ascii_digit()));
    name.len() <= 200
        && !name.starts_with('.')
        && !device
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A name from a file as an error shows it.
fn abridge(name: &str) -> String {
    name.chars().take(80).collect()
}
