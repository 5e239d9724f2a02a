//! Backslashes in texts and values.

/// The text of a `#Text=` line.
///
/// Versions up to 3.1 escape as Java does (`\u00e9`), later ones only backslashes and control characters.
pub(super) fn text(escaped: &str) -> String {
    if !escaped.contains('\\') {
        return escaped.to_owned();
    }
    let (mut text, mut rest) = (String::with_capacity(escaped.len()), escaped);
    while let Some((before, behind)) = rest.split_once('\\') {
        text.push_str(before);
        let (decoded, behind) = one(behind);
        match decoded {
            Some(c) => text.push(c),
            None => text.push('\\'),
        }
        rest = behind;
    }
    text + rest
}

/// The character of what follows a backslash, and what comes behind it; `None` if it is no escape.
fn one(behind: &str) -> (Option<char>, &str) {
    let mut chars = behind.chars();
    let decoded = match chars.next() {
        Some('t') => '\t',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('f') => '\u{c}',
        Some('b') => '\u{8}',
        Some('u') => return unicode(behind).map_or((None, behind), |(c, behind)| (Some(c), behind)),
        Some(c @ ('\\' | '"' | '\'' | '\0'..='\u{1f}')) => c,
        _ => return (None, behind),
    };
    (Some(decoded), chars.as_str())
}

/// The character of `u00e9`, or of two such that are the halves of one.
fn unicode(behind: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
    let first = unit(behind)?;
    let second = behind.get(5..).and_then(|rest| unit(rest.strip_prefix('\\')?));
    let mut chars = char::decode_utf16([first].into_iter().chain(second));
    let c = chars.next()?.ok()?;
    Some((c, &behind[if c.len_utf16() == 2 { 11 } else { 5 }..]))
}

/// One annotation in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// `None` if the feature has no value.
    pub label: Option<String>,
    /// What tells that it is the same annotation as on another line.
    pub number: Option<u64>,
}

/// The annotations in a column.
pub(super) fn values(column: &str) -> Vec<Value> {
    if column == "_" {
        return Vec::new();
    }
    let mut values = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in column.char_indices() {
        if c == '|' && !escaped {
            values.push(value(&column[start..at]));
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    values.push(value(&column[start..]));
    values
}

fn value(column: &str) -> Value {
    let (text, number) = numbered(column).map_or((column, None), |(text, number)| (text, Some(number)));
    Value { label: (text != "*" && !text.is_empty()).then(|| unescaped(text)), number }
}

/// The text before `[17]`, and the number.
fn numbered(column: &str) -> Option<(&str, u64)> {
    let (text, number) = column.strip_suffix(']')?.rsplit_once('[')?;
    let backslashes = text.len() - text.trim_end_matches('\\').len();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && backslashes % 2 == 0).then_some((text, number.parse().ok()?))
}

fn unescaped(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some(c) => c,
                None => '\\',
            },
            c => c,
        });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (escaped, expected) in [
            ("Ann", "Ann"),
            (r"a\tb\\t\r", "a\tb\\t\r"),
            (r"Gr\u00fc\u00DFe \ud83c\udf89!", "Grüße 🎉!"),
            (r"\ud83c \u12 \x \", r"\ud83c \u12 \x \"),
            ("\\\u{1}", "\u{1}"),
        ] {
            assert_eq!(text(escaped), expected);
        }
    }

    #[test]
    fn values_and_their_numbers() {
        let of = |label: &str, number| Value { label: Some(label.to_owned()), number };
        assert_eq!(values("_"), []);
        assert_eq!(values("*"), [Value { label: None, number: None }]);
        assert_eq!(
            values("PER[1]|LOC|*[3]"),
            [of("PER", Some(1)), of("LOC", None), Value { label: None, number: Some(3) }]
        );
        assert_eq!(
            values(r"\_|a\|b\[1\]|c\\[2]|d\->\*"),
            [of("_", None), of("a|b[1]", None), of("c\\", Some(2)), of("d->*", None)]
        );
    }
}
