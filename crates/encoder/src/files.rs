//! Foreign files of a model directory: bounded before a byte is read.

use std::{fs::File, io::Read, path::Path};

use crate::EncoderError;

/// Opens a regular file (links are followed: model caches consist of them) and says how long it is.
pub(crate) fn open(path: &Path) -> Result<(File, u64), EncoderError> {
    let io = |source| EncoderError::Io { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(EncoderError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    Ok((file, length))
}

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// [`EncoderError::Io`], [`EncoderError::NotAFile`], or [`EncoderError::FileTooLarge`] before anything is read.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, EncoderError> {
    let (file, found) = open(path)?;
    if found > limit {
        return Err(EncoderError::FileTooLarge { path: path.to_owned(), found, limit });
    }
    let mut content = Vec::new();
    let io = |source| EncoderError::Io { path: path.to_owned(), source };
    file.take(limit).read_to_end(&mut content).map_err(io)?;
    Ok(content)
}
