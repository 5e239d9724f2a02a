//! Tokenised text on disk: sequences of sub-words, read by their number.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::StudentError;

/// Set in a sub-word's id on disk if it goes on with the word before it.
const CONTINUES: u32 = 1 << 31;

/// A sub-word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub id: u32,
    /// Whether it goes on with the word of the one before it.
    pub continues: bool,
}

/// Sequences being written: all sub-words end to end, and where each sequence ends.
pub(super) struct StoreWriter {
    path: PathBuf,
    pieces: BufWriter<File>,
    ends: BufWriter<File>,
    written: u64,
    sequences: u64,
}

fn parts(path: &Path) -> [PathBuf; 2] {
    [path.with_extension("pieces"), path.with_extension("ends")]
}

impl StoreWriter {
    pub(super) fn create(path: &Path) -> Result<Self, StudentError> {
        let [pieces, ends] = parts(path)
            .map(|path| File::create(&path).map(BufWriter::new).map_err(|source| StudentError::Io { path, source }));
        Ok(Self { path: path.to_owned(), pieces: pieces?, ends: ends?, written: 0, sequences: 0 })
    }

    pub(super) fn push(&mut self, sequence: &[Piece]) -> Result<(), StudentError> {
        let mut write = || {
            for piece in sequence {
                let id = piece.id | if piece.continues { CONTINUES } else { 0 };
                self.pieces.write_all(&id.to_le_bytes())?;
            }
            self.written += sequence.len() as u64;
            self.sequences += 1;
            self.ends.write_all(&self.written.to_le_bytes())
        };
        write().map_err(|source| StudentError::Io { path: self.path.clone(), source })
    }

    pub(super) fn sequences(&self) -> u64 {
        self.sequences
    }

    pub(super) fn finish(self) -> Result<Store, StudentError> {
        let Self { path, pieces, ends, .. } = self;
        let close = |file: BufWriter<File>| file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all();
        close(pieces).and_then(|()| close(ends)).map_err(|source| StudentError::Io { path: path.clone(), source })?;
        Store::open(&path)
    }
}

/// Sequences that were written.
pub(super) struct Store {
    path: PathBuf,
    pieces: File,
    ends: File,
    sequences: u64,
    tokens: u64,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StudentError> {
        let io = |source| StudentError::Io { path: path.to_owned(), source };
        let [pieces, ends] = parts(path).map(|path| File::open(path).map_err(io));
        let (pieces, ends) = (pieces?, ends?);
        let size = |file: &File| file.metadata().map(|metadata| metadata.len()).map_err(io);
        let (sequences, tokens) = (size(&ends)? / 8, size(&pieces)? / 4);
        let mut store = Self { path: path.to_owned(), pieces, ends, sequences, tokens };
        if store.end(sequences)? != tokens {
            return Err(io(io::Error::other("the tokenised text is damaged: delete it, and it is made again")));
        }
        Ok(store)
    }

    pub(super) fn sequences(&self) -> u64 {
        self.sequences
    }

    /// Sub-words of all sequences.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// How many sub-words the first so many sequences have.
    fn end(&mut self, sequences: u64) -> Result<u64, StudentError> {
        let Some(last) = sequences.checked_sub(1) else { return Ok(0) };
        let mut bytes = [0; 8];
        let mut read = || {
            self.ends.seek(SeekFrom::Start(last * 8))?;
            self.ends.read_exact(&mut bytes)
        };
        read().map_err(|source| StudentError::Io { path: self.path.clone(), source })?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A sequence by its number.
    pub(super) fn read(&mut self, sequence: u64) -> Result<Vec<Piece>, StudentError> {
        let (start, end) = (self.end(sequence)?, self.end(sequence + 1)?);
        let mut bytes = vec![0; (end.saturating_sub(start) * 4) as usize];
        let mut read = || {
            self.pieces.seek(SeekFrom::Start(start * 4))?;
            self.pieces.read_exact(&mut bytes)
        };
        read().map_err(|source| StudentError::Io { path: self.path.clone(), source })?;
        let piece = |bytes: &[u8; 4]| {
            let id = u32::from_le_bytes(*bytes);
            Piece { id: id & !CONTINUES, continues: id & CONTINUES != 0 }
        };
        Ok(bytes.as_chunks().0.iter().map(piece).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        let piece = |id, continues| Piece { id, continues };
        let sequences =
            [vec![piece(1, false), piece(2, true)], vec![], vec![piece(30_000, false)], vec![piece(0, false); 500]];
        let mut writer = StoreWriter::create(&path).unwrap();
        for sequence in &sequences {
            writer.push(sequence).unwrap();
        }
        assert_eq!(writer.sequences(), 4);
        let mut store = writer.finish().unwrap();
        assert_eq!((store.sequences(), store.tokens()), (4, 503));
        for number in [3, 0, 2, 1] {
            assert_eq!(store.read(number).unwrap(), sequences[number as usize]);
        }
        assert!(store.read(4).is_err());
        File::options().write(true).open(path.with_extension("pieces")).unwrap().set_len(8).unwrap();
        assert!(Store::open(&path).err().unwrap().to_string().contains("damaged"));
    }
}
