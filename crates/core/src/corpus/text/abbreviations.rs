//! Abbreviations with a dot, for tokens and sentences.

/// What may follow an abbreviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// The rest of its phrase: `Dr. Keller`, `vs. Rome`.
    Phrase,
    /// A number, as in `Oct. 5`; before anything else it is no abbreviation, as in `Ant and Dec.`
    Number,
    /// The rest of its sentence, with a capital too, or a new sentence: `Acme Inc. London`.
    Any,
    /// The rest of its sentence in small letters, or a new sentence: `etc.`
    Small,
}

use Follows::{Any, Number, Phrase, Small};

/// In lower case and without the dot. None that is a usual word too.
const ABBREVIATIONS: [(Follows, &[&str]); 4] = [
    (
        Phrase,
        &[
            "adm", "approx", "brig", "ca", "capt", "cf", "cmdr", "col", "cpl", "dept", "dr", "gen", "gov", "hon",
            "lieut", "lt", "maj", "messrs", "mlle", "mme", "mr", "mrs", "ms", "msgr", "mt", "prof", "pvt", "rep",
            "rev", "sen", "sens", "sgt", "st", "ste", "subsp", "supt", "viz", "vol", "vs",
        ],
    ),
    (Number, &["apr", "aug", "dec", "feb", "jan", "jul", "nov", "oct", "sept"]),
    (
        Any,
        &[
            "ariz", "assn", "ave", "blvd", "bros", "calif", "co", "colo", "corp", "esq", "fla", "ft", "govt", "inc",
            "jnr", "jr", "ltd", "md", "mich", "minn", "okla", "pt", "rd", "snr", "sr", "tenn", "tex", "univ", "wis",
        ],
    ),
    (Small, &["etc"]),
];

/// The abbreviation that `stem`, the text before a dot, is or ends in behind a hyphen: `Inc`, `ex-Gov`.
pub(super) fn find(stem: &str) -> Option<Follows> {
    const LONGEST: usize = 6;
    let letters = stem.bytes().rev().take(LONGEST + 1).take_while(u8::is_ascii_alphabetic).count();
    let (before, last) = stem.split_at(stem.len() - letters);
    if !before.is_empty() && !before.ends_with('-') {
        return None;
    }
    let known = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(last));
    ABBREVIATIONS.iter().find(|(_, list)| known(list)).map(|&(follows, _)| follows)
}

/// Whether `stem`, the text before a dot, is or ends behind a hyphen in parts of one or two letters with dots between:
/// `U.S`, `a.m`, `then-U.S`, `Ph.D`. Looks no further back than these go.
pub(super) fn is_initials(stem: &str) -> bool {
    let (mut parts, mut letters) = (0, 0);
    for c in stem.chars().rev() {
        match c {
            '.' if (1..=2).contains(&letters) => (parts, letters) = (parts + 1, 0),
            '-' => break,
            _ if c.is_alphabetic() && letters < 2 => letters += 1,
            _ => return false,
        }
    }
    parts > 0 && (1..=2).contains(&letters)
}
