//! A `tokenizer.json` of unknown origin, checked before crate `tokenizers` reads it: that crate panics on some broken
//! files, makes texts as long as a file wishes, and compiles any regular expression.
//!
//! What is allowed is what tokenisers of BERT-family encoders are made of. The vocabulary is counted, not kept.

use std::fmt;

use base64::Engine;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The largest `tokenizer.json`, in bytes; XLM-RoBERTa's has 17 MB.
pub(crate) const LARGEST_TOKENIZER: u64 = 128 << 20;
/// The longest token, in bytes, and all tokens of a vocabulary: a trie of pieces takes hundreds of bytes for each.
const LONGEST_TOKEN: usize = 1024;
const LARGEST_VOCABULARY: usize = 16 << 20;
/// All tokens that are added to a vocabulary, in bytes: the automaton that finds them may take a KiB for each.
const LARGEST_ADDED: usize = 256 << 10;
/// Steps of one kind, and how deep sequences of them may be nested.
const MOST_STEPS: usize = 16;
const DEEPEST_SEQUENCE: usize = 4;
/// How many times as long as a word its normalised form may be.
const LARGEST_GROWTH: usize = 1 << 16;
const LONGEST_PATTERN: usize = 4096;
/// The compiled size of a regular expression, in bytes: Unicode's letters take about 30 KiB.
const LARGEST_PATTERN: usize = 1 << 20;

#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    added_tokens: Vec<Added>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    content: String,
}

#[derive(Deserialize)]
struct Model {
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Pieces,
}

/// What is counted of a vocabulary, be it a map from tokens to ids or a list of tokens with scores.
#[derive(Default)]
struct Pieces {
    bytes: usize,
    longest: usize,
}

impl Pieces {
    fn add(&mut self, token: &str) {
        self.bytes += token.len();
        self.longest = self.longest.max(token.len());
    }
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Pieces;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tokens to ids or a list of tokens with scores")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pieces, A::Error> {
                let mut pieces = Pieces::default();
                while let Some((token, _)) = map.next_entry::<String, u32>()? {
                    pieces.add(&token);
                }
                Ok(pieces)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pieces, A::Error> {
                let mut pieces = Pieces::default();
                while let Some((token, _)) = list.next_element::<(String, f64)>()? {
                    pieces.add(&token);
                }
                Ok(pieces)
            }
        }
        deserializer.deserialize_any(Counter)
    }
}

/// A `tokenizer.json` whose byte-level steps put a blank before every word, as before those inside a sentence, for one
/// that does not: words come one by one. `None` if there is nothing to change.
///
/// The text is changed and not the tokeniser made of it: crate `tokenizers` prints when it writes one with unused ids.
pub(crate) fn with_leading_blanks(text: &[u8]) -> Option<Vec<u8>> {
    fn change(step: &mut Value) -> bool {
        if step["type"] == "ByteLevel" {
            let given = std::mem::replace(&mut step["add_prefix_space"], true.into());
            return given != true;
        }
        let steps = step.get_mut(PRE_TOKENIZER.list).and_then(Value::as_array_mut);
        steps.is_some_and(|steps| steps.iter_mut().map(change).filter(|changed| *changed).count() > 0)
    }
    #[derive(Deserialize)]
    struct Steps {
        pre_tokenizer: Value,
    }
    let mut steps: Steps = serde_json::from_slice(text).ok()?;
    if !change(&mut steps.pre_tokenizer) {
        return None;
    }
    let mut tokenizer: Map<String, Value> = serde_json::from_slice(text).ok()?;
    tokenizer.insert("pre_tokenizer".into(), steps.pre_tokenizer);
    serde_json::to_vec_pretty(&tokenizer).ok()
}

/// Checks the content of a `tokenizer.json`; the error says what was found and what was expected, under which key.
pub(crate) fn check(text: &[u8]) -> Result<(), String> {
    let probe: Probe = serde_json::from_slice(text).map_err(|e| format!("not a readable tokenizer: {e}"))?;
    check_model(&probe.model)?;
    let added: usize = probe.added_tokens.iter().map(|token| token.content.len()).sum();
    if added > LARGEST_ADDED {
        return Err(format!("added_tokens: {added} bytes, expected at most {LARGEST_ADDED}"));
    }
    for kind in [NORMALIZER, PRE_TOKENIZER, POST_PROCESSOR, DECODER] {
        let value = match kind.key {
            "normalizer" => &probe.normalizer,
            "pre_tokenizer" => &probe.pre_tokenizer,
            "post_processor" => &probe.post_processor,
            _ => &probe.decoder,
        };
        let mut steps = Vec::new();
        kind.steps(value, 0, &mut steps)?;
        let in_step = |(name, problem): (&str, String)| format!("{}: {name}: {problem}", kind.key);
        let mut growth = 1_usize;
        for (name, step) in steps {
            let checked =
                check_pattern(step).and_then(|()| check_template(name, step)).and_then(|()| growth_of(name, step));
            let factor = checked.map_err(|problem| in_step((name, problem)))?;
            growth = growth.saturating_mul(factor);
        }
        if growth > LARGEST_GROWTH {
            return Err(format!("{}: may make a word more than {LARGEST_GROWTH} times as long", kind.key));
        }
    }
    Ok(())
}

