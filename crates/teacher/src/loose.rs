//! JSON as models write it, read in one pass that cannot fail.
//!
//! Strict JSON is read as it is. Beside it: comments, trailing, doubled and missing commas, keys without quotes, single
//! and curly quotes, quotes inside of texts, Python's literals and tuples, lone surrogates, closing brackets that are
//! missing or of the wrong kind. Whatever of these was met sets [`Reading::repaired`]. A value that ends before its
//! end gives what was complete, and where and why it stopped.
//!
//! Invariants: the reader never steps back, so one reading takes time in proportion to what it covers; nothing is
//! nested deeper than [`DEPTH`].

/// How deep a value may be nested: an answer needs four levels, and drops of deeper values would need a deep stack.
const DEPTH: usize = 128;

/// A value; numbers stay as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Value>),
    /// In the order of the text, with repetitions.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// What stands under `key` of an object, or under the same in other case; of several, the last one, as other
    /// parsers of JSON have it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(entries) = self else { return None };
        let last = |is: &dyn Fn(&str) -> bool| entries.iter().rev().find(|(name, _)| is(name)).map(|(_, value)| value);
        last(&|name| name == key).or_else(|| last(&|name| name.eq_ignore_ascii_case(key)))
    }

    /// The value in few words.
    pub(crate) fn describe(&self) -> String {
        let short = |text: &str| format!("{:?}", text.chars().take(40).collect::<String>());
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => format!("the number {}", number.chars().take(40).collect::<String>()),
            Self::Text(text) => format!("the text {}", short(text)),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Object(entries) if entries.is_empty() => "an empty object".to_owned(),
            Self::Object(entries) => {
                let keys: Vec<String> = entries.iter().take(5).map(|(key, _)| short(key)).collect();
                format!("an object with the keys {}{}", keys.join(", "), if entries.len() > 5 { ", …" } else { "" })
            }
        }
    }
}

/// Why a value ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text ended, inside of this.
    Cut(&'static str),
    /// This was expected, and something else found.
    Broken(&'static str),
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// An object or a list.
    pub(crate) value: Value,
    /// Behind the value, or where it stopped.
    pub(crate) end: usize,
    /// Whether it is anything else than strict JSON.
    pub(crate) repaired: bool,
    pub(crate) stop: Option<Stop>,
    /// How many brackets were open when it stopped.
    pub(crate) open: usize,
    /// Where the text starts within which the value was cut off.
    pub(crate) open_text: Option<usize>,
}

/// Reads the object or list that starts at byte `start` of `text`, which must be `{` or `[`.
pub(crate) fn read(text: &str, start: usize) -> Reading {
    let mut reader = Reader { text, at: start, repaired: false, stack: Vec::new(), open_text: None };
    let (value, stop) = reader.run();
    let open = reader.stack.len();
    let value = value.unwrap_or_else(|| reader.close_all());
    Reading {
        value,
        end: reader.at,
        repaired: reader.repaired || stop.is_some(),
        stop,
        open,
        open_text: reader.open_text,
    }
}

#[derive(Debug)]
enum Frame {
    Object { entries: Vec<(String, Value)>, key: Option<String> },
    List { items: Vec<Value>, closer: char },
}

impl Frame {
    fn into_value(self) -> Value {
        match self {
            Self::Object { entries, .. } => Value::Object(entries),
            Self::List { items, .. } => Value::List(items),
        }
    }
}

enum Token {
    Open(char),
    Close(char),
    Comma,
    Colon,
    Text(String),
    Bare(String),
    Stop(Stop),
}

/// What the last token was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Opener,
    Comma,
    Value,
    /// A value without quotes, which prose looks like too.
    Bare,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    repaired: bool,
    stack: Vec<Frame>,
    open_text: Option<usize>,
}

