#![no_main]

use std::{fs, sync::LazyLock};

use apprentice_core::corpus::{Format, Source};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

// The text, a NUL, the annotations: brat has them in two files.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == 0) else { return };
    let annotations = FOLDER.path().join("fuzz.ann");
    fs::write(annotations.with_extension("txt"), &bytes[..end]).expect("a file");
    fs::write(&annotations, &bytes[end + 1..]).expect("a file");
    apprentice_fuzz::read_source(Format::Brat, &Source::of(&annotations));
});
