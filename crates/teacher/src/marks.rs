//! Mentions marked inside the sentence, as some models answer who were asked for JSON: `[EU|ORG]`, `[EU](ORG)`,
//! `<ORG>EU</ORG>`.

use crate::Mention;

/// Tags that are not types: how models format, and how they set their thoughts apart.
const FORMATTING: [&str; 13] =
    ["a", "b", "i", "u", "em", "li", "p", "strong", "code", "span", "mark", "answer", "think"];

/// The marked mentions of `text`, in order. Takes time in proportion to the text: no mark contains the start of another.
pub(crate) fn marks(text: &str) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(['[', '<']).map(|offset| at + offset) {
        let rest = &text[start + 1..];
        let mark = if text.as_bytes()[start] == b'[' { bracket(rest) } else { tag(rest) };
        at = start + 1;
        if let Some((name, label, len)) = mark {
            found.push(Mention { text: name.to_owned(), label: label.to_owned() });
            at += len;
        }
    }
    found
}

/// `EU|ORG]` or `EU](ORG)`: the text, the label, and the length of all.
fn bracket(rest: &str) -> Option<(&str, &str, usize)> {
    let end = rest.find(['[', ']', '\n']).filter(|&end| rest[end..].starts_with(']'))?;
    let inside = &rest[..end];
    let (name, label, len) = if let Some((name, label)) = inside.rsplit_once('|') {
        (name, label, end + 1)
    } else {
        let behind = rest[end + 1..].strip_prefix('(')?;
        let close = behind.find(|c: char| !in_label(c)).filter(|&close| behind[close..].starts_with(')'))?;
        (inside, &behind[..close], end + close + 3)
    };
    let (name, label) = (name.trim(), label.trim());
    (!name.is_empty() && is_label(label)).then_some((name, label, len))
}

/// `ORG>EU</ORG>`: the text, the label, and the length of all.
fn tag(rest: &str) -> Option<(&str, &str, usize)> {
    let end = rest.find(|c: char| !in_label(c)).filter(|&end| rest[end..].starts_with('>'))?;
    let label = &rest[..end];
    let inside = &rest[end + 1..];
    let close = inside.find(['<', '\n'])?;
    let name = inside[..close].trim();
    let closer = inside[close..].strip_prefix("</")?.strip_prefix(label)?;
    let marked = closer.starts_with('>') && !name.is_empty() && is_label(label);
    (marked && !FORMATTING.contains(&label)).then_some((name, label, end + 1 + close + 2 + label.len() + 1))
}

fn in_label(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '-' | ' ')
}

fn is_label(label: &str) -> bool {
    label.starts_with(char::is_alphabetic) && label.chars().all(in_label)
}
