//! Lines of a stream: numbered, without byte order mark and line ends, of any length, checked to be UTF-8.

use std::io::{self, Read};

use super::{Failure, LineProblem};

const BLOCK: usize = 1 << 18;
const MARK: char = '\u{feff}';

/// Reads line by line; memory is that of the longest line.
///
/// Whole blocks of lines are checked to be UTF-8 at once, which is several times faster than line by line.
pub(super) struct Lines<R> {
    input: R,
    /// Whole lines, up to `at` given away.
    block: Block,
    at: usize,
    /// What was read behind the block: the start of a line.
    rest: Vec<u8>,
    at_end: bool,
    number: usize,
}

/// Some lines, the last one perhaps without its end.
enum Block {
    Text(String),
    /// There is a line in it that is not UTF-8.
    Bytes(Vec<u8>),
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Self {
        Self { input, block: Block::Text(String::new()), at: 0, rest: Vec::new(), at_end: false, number: 0 }
    }

    /// The next line and its number, from 1. After a line that is no UTF-8 the next call goes on behind it.
    pub fn next(&mut self) -> Option<Result<(usize, &str), Failure>> {
        if self.at == self.block.bytes().len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(source) => return Some(Err(Failure::Io(source))),
            }
        }
        let start = self.at;
        let rest = &self.block.bytes()[start..];
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let end = start + length;
        self.at = (end + 1).min(start + rest.len());
        self.number += 1;
        let number = self.number;
        let line = match &self.block {
            Block::Text(text) => &text[start..end],
            Block::Bytes(bytes) => match str::from_utf8(&bytes[start..end]) {
                Ok(line) => line,
                Err(e) => return Some(Err(LineProblem::Encoding { byte: e.valid_up_to() + 1 }.at(number))),
            },
        };
        let line = if number == 1 { line.strip_prefix(MARK).unwrap_or(line) } else { line };
        Some(Ok((number, line.strip_suffix('\r').unwrap_or(line))))
    }

    /// Reads the next block; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = match std::mem::replace(&mut self.block, Block::Text(String::new())) {
            Block::Text(text) => text.into_bytes(),
            Block::Bytes(bytes) => bytes,
        };
        bytes.clear();
        bytes.append(&mut self.rest);
        self.at = 0;
        let mut searched = 0;
        while !self.at_end {
            let wanted = BLOCK.max(bytes.len());
            let read = (&mut self.input).take(wanted as u64).read_to_end(&mut bytes);
            // After a failure there is nothing more to be had, and what was read may be half a line.
            self.at_end = !read.as_ref().is_ok_and(|&read| read == wanted);
            read?;
            if let Some(last) = memchr::memrchr(b'\n', &bytes[searched..]).filter(|_| !self.at_end) {
                self.rest.extend_from_slice(&bytes[searched + last + 1..]);
                bytes.truncate(searched + last + 1);
                break;
            }
            searched = bytes.len();
        }
        self.block = match String::from_utf8(bytes) {
            Ok(text) => Block::Text(text),
            Err(error) => Block::Bytes(error.into_bytes()),
        };
        Ok(!self.block.bytes().is_empty())
    }
}

impl Block {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    fn all(input: impl Read) -> Vec<(usize, String)> {
        let mut lines = Lines::new(input);
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            let (number, line) = line.unwrap_or((0, "not UTF-8"));
            found.push((number, line.to_owned()));
        }
        found
    }

    #[test]
    fn marks_line_ends_and_blocks() {
        let text = b"\xEF\xBB\xBFa\r\n\nb\xFF\n\xEF\xBB\xBFc";
        let expected = [(1, "a"), (2, ""), (0, "not UTF-8"), (4, "\u{feff}c")].map(|(n, l)| (n, l.to_owned()));
        assert_eq!(all(&text[..]), expected);
        assert_eq!(all(Slow(text)), expected);
        let long = "x".repeat(3 * BLOCK + 7);
        let text = format!("{long}\n{long}y\n\n{}", "z\n".repeat(BLOCK));
        let lines = all(text.as_bytes());
        assert_eq!((lines[0].1.len(), lines[1].1.len(), lines.len()), (3 * BLOCK + 7, 3 * BLOCK + 8, 3 + BLOCK));
    }
}