fn check_model(model: &Model) -> Result<(), String> {
    let Pieces { bytes, longest } = model.vocab;
    if longest > LONGEST_TOKEN {
        return Err(format!("model: vocab: a token of {longest} bytes, expected at most {LONGEST_TOKEN}"));
    }
    if bytes > LARGEST_VOCABULARY {
        return Err(format!("model: vocab: {bytes} bytes of tokens, expected at most {LARGEST_VOCABULARY}"));
    }
    if let Some(dropout) = model.dropout.filter(|dropout| *dropout != 0.0) {
        return Err(format!("model: dropout is {dropout}, expected null: it would cut the same word at random"));
    }
    // Only there does the prefix cut into merged tokens, and crate `tokenizers` does not look where.
    let prefix = model.continuing_subword_prefix.as_deref().unwrap_or_default();
    if model.kind.as_deref() != Some("WordPiece") && !prefix.is_empty() {
        return Err(format!("model: continuing_subword_prefix is {prefix:?}, expected none but in a WordPiece model"));
    }
    Ok(())
}

/// The steps of one part of a tokeniser.
struct Kind {
    key: &'static str,
    /// The key of a sequence's steps.
    list: &'static str,
    known: &'static [&'static str],
}

const NORMALIZER: Kind = Kind {
    key: "normalizer",
    list: "normalizers",
    known: &[
        "BertNormalizer",
        "ByteLevel",
        "Lowercase",
        "NFC",
        "NFD",
        "NFKC",
        "NFKD",
        "Nmt",
        "Precompiled",
        "Prepend",
        "Replace",
        "Strip",
        "StripAccents",
    ],
};

const PRE_TOKENIZER: Kind = Kind {
    key: "pre_tokenizer",
    list: "pretokenizers",
    known: &[
        "BertPreTokenizer",
        "ByteLevel",
        "CharDelimiterSplit",
        "Digits",
        "Metaspace",
        "Punctuation",
        "Split",
        "UnicodeScripts",
        "Whitespace",
        "WhitespaceSplit",
    ],
};

const POST_PROCESSOR: Kind = Kind {
    key: "post_processor",
    list: "processors",
    known: &["BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"],
};

/// Never run here, but read.
const DECODER: Kind = Kind {
    key: "decoder",
    list: "decoders",
    known: &["BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece"],
};

impl Kind {
    /// Appends the steps, those of sequences one by one, with their names.
    fn steps<'v>(
        &self,
        value: &'v Value,
        depth: usize,
        steps: &mut Vec<(&'v str, &'v Map<String, Value>)>,
    ) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let step = value.as_object().ok_or_else(|| format!("{}: not an object", self.key))?;
        let name = step.get("type").and_then(Value::as_str).ok_or_else(|| format!("{}: has no type", self.key))?;
        if name == "Sequence" {
            if depth == DEEPEST_SEQUENCE {
                return Err(format!("{}: sequences nested more than {DEEPEST_SEQUENCE} deep", self.key));
            }
            let list = step.get(self.list).and_then(Value::as_array);
            let list = list.ok_or_else(|| format!("{}: a Sequence without the list `{}`", self.key, self.list))?;
            return list.iter().try_for_each(|value| self.steps(value, depth + 1, steps));
        }
        if !self.known.contains(&name) {
            let (name, known) = (name.chars().take(40).collect::<String>(), self.known.join(", "));
            return Err(format!("{}: `{name}` is not supported: expected Sequence, {known}", self.key));
        }
        steps.push((name, step));
        if steps.len() > MOST_STEPS {
            return Err(format!("{}: more than {MOST_STEPS} steps", self.key));
        }
        Ok(())
    }
}

/// A step's pattern must take time in proportion to the text, and never match between two characters: what is put there
/// has no place in the source, and crate `tokenizers` panics when a later step moves it.
fn check_pattern(step: &Map<String, Value>) -> Result<(), String> {
    let Some(pattern) = step.get("pattern") else { return Ok(()) };
    if pattern.get("String").and_then(Value::as_str) == Some("") {
        return Err("an empty pattern, expected one that matches something".into());
    }
    let Some(pattern) = pattern.get("Regex").and_then(Value::as_str) else { return Ok(()) };
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!("a regular expression of {} bytes, expected at most {LONGEST_PATTERN}", pattern.len()));
    }
    let problem = regex_problem(pattern).map(|problem| {
        let shown: String = pattern.chars().take(60).collect();
        format!("regular expression `{shown}`: {problem}")
    });
    problem.map_or(Ok(()), Err)
}

