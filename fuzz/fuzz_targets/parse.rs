#![no_main]

use apprentice_teacher::{ParseIssue, parse};

// What a completion claims can be read again from the answer that was asked for.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let completion = String::from_utf8_lossy(bytes);
    match parse(&completion) {
        Ok(parsed) => {
            assert!(parsed.malformed.first.len() <= parsed.malformed.count);
            let whole = serde_json::json!({"entities": parsed.mentions}).to_string();
            // What stands before the end of thoughts does not count.
            if whole.contains("</think>") {
                return;
            }
            assert_eq!(parse(&whole).expect("an answer as it was asked for").mentions, parsed.mentions);
        }
        Err(ParseIssue::CutOff { at, .. }) => assert!(at <= completion.len()),
        Err(issue) => assert!(!issue.to_string().is_empty()),
    }
});
