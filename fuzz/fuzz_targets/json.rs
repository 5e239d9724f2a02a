#![no_main]

use apprentice_core::corpus::Format;

// The first byte chooses the dialect.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let dialects = [Format::Jsonl, Format::Doccano, Format::Entities, Format::Hf, Format::Gliner];
    if let Some((first, rest)) = bytes.split_first() {
        apprentice_fuzz::read(dialects[usize::from(*first) % dialects.len()], rest);
    }
});
