//! Hashes of contents, in lower-case hexadecimal.

use std::{fs::File, io, io::Read};

use sha2::Digest;

/// What `hasher` gives of all that a file still has, read a piece at a time.
pub(crate) fn hash(mut hasher: impl Digest, mut file: File) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
