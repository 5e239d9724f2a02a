#![no_main]

use apprentice_teacher::{LabelSet, Prompt, Strategy};

// What is read as a label set can be put into every prompt, and its schema names its types.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(set) = LabelSet::parse(&String::from_utf8_lossy(bytes), "fuzz.toml") else { return };
    for strategy in Strategy::built_in() {
        let prompt = Prompt::new(&strategy, &set).expect("the built-in prompts take every label set");
        let types = &prompt.schema()["properties"]["entities"]["items"]["properties"]["type"]["enum"];
        assert_eq!(types.as_array().map(Vec::len), Some(set.types.len()));
    }
});
