//! The columns of one batch of rows, and their values row by row.

use std::ops::Range;

use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StringArray, cast::AsArray, downcast_integer_array};

use super::layout::{Content, Layout};

/// Some rows.
pub(super) struct Batch {
    pub rows: usize,
    ids: Option<Ids>,
    documents: Option<StringArray>,
    pub content: Values,
}

/// Texts and labels.
#[expect(clippy::large_enum_variant, reason = "there is one of them at a time")]
pub(super) enum Values {
    Tokens { tokens: Lists<StringArray>, tags: Option<Tags> },
    Text { texts: StringArray, spans: Option<Spans> },
}

/// Tags by name or by number.
pub(super) enum Tags {
    Names(Lists<StringArray>),
    Numbers(Lists<Vec<Option<i64>>>),
}

enum Ids {
    Names(StringArray),
    Numbers(Vec<Option<i64>>),
}

/// The elements of all lists of a column.
pub(super) struct Lists<V> {
    lists: ListArray,
    pub elements: V,
}

impl<V> Lists<V> {
    /// Which elements are those of a row; `None` if the list is null.
    pub fn row(&self, row: usize) -> Option<Range<usize>> {
        let offsets = self.lists.value_offsets();
        self.lists.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize)
    }
}

/// Labelled spans.
pub(super) struct Spans {
    starts: Lists<Vec<Option<i64>>>,
    ends: Lists<Vec<Option<i64>>>,
    labels: Lists<StringArray>,
    texts: Option<Lists<StringArray>>,
}

/// Start, end, label and, where it is given, text.
pub(super) type Parts<'a> = (i64, i64, &'a str, Option<&'a str>);

impl Spans {
    /// How many starts, ends and labels a row has; `None` if it is not labelled.
    pub fn counts(&self, row: usize) -> Option<[usize; 3]> {
        Some([self.starts.row(row)?.len(), self.ends.row(row)?.len(), self.labels.row(row)?.len()])
    }

    /// The spans of a row with as many starts as ends and labels; `None` for one with a null in it.
    pub fn row(&self, row: usize) -> impl Iterator<Item = Option<Parts<'_>>> {
        let [starts, ends] =
            [&self.starts, &self.ends].map(|lists| &lists.elements[lists.row(row).unwrap_or_default()]);
        let labels = self.labels.row(row).unwrap_or_default();
        let texts = self.texts.as_ref().and_then(|texts| Some((&texts.elements, texts.row(row)?)));
        starts.iter().zip(ends).zip(labels).enumerate().map(move |(at, ((start, end), label))| {
            let text = texts.as_ref().and_then(|(texts, range)| string(texts, range.clone().nth(at)?));
            Some(((*start)?, (*end)?, string(&self.labels.elements, label)?, text))
        })
    }
}

impl Batch {
    /// The batch of a file with this layout.
    ///
    /// # Panics
    /// If the columns have other types than the schema said.
    pub fn of(batch: &RecordBatch, layout: &Layout) -> Self {
        let column = |name: &String| batch.column_by_name(name).expect("the column was asked for: this is a bug");
        let strings = |name: &String| column(name).as_string::<i32>().clone();
        let content = match &layout.content {
            Content::Tokens { tokens, tags } => Values::Tokens {
                tokens: lists(column(tokens), |elements| elements.as_string::<i32>().clone()),
                tags: tags.as_ref().map(|tags| match column(tags).as_list::<i32>().values().data_type() {
                    t if t.is_integer() => Tags::Numbers(lists(column(tags), integers)),
                    _ => Tags::Names(lists(column(tags), |elements| elements.as_string::<i32>().clone())),
                }),
            },
            Content::Text { text, spans } => {
                Values::Text { texts: strings(text), spans: spans.as_ref().map(|spans| span_columns(column(spans))) }
            }
        };
        let ids = layout.id.as_ref().map(|id| match column(id) {
            ids if ids.data_type().is_integer() => Ids::Numbers(integers(ids)),
            ids => Ids::Names(ids.as_string::<i32>().clone()),
        });
        Self { rows: batch.num_rows(), ids, documents: layout.document.as_ref().map(strings), content }
    }

    /// The name of a row, if it has one.
    pub fn id(&self, row: usize) -> Option<String> {
        match self.ids.as_ref()? {
            Ids::Names(names) => string(names, row).map(str::to_owned),
            Ids::Numbers(numbers) => numbers[row].map(|number| number.to_string()),
        }
    }

    /// The document of a row, if it has one.
    pub fn document(&self, row: usize) -> Option<&str> {
        string(self.documents.as_ref()?, row)
    }
}

/// A string, unless it is null.
pub(super) fn string(strings: &StringArray, at: usize) -> Option<&str> {
    strings.is_valid(at).then(|| strings.value(at))
}

fn lists<V>(column: &ArrayRef, elements: impl Fn(&ArrayRef) -> V) -> Lists<V> {
    let lists = column.as_list::<i32>().clone();
    Lists { elements: elements(lists.values()), lists }
}

/// Lists of structs, or structs of lists.
fn span_columns(spans: &ArrayRef) -> Spans {
    let lists_of = |name: &str| {
        if let Some(lists) = spans.as_list_opt::<i32>() {
            return Some((lists.values().as_struct().column_by_name(name)?.clone(), lists.clone()));
        }
        let lists = spans.as_struct().column_by_name(name)?.as_list_opt::<i32>()?.clone();
        Some((lists.values().clone(), lists))
    };
    let numbers = |name: &str| {
        let (elements, lists) = lists_of(name).expect("the schema has this field: this is a bug");
        Lists { elements: integers(&elements), lists }
    };
    let strings = |name: &str| {
        let (elements, lists) = lists_of(name)?;
        Some(Lists { elements: elements.as_string_opt::<i32>()?.clone(), lists })
    };
    Spans {
        starts: numbers("start"),
        ends: numbers("end"),
        labels: strings("label").expect("the schema has this field: this is a bug"),
        texts: strings("text"),
    }
}

/// Numbers of any type; those that do not fit are null.
fn integers(array: &ArrayRef) -> Vec<Option<i64>> {
    fn fitting(number: impl TryInto<i64>) -> Option<i64> {
        number.try_into().ok()
    }
    downcast_integer_array! {
        array => array.iter().map(|number| number.and_then(fitting)).collect(),
        other => unreachable!("{other} for a number: this is a bug"),
    }
}
