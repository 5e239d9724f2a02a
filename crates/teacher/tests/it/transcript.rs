use std::error::Error;
use std::io::{BufReader, Read};

use apprentice_teacher::{Transcript, TranscriptError, Unused};

use crate::sentence;

fn line(id: &str, strategy: &str, text: &str) -> String {
    serde_json::json!({"id": id, "strategy": strategy, "model": "m", "sentence": text, "completion": "{}"}).to_string()
        + "\n"
}

fn read(text: &str) -> Result<Transcript, TranscriptError> {
    Transcript::read(text.as_bytes(), "t.jsonl")
}

#[test]
fn files_as_editors_leave_them_are_read() {
    let text = format!("\u{feff}{}\r\n\n  \n{}", line("a", "cot", "A .").trim(), line("b", "cot", "B .").trim());
    let transcript = read(&text).unwrap();
    let ids: Vec<_> = transcript.completions().iter().map(|c| &*c.id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        (transcript.samples("cot", "b").next().unwrap().sentence.as_str(), transcript.samples("cot", "c").count()),
        ("B .", 0)
    );
}

#[test]
fn a_broken_line_is_named_with_what_was_expected() {
    for (broken, found) in [
        ("{\"id\": \"b\",", "EOF while parsing"),
        ("not json", "expected ident"),
        ("[1, 2]", "invalid type"),
        (r#"{"id": "b", "strategy": "cot", "model": "m", "sentence": "B"}"#, "missing field `completion`"),
        (r#"{"id": 7, "strategy": "cot", "model": "m", "sentence": "B", "completion": ""}"#, "invalid type: integer"),
    ] {
        let error = read(&format!("{}{broken}\n", line("a", "cot", "A ."))).unwrap_err();
        assert!(matches!(error, TranscriptError::Json { line: 2, .. }), "{error:?}");
        assert!(error.to_string().starts_with("t.jsonl:2: expected one JSON object with"), "{error}");
        assert!(error.source().unwrap().to_string().contains(found), "{:?}", error.source());
    }
    for empty in ["", "\n \n", "\u{feff}"] {
        assert!(matches!(read(empty), Err(TranscriptError::Empty { .. })), "{empty:?}");
    }
    let latin1 = Transcript::read(&b"{}\n\xe9\n"[3..], "t.jsonl").unwrap_err();
    assert!(matches!(latin1, TranscriptError::Read { line: 1, .. }), "{latin1:?}");
    let first = line("a", "cot", "A .");
    let torn = Transcript::read(BufReader::new(first.as_bytes().chain(Torn)), "t.jsonl");
    assert!(matches!(torn, Err(TranscriptError::Read { line: 2, .. })), "{torn:?}");
}

/// A file on a disk that fails.
struct Torn;

impl Read for Torn {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("bad sector"))
    }
}

#[test]
fn a_sentence_may_be_recorded_once_per_strategy() {
    let both = line("a", "cot", "A .") + &line("a", "standard", "A .") + &line("b", "cot", "B .");
    let transcript = read(&both).unwrap();
    assert_eq!(transcript.strategies(), ["cot", "standard"]);
    let error = transcript.check(&[sentence("a", "A .")], Unused::Allow).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.jsonl: holds completions of several strategies (cot, standard), expected one; say which"
    );
    let missing = transcript.clone().under("cto").unwrap_err();
    assert_eq!(missing.to_string(), "t.jsonl: holds no completion of strategy cto, found cot, standard");
    let cot = transcript.under("cot").unwrap();
    let sentences = [sentence("b", "B ."), sentence("a", "A .")];
    let ids: Vec<_> = cot.check(&sentences, Unused::Refuse).unwrap().iter().map(|c| &*c.id).collect();
    assert_eq!(ids, ["b", "a"], "in the order of the sentences");

    let twice = read(&(both + &line("b", "cot", "B ."))).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "t.jsonl:4: sentence b under strategy cot was recorded on line 3 already; keep one, or give each a \"sample\" of its own"
    );
}

#[test]
fn ids_that_do_not_match_are_listed_and_counted_both_ways() {
    let transcript = read(&(0..9).map(|i| line(&format!("t{i}"), "cot", "A .")).collect::<String>()).unwrap();
    let mut sentences: Vec<_> = (0..7).map(|i| sentence(&format!("s{i}"), "A .")).collect();
    sentences.push(sentence("t0", "A ."));
    let error = transcript.check(&sentences, Unused::Refuse).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.jsonl: does not match the input: 7 of 8 sentences have no completion (s0, s1, s2, s3, s4 and 2 more), \
         8 of 9 completions have no sentence (t1, t2, t3, t4, t5 and 3 more)"
    );
    assert!(matches!(transcript.check(&sentences, Unused::Allow), Err(TranscriptError::Mismatch { .. })));
    assert!(matches!(transcript.check(&sentences[7..], Unused::Refuse), Err(TranscriptError::Mismatch { .. })));
    assert_eq!(transcript.check(&sentences[7..], Unused::Allow).unwrap().len(), 1);
}

#[test]
fn another_text_under_the_same_id_is_an_error_with_both() {
    let transcript = read(&(line("a", "cot", "A .") + &line("b", "cot", "Rome won ."))).unwrap();
    let error = transcript.check(&[sentence("a", "A ."), sentence("b", "Oslo won .")], Unused::Refuse).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.jsonl:2: sentence b was recorded as \"Rome won .\", but the input has \"Oslo won .\"; \
         use the input that was recorded"
    );
}
