//! The encoder in the binary, for machines that have no other.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use apprentice_core::files;
use apprentice_student::hub::user_cache;

use crate::output;

/// What `--encoder` calls it.
pub const NAME: &str = "built-in";

macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../data/encoder/", $name)).as_slice())
    };
}

/// A constant would be in the program once for each use.
static FILES: [(&str, &[u8]); 5] = [
    file!("model.safetensors"),
    file!("config.json"),
    file!("vocab.txt"),
    file!("tokenizer_config.json"),
    file!("README.md"),
];

/// The same, for settings that name no other.
pub fn name() -> String {
    NAME.to_owned()
}

/// The directory of its files: in the user's cache, where they are put unless they are there as they should be.
pub fn directory() -> Result<PathBuf> {
    // Another version of the program may have another one.
    let sum = FILES.iter().fold(0, |sum, (_, content)| crc32c::crc32c_append(sum, content));
    let name = format!("{NAME}-{sum:08x}");
    let cache = user_cache(|name| env::var_os(name)).context(
        "no home directory for the encoder in the program: set XDG_CACHE_HOME to a directory, or pass another --encoder",
    )?;
    let path = cache.join("apprentice").join(name);
    let is_whole =
        || FILES.iter().all(|(name, content)| fs::read(path.join(name)).is_ok_and(|found| found == *content));
    if is_whole() {
        return Ok(path);
    }
    let put = || {
        fs::create_dir_all(cache.join("apprentice"))?;
        files::write_directory_atomic(&path, true, |to| {
            FILES.iter().try_for_each(|(name, content)| output::write_part(to, name, content))
        })
    };
    match put() {
        // Another process may have been faster.
        Err(_) if is_whole() => Ok(path.clone()),
        put => put.map(|()| path.clone()).with_context(|| {
            format!(
                "{}: the encoder in the program is put there: set XDG_CACHE_HOME to another directory, or pass another \
                 --encoder",
                path.display()
            )
        }),
    }
}
