#![no_main]

use apprentice_core::corpus::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apprentice_fuzz::read(Format::LabelStudio, bytes));
