//! The columns of a row, and which of them matter.

use super::{DOCUMENT, Failure, LineProblem, Lines, ReadOptions};
use crate::{Tag, corpus::Column};

/// Where the columns of a row lie, in bytes of its line.
#[derive(Debug, Default)]
pub(super) struct Columns {
    bounds: Vec<(usize, usize)>,
}

impl Columns {
    /// Splits a line at its tabs, or else at its runs of blanks.
    #[inline]
    pub fn split(&mut self, line: &str) {
        self.bounds.clear();
        let bytes = line.as_bytes();
        let mut start = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b' ' => {
                    if start < at {
                        self.bounds.push((start, at));
                    }
                    start = at + 1;
                }
                b'\t' => return self.split_at_tabs(bytes),
                _ => {}
            }
        }
        if start < bytes.len() {
            self.bounds.push((start, bytes.len()));
        }
    }

    fn split_at_tabs(&mut self, line: &[u8]) {
        self.bounds.clear();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\t', line).chain([line.len()]) {
            self.bounds.push((start, end));
            start = end + 1;
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    #[inline]
    fn get<'a>(&self, index: usize, line: &'a str) -> &'a str {
        let (start, end) = self.bounds[index];
        &line[start..end]
    }
}

/// A column by its place, resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(i32);

impl Place {
    #[inline]
    pub fn pick<'a>(self, columns: &Columns, line: &'a str) -> Result<&'a str, LineProblem> {
        let len = columns.len();
        let index = match usize::try_from(self.0) {
            Ok(place) => place.wrapping_sub(1),
            Err(_) => len.wrapping_sub(self.0.unsigned_abs() as usize),
        };
        if index < len { Ok(columns.get(index, line)) } else { Err(self.missing(len)) }
    }

    #[cold]
    fn missing(self, len: usize) -> LineProblem {
        LineProblem::NoColumn {
            column: self.0.to_string(),
            found: if len == 1 { "the row has one".to_owned() } else { format!("the row has {len} columns") },
        }
    }
}

/// How the rows of a file are laid out, seen from its first bytes.
#[derive(Debug)]
pub(super) struct Layout {
    pub token: Place,
    pub tag: Place,
    /// How many columns a row has.
    pub columns: usize,
    /// The line of the first row, once it is met.
    pub first_row: Option<usize>,
    /// The line of the header that has still to be left out.
    pub header: Option<usize>,
    /// Whether tags are types without `B-` or `I-`.
    pub bare: bool,
}

impl Layout {
    pub fn of(head: &[u8], options: &ReadOptions) -> Result<Self, Failure> {
        let mut layout =
            Self { token: Place(1), tag: Place(-1), columns: 0, first_row: None, header: None, bare: false };
        let mut names: Option<Vec<String>> = None;
        let by_name = [&options.token_column, &options.tag_column].iter().any(|c| matches!(c, Column::Name(_)));
        // The first row, and the first one that cannot be a comment.
        let (mut any, mut sure) = (None, None);
        let (mut outside, mut bare, mut prefixed) = (false, false, false);
        let mut columns = Columns::default();
        let mut lines = Lines::new(head);
        let mut resolved = false;
        while let Some(line) = lines.next() {
            // What is wrong here is found again when the line is read.
            let Ok((number, line)) = line else { continue };
            // A comment has no tab.
            if let Some(list) = line.strip_prefix("# global.columns =").filter(|list| !list.contains('\t')) {
                names = Some(list.split_whitespace().map(str::to_owned).collect());
                continue;
            }
            if line.trim_matches([' ', '\t']).is_empty() || is_known_comment(line) {
                continue;
            }
            columns.split(line);
            if columns.len() > 0 && columns.get(0, line) == DOCUMENT {
                continue;
            }
            if by_name && names.is_none() {
                names = Some((0..columns.len()).map(|at| columns.get(at, line).trim().to_owned()).collect());
                layout.header = Some(number);
                continue;
            }
            if !resolved {
                let names = names.as_deref().unwrap_or_default();
                layout.token = resolve(&options.token_column, names).map_err(|problem| problem.at(number))?;
                layout.tag = resolve(&options.tag_column, names).map_err(|problem| problem.at(number))?;
                resolved = true;
            }
            any = any.or(Some((number, columns.len())));
            if !line.starts_with('#') {
                sure = sure.or(Some((number, columns.len())));
            }
            if let Ok(tag) = layout.tag.pick(&columns, line).map(|tag| tag.trim_matches(' ')) {
                match tag.parse::<Tag>() {
                    Ok(Tag::Outside) => outside = true,
                    Ok(_) => prefixed = true,
                    Err(_) => bare |= !tag.is_empty(),
                }
            }
        }
        (layout.first_row, layout.columns) = sure.or(any).map_or((None, 0), |(line, columns)| (Some(line), columns));
        layout.bare = outside && bare && !prefixed && layout.columns > 1;
        Ok(layout)
    }
}

/// Whether the line is a comment that gives an id, a text or a document.
fn is_known_comment(line: &str) -> bool {
    let starts = [super::ID, super::TEXT, super::NEW_DOCUMENT, "# sent_id = "];
    starts.iter().any(|start| line.starts_with(start)) && !line.contains('\t')
}

fn resolve(column: &Column, names: &[String]) -> Result<Place, LineProblem> {
    match column {
        Column::Place(place) => Ok(Place(*place)),
        Column::Name(name) => {
            let place = names.iter().position(|known| known.eq_ignore_ascii_case(name));
            let lacks = || LineProblem::NoColumn {
                column: name.clone(),
                found: format!("the header has {}", names.join(", ")),
            };
            place.and_then(|place| i32::try_from(place + 1).ok()).map(Place).ok_or_else(lacks)
        }
    }
}

/// Whether the first bytes of a file are rows with tags: nearly all lines have as many columns, at least two, and the
/// last of these is a tag.
pub(in crate::corpus) fn looks_like_columns(head: &[u8]) -> bool {
    let (mut rows, mut tagged) = (0_usize, 0_usize);
    let mut columns = Columns::default();
    let mut lines = Lines::new(head);
    while let Some(line) = lines.next() {
        let Ok((_, line)) = line else { continue };
        if is_known_comment(line) {
            return true;
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        columns.split(line);
        if columns.len() > 0 && columns.get(0, line) == DOCUMENT {
            return true;
        }
        rows += 1;
        let last = columns.len().checked_sub(1).filter(|&last| last > 0).map(|last| columns.get(last, line).trim());
        tagged += usize::from(last.is_some_and(|tag| tag.parse::<Tag>().is_ok()));
    }
    rows > 0 && tagged * 10 >= rows * 9
}
