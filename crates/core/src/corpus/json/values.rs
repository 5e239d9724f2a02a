//! The top-level values of a stream of JSON: a line each, or the elements of one array.

use std::io::{BufRead, BufReader, Read};

use super::super::{Failure, LineProblem, lines::Lines, source::Opened};

type Stream = Box<dyn Read + Send>;

/// The values of a stream, undecoded, each with the line on which it starts. Blank lines are values too.
pub(super) enum Values {
    Lines(Lines<Stream>),
    Array(Elements),
}

impl Values {
    pub fn new(opened: Opened) -> Self {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let content = opened.head.strip_prefix(MARK).unwrap_or(&opened.head).trim_ascii_start();
        if content.first() != Some(&b'[') {
            return Self::Lines(Lines::new(opened.stream));
        }
        let before = opened.head.len() - content.len() + 1;
        let line = 1 + memchr::memchr_iter(b'\n', &opened.head[..before]).count();
        let stream = BufReader::with_capacity(1 << 18, opened.stream);
        Self::Array(Elements { stream, skip: before, line, value: Vec::new(), closed: false })
    }

    pub fn next(&mut self) -> Option<Result<(usize, &str), Failure>> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Array(elements) => elements.next(),
        }
    }
}

/// The elements of an array.
pub(super) struct Elements {
    stream: BufReader<Stream>,
    /// The bytes up to and with the bracket, which have still to be passed.
    skip: usize,
    line: usize,
    value: Vec<u8>,
    closed: bool,
}

impl Elements {
    fn next(&mut self) -> Option<Result<(usize, &str), Failure>> {
        let line = loop {
            self.value.clear();
            match self.reopened().and_then(|open| if open { self.scan() } else { Ok(None) }) {
                Ok(Some(line)) => break line,
                // An array may be empty, and another may follow.
                Ok(None) if self.is_at_end() => return None,
                Ok(None) => {}
                Err(failure) => return Some(Err(failure)),
            }
        };
        let invalid = |e: std::str::Utf8Error| LineProblem::Encoding { byte: e.valid_up_to() + 1 }.at(line);
        Some(str::from_utf8(&self.value).map(|value| (line, value)).map_err(invalid))
    }

    fn is_at_end(&mut self) -> bool {
        self.closed && self.stream.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Whether an array is open, or another follows the one that was closed; anything else but white space is an error.
    fn reopened(&mut self) -> Result<bool, Failure> {
        while self.closed {
            let bytes = match self.stream.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.abandon();
                    return Err(Failure::Io(error));
                }
            };
            let Some(&byte) = bytes.first() else { return Ok(false) };
            self.stream.consume(1);
            self.line += usize::from(byte == b'\n');
            match byte {
                b'[' => self.closed = false,
                byte if byte.is_ascii_whitespace() => {}
                _ => {
                    let failure = LineProblem::Json("something behind the array: expected its end".to_owned());
                    self.abandon();
                    return Err(failure.at(self.line));
                }
            }
        }
        Ok(true)
    }

    /// Nothing more is read.
    fn abandon(&mut self) {
        self.closed = true;
        self.stream = BufReader::new(Box::new(std::io::empty()));
    }

    /// Collects the bytes of the next element; gives its line.
    fn scan(&mut self) -> Result<Option<usize>, Failure> {
        let (mut depth, mut string, mut escaped) = (0_usize, false, false);
        let mut first = self.line;
        loop {
            let bytes = match self.stream.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.abandon();
                    return Err(Failure::Io(error));
                }
            };
            let skip = self.skip.min(bytes.len());
            if skip > 0 {
                self.skip -= skip;
                self.stream.consume(skip);
                continue;
            }
            if bytes.is_empty() {
                let why = "the array does not end: expected `]`; the file may have been cut off";
                self.abandon();
                return Err(LineProblem::Json(why.to_owned()).at(self.line));
            }
            let (mut used, mut ended) = (0, false);
            for &byte in bytes {
                used += 1;
                self.line += usize::from(byte == b'\n');
                if string {
                    string = escaped || byte != b'"';
                    escaped = !escaped && byte == b'\\';
                } else {
                    match byte {
                        b'"' => string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth > 0 => depth -= 1,
                        b']' => {
                            self.closed = true;
                            ended = true;
                        }
                        b',' if depth == 0 => ended = true,
                        _ => {}
                    }
                }
                if ended {
                    break;
                }
                if self.value.is_empty() {
                    if byte.is_ascii_whitespace() {
                        continue;
                    }
                    first = self.line;
                }
                self.value.push(byte);
            }
            self.stream.consume(used);
            if ended && self.value.is_empty() && !self.closed {
                return Err(LineProblem::Json("nothing before a comma: expected an object".to_owned()).at(self.line));
            }
            if ended {
                return Ok((!self.value.is_empty()).then_some(first));
            }
        }
    }
}
