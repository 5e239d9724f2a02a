//! Where corpora go: a file that is there whole or not at all, or standard output; compressed if the name says so.

use std::{
    io::{self, BufWriter, Stdout, Write},
    path::Path,
};

use flate2::write::GzEncoder;

use crate::files::{AtomicFile, FileError};

/// One output.
pub struct Sink(Kind);

enum Kind {
    Standard(BufWriter<Stdout>),
    Plain(AtomicFile),
    Gzip(GzEncoder<AtomicFile>),
    Zstandard(zstd::Encoder<'static, AtomicFile>),
}

impl Sink {
    /// Starts a file, or with `-` standard output. Names that end in `.gz` and `.zst` are compressed.
    ///
    /// # Errors
    /// As [`AtomicFile::create`].
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, FileError> {
        if path == Path::new("-") {
            return Ok(Self(Kind::Standard(BufWriter::with_capacity(1 << 16, io::stdout()))));
        }
        let file = AtomicFile::create(path, overwrite)?;
        Ok(Self(match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Kind::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => {
                let encoder = zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL);
                Kind::Zstandard(encoder.map_err(|source| FileError::Io { path: path.to_owned(), source })?)
            }
            _ => Kind::Plain(file),
        }))
    }

    /// Writes what is left, and puts the file in its place.
    ///
    /// # Errors
    /// As [`AtomicFile::commit`].
    pub fn commit(self, path: &Path) -> Result<(), FileError> {
        let io = |source| FileError::Io { path: path.to_owned(), source };
        match self.0 {
            Kind::Standard(mut out) => out.flush().map_err(io),
            Kind::Plain(file) => file.commit(),
            Kind::Gzip(encoder) => encoder.finish().map_err(io)?.commit(),
            Kind::Zstandard(encoder) => encoder.finish().map_err(io)?.commit(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Standard(out) => out.write(bytes),
            Kind::Plain(out) => out.write(bytes),
            Kind::Gzip(out) => out.write(bytes),
            Kind::Zstandard(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Standard(out) => out.flush(),
            Kind::Plain(out) => out.flush(),
            Kind::Gzip(out) => out.flush(),
            Kind::Zstandard(out) => out.flush(),
        }
    }
}
