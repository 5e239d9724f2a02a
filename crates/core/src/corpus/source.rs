//! Where corpora come from: files, folders, patterns and standard input, plain or compressed.

use std::{
    fs::{self, File},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use super::{CorpusError, Format};

/// One input: a file, standard input, or bytes that stand for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name in messages, and what automatic ids start with.
    pub path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File,
    StandardInput,
    Bytes(Vec<u8>),
}

/// A stream whose first bytes are known, decompressed.
pub(super) struct Opened {
    /// The first bytes, at most [`Opened::HEAD`] of them.
    pub head: Vec<u8>,
    /// All bytes, those of the head included.
    pub stream: Box<dyn Read + Send>,
}

impl Opened {
    const HEAD: usize = 1 << 18;
}

impl Source {
    /// A file, or with `-` standard input.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if path == Path::new("-") {
            return Self { path: "stdin".into(), kind: Kind::StandardInput };
        }
        Self { path: path.to_owned(), kind: Kind::File }
    }

    /// Bytes that stand for the file `path`.
    #[must_use]
    pub fn bytes(path: &Path, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), kind: Kind::Bytes(bytes.into()) }
    }

    /// What a path of the command line means: a file, `-`, a folder (its files of known endings, folders within it
    /// included, sorted by name, hidden ones left out; of `x.txt` and `x.ann` only the latter), or a pattern with `*`,
    /// `?` or `[…]`.
    ///
    /// # Errors
    /// [`CorpusError::NoFiles`] if a folder or a pattern has no file, [`CorpusError::Io`] if a folder cannot be read.
    pub fn expand(path: &Path) -> Result<Vec<Self>, CorpusError> {
        if path.is_dir() {
            let mut files = Vec::new();
            list(path, &mut files)?;
            let standoff: Vec<PathBuf> =
                files.iter().filter(|f| f.extension().is_some_and(|e| e == "ann")).cloned().collect();
            files.retain(|file| !standoff.iter().any(|ann| *ann != *file && ann.with_extension("txt") == *file));
            return some_of(path, &files);
        }
        let text = path.to_string_lossy();
        if path == Path::new("-") || path.exists() || !text.contains(['*', '?', '[']) {
            return Ok(vec![Self::of(path)]);
        }
        let pattern = |why: String| CorpusError::Io { path: path.to_owned(), source: io::Error::other(why) };
        let found = glob::glob(&text).map_err(|e| pattern(e.to_string()))?;
        let files: Result<Vec<PathBuf>, _> = found.collect();
        let mut files = files.map_err(|e| pattern(e.to_string()))?;
        files.retain(|file| file.is_file());
        some_of(path, &files)
    }

    /// Whether opening it a second time gives the same again: not so for standard input.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.kind != Kind::StandardInput
    }

    /// The file of the same stem beside this one; `None` if this is no file.
    pub(super) fn neighbour(&self, extension: &str) -> Option<PathBuf> {
        let path = self.file()?;
        let is_compressed = path.extension().is_some_and(|ending| ending == "gz" || ending == "zst");
        let plain = if is_compressed { path.with_extension("") } else { path.to_owned() };
        Some(plain.with_extension(extension))
    }

    /// The path, if it is one of the file system.
    pub(super) fn file(&self) -> Option<&Path> {
        (self.kind == Kind::File).then_some(&self.path)
    }

    /// What automatic ids start with: the file name up to its last dot, endings of compression not counted.
    pub(super) fn stem(&self) -> String {
        let name = self.path.file_name().map_or_else(|| "sentence".into(), |name| name.to_string_lossy());
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        if stem.is_empty() { name.to_owned() } else { stem.to_owned() }
    }

    /// Opens the stream, decompressed if its first bytes say that it is compressed.
    pub(super) fn open(&self) -> io::Result<Opened> {
        let raw: Box<dyn Read + Send> = match &self.kind {
            Kind::File => Box::new(File::open(&self.path)?),
            Kind::StandardInput => Box::new(io::stdin()),
            Kind::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
        };
        let Opened { head, stream } = peek(raw)?;
        match head.as_slice() {
            [0x1F, 0x8B, ..] => peek(Box::new(flate2::read::MultiGzDecoder::new(stream))),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => peek(Box::new(zstd::Decoder::new(stream)?)),
            _ => Ok(Opened { head, stream }),
        }
    }

    /// The whole content as a file that can be read at any place; what is no plain file is copied to a temporary one.
    #[cfg(feature = "parquet")]
    pub(super) fn open_seekable(&self, opened: Opened) -> io::Result<File> {
        let mut file = match self.kind {
            Kind::File if self.path.is_file() && starts_with(&self.path, *b"PAR1") => File::open(&self.path)?,
            _ => {
                let mut copy = tempfile::tempfile()?;
                let mut stream = opened.stream;
                io::copy(&mut stream, &mut copy)?;
                copy
            }
        };
        io::Seek::rewind(&mut file)?;
        Ok(file)
    }
}

#[cfg(feature = "parquet")]
fn starts_with(path: &Path, magic: [u8; 4]) -> bool {
    let mut first = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == magic
}

fn peek(mut stream: Box<dyn Read + Send>) -> io::Result<Opened> {
    let mut head = Vec::new();
    (&mut stream).take(Opened::HEAD as u64).read_to_end(&mut head)?;
    Ok(Opened { stream: Box::new(Cursor::new(head.clone()).chain(stream)), head })
}

fn some_of(path: &Path, files: &[PathBuf]) -> Result<Vec<Source>, CorpusError> {
    if files.is_empty() {
        return Err(CorpusError::NoFiles { path: path.to_owned() });
    }
    Ok(files.iter().map(|file| Source::of(file)).collect())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    let io = |source| CorpusError::Io { path: folder.to_owned(), source };
    let entries: io::Result<Vec<fs::DirEntry>> = fs::read_dir(folder).map_err(io)?.collect();
    let mut paths: Vec<PathBuf> = entries.map_err(io)?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else if Format::of_name(&name).is_some() {
            files.push(path);
        }
    }
    Ok(())
}