fn regex_problem(pattern: &str) -> Option<String> {
    // Its size first: the size of what was parsed is not bounded.
    match regex::RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build() {
        Err(regex::Error::CompiledTooBig(_)) => return Some("it explodes".into()),
        Err(e) => {
            // The last line says what is wrong; those before point into the expression.
            let why = e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            return Some(format!("{why}; expected one without look-around and back-references"));
        }
        Ok(_) => {}
    }
    let shortest = regex_syntax::parse(pattern).ok().and_then(|parsed| parsed.properties().minimum_len());
    (shortest == Some(0)).then(|| "it matches between two characters, expected one that matches something".into())
}

/// A template for one sequence must hold it once, among special tokens that it defines: crate `tokenizers` would panic.
fn check_template(name: &str, step: &Map<String, Value>) -> Result<(), String> {
    if name != "TemplateProcessing" {
        return Ok(());
    }
    let pieces = step.get("single").and_then(Value::as_array).ok_or("has no list `single`")?;
    let ids = |kind: &'static str| pieces.iter().filter_map(move |p| p.get(kind)?.get("id")?.as_str());
    if ids("Sequence").collect::<Vec<_>>() != ["A"] {
        return Err("single: expected the sequence A, once".into());
    }
    for id in ids("SpecialToken") {
        let token = step.get("special_tokens").and_then(|tokens| tokens.get(id));
        let length = |key: &str| Some(token?.get(key)?.as_array()?.len());
        if length("ids").is_none() || length("ids") != length("tokens") {
            return Err(format!(
                "single: special_tokens does not say what {:?} is",
                id.chars().take(40).collect::<String>()
            ));
        }
    }
    Ok(())
}

/// How many times as long a step may make a text, in bytes.
fn growth_of(name: &str, step: &Map<String, Value>) -> Result<usize, String> {
    let length = |key: &str| step.get(key).and_then(Value::as_str).map_or(0, str::len);
    Ok(match name {
        // Unicode's longest decomposition: U+FDFA becomes 18 characters.
        "NFC" | "NFD" | "NFKC" | "NFKD" => 18,
        "BertNormalizer" | "Lowercase" => 3,
        "ByteLevel" => 2,
        "Prepend" => length("prepend") + 1,
        // An expression may match between any two bytes.
        "Replace" => length("content") + 1,
        "Precompiled" => charsmap(step.get("precompiled_charsmap").and_then(Value::as_str).unwrap_or_default())?,
        _ => 1,
    })
}

/// Checks the character map of a sentencepiece normaliser, and gives the length of its longest replacement.
///
/// The map is the size of a trie in bytes, the trie as a double array of 32-bit units (Aoe, "An efficient digital
/// search algorithm by using a double-array structure", 1989; sentencepiece's Darts-clone), and the replacements, each
/// ended by a zero. Crate `tokenizers` follows units and values wherever they point.
fn charsmap(base64: &str) -> Result<usize, String> {
    let broken = |what: &str| format!("precompiled_charsmap: {what}");
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64);
    let bytes = bytes.map_err(|_| broken("not sound base64"))?;
    let (size, rest) = bytes.split_first_chunk().ok_or_else(|| broken("cut off"))?;
    let units = u32::from_le_bytes(*size) as usize / 4;
    let (trie, replacements) = rest.split_at_checked(units * 4).ok_or_else(|| broken("cut off inside its trie"))?;
    let replacements = std::str::from_utf8(replacements).map_err(|_| broken("replacements that are not UTF-8"))?;
    let trie: Vec<u32> = trie.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    check_trie(&trie, replacements).map_err(broken)?;
    Ok(replacements.split('\0').map(str::len).max().unwrap_or(0).max(1))
}

/// Follows every path from the root.
fn check_trie(trie: &[u32], replacements: &str) -> Result<(), &'static str> {
    if trie.is_empty() {
        return Err("an empty trie");
    }
    let mut seen = vec![false; trie.len()];
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        let unit = trie[at];
        // The children are spread over a block of 256 units, of which any may be asked for.
        let children = at ^ ((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6);
        if children | 0xff >= trie.len() {
            return Err("a unit of its trie points outside");
        }
        let has_value = at != 0 && unit & (1 << 8) != 0;
        let value = (trie[children] & !(1 << 31)) as usize;
        if has_value && !replacements.is_char_boundary(value) {
            return Err("a value of its trie points outside the replacements");
        }
        for label in 1..=0xff {
            let child = children ^ label;
            if trie[child] & (1 << 31 | 0xff) == label as u32 && !std::mem::replace(&mut seen[child], true) {
                open.push(child);
            }
        }
    }
    Ok(())
}
