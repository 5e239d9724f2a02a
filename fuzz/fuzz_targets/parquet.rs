#![no_main]

use apprentice_core::corpus::Format;

// The hook of `libfuzzer-sys` aborts at every panic, those included that the reader catches because crate `parquet` has
// them. One that it does not catch ends the process all the same.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| apprentice_fuzz::read(Format::Parquet, bytes)
);