impl Reader<'_> {
    /// The whole value, or nothing and the reason.
    fn run(&mut self) -> (Option<Value>, Option<Stop>) {
        let mut after = After::Opener;
        loop {
            self.skip();
            let token_at = self.at;
            let token = self.token();
            let is_value = matches!(token, Token::Open(_) | Token::Text(_) | Token::Bare(_));
            if is_value && after == After::Value {
                self.repaired = true;
            } else if is_value && after == After::Bare {
                self.at = token_at;
                return (None, Some(Stop::Broken("`,` or a closing bracket")));
            }
            let stop = |reader: &mut Self, expected| {
                reader.at = token_at;
                (None, Some(Stop::Broken(expected)))
            };
            let needs_key = matches!(self.stack.last(), Some(Frame::Object { key: None, .. }));
            after = match token {
                Token::Stop(reason) => return (None, Some(reason)),
                Token::Open(_) if needs_key => return stop(self, "a key"),
                Token::Open(_) if self.stack.len() == DEPTH => return stop(self, "nothing nested deeper than 128"),
                Token::Open(bracket) => {
                    self.repaired |= bracket == '(';
                    self.stack.push(match bracket {
                        '{' => Frame::Object { entries: Vec::new(), key: None },
                        '[' => Frame::List { items: Vec::new(), closer: ']' },
                        _ => Frame::List { items: Vec::new(), closer: ')' },
                    });
                    After::Opener
                }
                Token::Close(bracket) => {
                    self.repaired |= after == After::Comma;
                    if let Some(value) = self.close(bracket) {
                        return (Some(value), None);
                    }
                    After::Value
                }
                Token::Comma => {
                    if matches!(after, After::Opener | After::Comma) {
                        self.repaired = true;
                        self.end_key();
                    }
                    After::Comma
                }
                Token::Colon => return stop(self, "a value or a closing bracket"),
                Token::Text(text) if needs_key => match self.key(text) {
                    Ok(after) => after,
                    Err(()) => return (None, Some(Stop::Broken("`:`"))),
                },
                Token::Bare(text) if needs_key => {
                    self.repaired = true;
                    self.skip();
                    if !self.text[self.at..].starts_with(':') {
                        return (None, Some(Stop::Broken("`:`")));
                    }
                    self.at += 1;
                    self.set_key(text);
                    After::Opener
                }
                Token::Text(text) => {
                    self.add(Value::Text(text));
                    After::Value
                }
                Token::Bare(text) => {
                    let value = self.literal(text);
                    let quoteless = matches!(value, Value::Text(_));
                    self.add(value);
                    if quoteless { After::Bare } else { After::Value }
                }
            };
        }
    }

    /// Takes `text` as a key, if `:` or nothing follows.
    fn key(&mut self, text: String) -> Result<After, ()> {
        self.skip();
        self.set_key(text);
        match self.text[self.at..].chars().next() {
            Some(':') => {
                self.at += 1;
                Ok(After::Opener)
            }
            Some(',' | '}') => {
                self.repaired = true;
                self.end_key();
                Ok(After::Value)
            }
            _ => Err(()),
        }
    }

    fn set_key(&mut self, text: String) {
        if let Some(Frame::Object { key, .. }) = self.stack.last_mut() {
            *key = Some(text);
        }
    }

    /// Gives a key without a value none.
    fn end_key(&mut self) {
        if let Some(Frame::Object { key: Some(_), .. }) = self.stack.last() {
            self.repaired = true;
            self.add(Value::Null);
        }
    }

    fn add(&mut self, value: Value) {
        match self.stack.last_mut() {
            Some(Frame::Object { entries, key }) => entries.extend(key.take().map(|key| (key, value))),
            Some(Frame::List { items, .. }) => items.push(value),
            None => {}
        }
    }

    /// Closes what `bracket` closes, and gives the whole value if that was the last.
    fn close(&mut self, bracket: char) -> Option<Value> {
        self.end_key();
        let closes = |frame: &Frame| match frame {
            Frame::Object { .. } => bracket == '}',
            Frame::List { closer, .. } => bracket == *closer,
        };
        let Some(depth) = self.stack.iter().rposition(closes) else {
            self.repaired = true;
            return None;
        };
        if depth + 1 < self.stack.len() {
            self.repaired = true;
            // If an item or a key follows, this is a slip for another bracket, or one too many: to close all that it
            // could close would lose what follows.
            let next = self.text[self.at..].trim_start().strip_prefix(',').map(str::trim_start);
            let in_object = matches!(self.stack.last(), Some(Frame::Object { .. }));
            match next.map(|next| next.starts_with(['{', '[', '('])) {
                Some(true) if !in_object => return None,
                Some(is_item) if is_item || depth == 0 => {
                    self.close_last();
                    return None;
                }
                _ => {}
            }
        }
        while self.stack.len() > depth + 1 {
            self.close_last();
        }
        let value = self.stack.pop()?.into_value();
        if self.stack.is_empty() {
            return Some(value);
        }
        self.add(value);
        None
    }

    fn close_last(&mut self) {
        if let Some(frame) = self.stack.pop() {
            self.add(frame.into_value());
        }
    }

    /// What there is, as if it were closed here.
    fn close_all(&mut self) -> Value {
        while self.stack.len() > 1 {
            self.close_last();
        }
        self.stack.pop().map_or(Value::Null, Frame::into_value)
    }

    /// Steps over white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            let odd = trimmed.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}'));
            self.repaired |= odd.len() < trimmed.len();
            self.at = self.text.len() - odd.len();
            let comment = if odd.starts_with("//") || odd.starts_with('#') {
                odd.find('\n').unwrap_or(odd.len())
            } else if odd.starts_with("/*") {
                odd.find("*/").map_or(odd.len(), |end| end + 2)
            } else {
                return;
            };
            self.repaired = true;
            self.at += comment;
        }
    }

    fn token(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Token::Stop(Stop::Cut(self.place())) };
        if rest.starts_with("```") {
            return Token::Stop(Stop::Cut(self.place()));
        }
        let in_tuple = matches!(self.stack.last(), Some(Frame::List { closer: ')', .. }));
        let one = match first {
            '{' | '[' | '(' => Token::Open(first),
            '}' | ']' => Token::Close(first),
            ')' if in_tuple => Token::Close(first),
            ',' => Token::Comma,
            ':' => Token::Colon,
            '"' | '\'' | '“' | '”' | '„' | '‘' | '’' => return self.quoted(first),
            _ => {
                let ends =
                    |c: char| matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"' | '\n') || in_tuple && c == ')';
                let end = rest.find(ends).unwrap_or(rest.len());
                self.at += end;
                if end == rest.len() {
                    return Token::Stop(Stop::Cut(self.place()));
                }
                return Token::Bare(rest[..end].trim_end().to_owned());
            }
        };
        self.at += first.len_utf8();
        one
    }

    /// What the reader is inside of.
    fn place(&self) -> &'static str {
        match self.stack.last() {
            Some(Frame::List { .. }) => "a list",
            _ => "an object",
        }
    }

    /// A text in quotes. A quote ends it if what may follow a text follows: a quote in the midst of words does not.
    fn quoted(&mut self, opener: char) -> Token {
        self.repaired |= opener != '"';
        let closes = |c: char| match opener {
            '"' => c == '"',
            '\'' => c == '\'',
            '‘' | '’' => matches!(c, '’' | '‘' | '\''),
            _ => matches!(c, '”' | '“' | '"'),
        };
        let start = self.at;
        self.at += opener.len_utf8();
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            // Most of a text is plain, and is taken at once.
            let plain = rest.find(|c: char| c == '\\' || closes(c) || c < ' ').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            let rest = &rest[plain..];
            let Some(char) = rest.chars().next() else {
                self.open_text = Some(start);
                return Token::Stop(Stop::Cut("a text"));
            };
            self.at += char.len_utf8();
            if char == '\\' {
                self.escape(&mut text);
            } else if closes(char) && self.may_end() {
                return Token::Text(text);
            } else {
                self.repaired = true;
                text.push(char);
            }
        }
    }

    /// Whether a text may end here.
    fn may_end(&self) -> bool {
        let rest = self.text[self.at..].trim_start();
        rest.starts_with([',', ':', '}', ']', ')', '"', '\'', '“', '”', '„', '‘', '’', '/', '#', '`'])
            || rest.is_empty()
    }

    /// The character behind a backslash.
    fn escape(&mut self, text: &mut String) {
        let Some(char) = self.text[self.at..].chars().next() else { return };
        self.at += char.len_utf8();
        match char {
            '"' | '\\' | '/' => text.push(char),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let unit = self.hex(4);
                let joined = match unit {
                    Some(high @ 0xd800..=0xdbff) if self.text[self.at..].starts_with("\\u") => {
                        let back = self.at;
                        self.at += 2;
                        if let Some(low @ 0xdc00..=0xdfff) = self.hex(4) {
                            Some(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                        } else {
                            self.at = back;
                            None
                        }
                    }
                    unit => unit,
                };
                let char = joined.and_then(char::from_u32);
                self.repaired |= char.is_none();
                text.push(char.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => {
                self.repaired = true;
                let code = if char == 'x' { self.hex(2).and_then(char::from_u32) } else { None };
                text.push(code.unwrap_or(char));
            }
        }
    }

    /// The next `count` hexadecimal digits, if there are so many.
    fn hex(&mut self, count: usize) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + count)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += count;
        u32::from_str_radix(digits, 16).ok()
    }

    fn literal(&mut self, text: String) -> Value {
        match text.as_str() {
            "null" => return Value::Null,
            "true" => return Value::Bool(true),
            "false" => return Value::Bool(false),
            number if serde_json::from_str::<serde_json::Number>(number).is_ok() => return Value::Number(text),
            _ => self.repaired = true,
        }
        match text.as_str() {
            "None" | "undefined" => Value::Null,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            _ => Value::Text(text),
        }
    }
}
