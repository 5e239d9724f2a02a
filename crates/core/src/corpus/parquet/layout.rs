//! Which columns of a file hold what, seen from its schema.

use arrow_schema::{DataType, Field, Schema};

use crate::corpus::{Column, ReadOptions};

/// The columns of records, by name.
#[derive(Debug)]
pub(super) struct Layout {
    pub id: Option<String>,
    pub document: Option<String>,
    pub content: Content,
}

/// Where text and labels are; no labels if there are none, or if they are not wanted.
#[derive(Debug)]
pub(super) enum Content {
    Tokens { tokens: String, tags: Option<String> },
    Text { text: String, spans: Option<String> },
}

impl Layout {
    /// The layout of a file, or why it has none.
    pub fn of(schema: &Schema, options: &ReadOptions) -> Result<Self, String> {
        let columns = Columns(schema);
        let any = |names: &[&str]| columns.first(names).map(|field| field.name().clone());
        let named = |column: &Column, names: &[&str]| match column {
            Column::Name(name) => columns.named(name).map(Some),
            Column::Place(_) => Ok(any(names)),
        };
        let tokens = named(&options.token_column, &["tokens"])?;
        let tags = if options.labels { named(&options.tag_column, &["ner_tags", "tags", "labels"])? } else { None };
        let content = match (tokens, any(&["text"])) {
            (Some(tokens), None) => Content::Tokens { tokens, tags },
            (Some(tokens), Some(_)) if tags.is_some() || options.token_column != Column::Place(1) => {
                Content::Tokens { tokens, tags }
            }
            (_, Some(text)) => {
                let spans = if options.labels { named(&options.tag_column, &["spans", "entities"])? } else { None };
                Content::Text { text, spans }
            }
            (None, None) => {
                return Err(format!(
                    "the columns are {}: expected `tokens` with `ner_tags`, or `text` with `spans`; name other columns \
                     with --token-column and --tag-column",
                    columns.names()
                ));
            }
        };
        match &content {
            Content::Tokens { tokens, tags } => {
                columns.expect(tokens, "a list of strings", |t| element(t) == Some(&DataType::Utf8))?;
                let is_tag = |t: &DataType| element(t).is_some_and(|e| *e == DataType::Utf8 || e.is_integer());
                tags.iter().try_for_each(|tags| columns.expect(tags, "a list of strings or numbers", is_tag))?;
            }
            Content::Text { text, spans } => {
                columns.expect(text, "strings", |t| *t == DataType::Utf8)?;
                let what = "a list of structs of `start` and `end`, numbers, and `label`, a string";
                spans.iter().try_for_each(|spans| columns.expect(spans, what, is_spans))?;
            }
        }
        let of_type = |name: &str, fits: fn(&DataType) -> bool| any(&[name]).filter(|name| columns.is(name, fits));
        Ok(Self {
            id: of_type("id", |t| *t == DataType::Utf8 || t.is_integer()),
            document: of_type("document", |t| *t == DataType::Utf8),
            content,
        })
    }

    /// The names of all columns to be read.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        let (main, labels) = match &self.content {
            Content::Tokens { tokens, tags } => (tokens, tags),
            Content::Text { text, spans } => (text, spans),
        };
        [Some(main), labels.as_ref(), self.id.as_ref(), self.document.as_ref()].into_iter().flatten()
    }

    /// The column of tags.
    pub fn tags(&self) -> Option<&String> {
        match &self.content {
            Content::Tokens { tags, .. } => tags.as_ref(),
            Content::Text { .. } => None,
        }
    }
}

/// Whether the elements of a list of tags are numbers.
pub(super) fn is_numbered(schema: &Schema, column: &str) -> bool {
    Columns(schema).is(column, |t| element(t).is_some_and(DataType::is_integer))
}

/// The columns of a schema.
struct Columns<'a>(&'a Schema);

impl Columns<'_> {
    fn names(&self) -> String {
        let names: Vec<String> = self.0.fields().iter().map(|field| format!("`{}`", field.name())).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    fn first(&self, names: &[&str]) -> Option<&Field> {
        names.iter().find_map(|name| self.0.field_with_name(name).ok())
    }

    fn named(&self, name: &str) -> Result<String, String> {
        let lacks = || format!("there is no column `{name}`: the columns are {}", self.names());
        self.first(&[name]).map(|field| field.name().clone()).ok_or_else(lacks)
    }

    fn is(&self, name: &str, fits: impl Fn(&DataType) -> bool) -> bool {
        self.first(&[name]).is_some_and(|field| fits(field.data_type()))
    }

    fn expect(&self, name: &str, what: &str, fits: impl Fn(&DataType) -> bool) -> Result<(), String> {
        match self.first(&[name]) {
            Some(field) if !fits(field.data_type()) => {
                Err(format!("column `{name}` is {}: expected {what}", field.data_type()))
            }
            _ => Ok(()),
        }
    }
}

fn element(list: &DataType) -> Option<&DataType> {
    if let DataType::List(element) = list { Some(element.data_type()) } else { None }
}

/// Whether these are lists of structs, or structs of lists, as `datasets` has a `Sequence` of several features.
fn is_spans(spans: &DataType) -> bool {
    let (fields, each): (_, fn(&DataType) -> Option<&DataType>) = match (spans, element(spans)) {
        (_, Some(DataType::Struct(fields))) => (fields, |field| Some(field)),
        (DataType::Struct(fields), _) => (fields, element),
        _ => return false,
    };
    let of_type = |name: &str| each(fields.find(name)?.1.data_type());
    let is_number = |name: &str| of_type(name).is_some_and(DataType::is_integer);
    is_number("start") && is_number("end") && of_type("label") == Some(&DataType::Utf8)
}
