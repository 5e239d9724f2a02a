//! Named data sets: what a run asks of them.

use std::{
    ffi::OsStr,
    fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    str::FromStr,
};

use apprentice_core::Sentence;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A data set by its name, or so many of its sentences, which each seed draws anew: `people`, `people:50`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataRef {
    /// The data set.
    pub name: String,
    /// How many of its sentences; all if not given.
    pub size: Option<usize>,
}

impl FromStr for DataRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, size) = match text.split_once(':') {
            None => (text, None),
            Some((name, size)) => {
                let size = size.parse().ok().filter(|&size| size > 0);
                let expected = || format!("`{text}`: expected the name of a data set, or NAME:SENTENCES");
                (name, Some(size.ok_or_else(expected)?))
            }
        };
        Ok(Self { name: name.to_owned(), size })
    }
}

impl TryFrom<String> for DataRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DataRef> for String {
    fn from(data: DataRef) -> Self {
        data.to_string()
    }
}

impl fmt::Display for DataRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.size.map_or(Ok(()), |size| write!(f, ":{size}"))
    }
}

/// `size` of the sentences, drawn without replacement, in their order. Under one seed a smaller draw is part of a larger one.
///
/// ```
/// use apprentice_core::Sentence;
/// let all: Vec<_> = (0..100).map(|i| Sentence::from_words(format!("s{i:02}"), ["Rome"])).collect();
/// let ids = |size, seed| apprentice_lab::subset(&all, size, seed).iter().map(|s| s.id().to_owned()).collect::<Vec<_>>();
/// assert_eq!(ids(10, 1).len(), 10);
/// assert!(ids(10, 1).is_sorted() && ids(10, 1) != ids(10, 2));
/// assert!(ids(10, 1).iter().all(|id| ids(20, 1).contains(id)));
/// ```
#[must_use]
pub fn subset(sentences: &[Sentence], size: usize, seed: u64) -> Vec<Sentence> {
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order.truncate(size);
    order.sort_unstable();
    order.into_iter().map(|at| sentences[at].clone()).collect()
}

/// A hash of the sentences' words, entities and confidences, in their order: what training and scoring make use of.
#[must_use]
pub fn fingerprint(sentences: &[Sentence]) -> String {
    let mut hash = Sha256::new();
    for sentence in sentences {
        let confidences = (0..sentence.entities().len()).map(|index| sentence.confidence(index));
        let words: Vec<&str> = sentence.words().collect();
        hash.update(format!("{words:?} {:?} {:?}\n", sentence.entities(), confidences.collect::<Vec<_>>()));
    }
    short(hash)
}

/// A hash of a model directory: of the files in it that decide what a model does.
///
/// # Errors
/// If it cannot be read.
pub fn fingerprint_model(directory: &Path) -> io::Result<String> {
    let decides = |path: &Path| {
        let ending = path.extension().and_then(OsStr::to_str);
        path.is_file() && ending.is_some_and(|ending| ["json", "txt", "safetensors"].contains(&ending))
    };
    let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| decides(path));
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        hash.update(format!("{:?}\n", path.file_name()));
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        while let bytes @ [_, ..] = file.fill_buf()? {
            hash.update(bytes);
            let read = bytes.len();
            file.consume(read);
        }
    }
    Ok(short(hash))
}

/// The first 64 bits in hexadecimal digits: enough to tell the runs of a lifetime apart.
pub(crate) fn short(hash: Sha256) -> String {
    hash.finalize()[..8].iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}
