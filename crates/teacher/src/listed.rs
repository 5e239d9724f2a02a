//! A list that may be long, told briefly: the first few items and the full count.

use std::fmt;

use serde::Serialize;

/// The first [`Listed::SHOWN`] of some items, and how many there are.
///
/// ```
/// use apprentice_teacher::Listed;
/// let ids: Listed<&str> = ["a", "b", "c", "d", "e", "f", "g"].into_iter().collect();
/// assert_eq!(ids.to_string(), "a, b, c, d, e and 2 more");
/// assert_eq!((ids.count, ids.first.len()), (7, 5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    /// How many there are.
    pub count: usize,
    /// The first of them.
    pub first: Vec<T>,
}

impl<T> Listed<T> {
    /// How many are kept.
    pub const SHOWN: usize = 5;

    /// Counts one more, and keeps it if it is among the first.
    pub fn push(&mut self, item: T) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push(item);
        }
    }

    /// Adds those of another list behind these.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        let room = Self::SHOWN.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> FromIterator<T> for Listed<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut listed = Self::default();
        items.into_iter().for_each(|item| listed.push(item));
        listed
    }
}

impl<T: fmt::Display> fmt::Display for Listed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("none");
        }
        for (i, item) in self.first.iter().enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
