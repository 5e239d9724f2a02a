//! The hashes by which the hub names contents.

use std::{fs::File, io, path::Path};

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::name::is_lower_hex;
use crate::checksum::hash;

/// What an `ETag` of the hub says about a content. In lower-case hexadecimal, it is the content's name in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Digest {
    /// SHA-1 as git counts it for a blob: over `blob LENGTH`, a zero and the content.
    GitBlob(String),
    /// SHA-256 of the content: of files in large file storage.
    Sha256(String),
}

impl Digest {
    /// Nothing if the tag is none of these: such a content could not be checked.
    pub fn of_etag(etag: &str) -> Option<Self> {
        let hash = etag.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        if is_lower_hex(&hash, 40) {
            Some(Self::GitBlob(hash))
        } else {
            is_lower_hex(&hash, 64).then_some(Self::Sha256(hash))
        }
    }

    pub fn as_str(&self) -> &str {
        let (Self::GitBlob(hash) | Self::Sha256(hash)) = self;
        hash
    }

    /// Whether it is that of a file's content, as it is on the disk.
    pub fn is_of(&self, path: &Path) -> io::Result<bool> {
        let file = File::open(path)?;
        let found = match self {
            Self::GitBlob(_) => {
                let header = format!("blob {}\0", file.metadata()?.len());
                hash(Sha1::new_with_prefix(header), file)?
            }
            Self::Sha256(_) => hash(Sha256::new(), file)?,
        };
        Ok(found == self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn known_hashes() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hello\n").unwrap();
        // `git hash-object` and `sha256sum`.
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for tag in [format!("\"{git}\""), format!("W/\"{}\"", git.to_uppercase()), format!("\"{sha}\"")] {
            assert!(Digest::of_etag(&tag).unwrap().is_of(file.path()).unwrap(), "{tag}");
        }
        let other = Digest::of_etag(&sha.replace('5', "6")).unwrap();
        assert!(!other.is_of(file.path()).unwrap());
        for tag in ["", "\"abc\"", &format!("{git}-gzip"), &format!("../{}", &git[3..])] {
            assert_eq!(Digest::of_etag(tag), None, "{tag}");
        }
    }
}
