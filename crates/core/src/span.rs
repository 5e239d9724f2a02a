//! The one span type: a non-empty half-open range, of bytes in a text or of tokens in a sentence.

use serde::{Deserialize, Serialize};

/// A non-empty half-open range `start..end`.
///
/// ```
/// use apprentice_core::Span;
/// let span = Span::new(2, 5).unwrap();
/// assert_eq!(&"abcdefg"[span.range()], "cde");
/// assert_eq!(span.len(), 3);
/// assert!(Span::new(5, 5).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(usize, usize)", into = "(usize, usize)")]
pub struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The span `start..end`, or `None` if it would be empty or reversed.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Option<Self> {
        if start < end { Some(Self { start, end }) } else { None }
    }

    /// The first position inside.
    #[must_use]
    pub const fn start(self) -> usize {
        self.start
    }

    /// The first position behind.
    #[must_use]
    pub const fn end(self) -> usize {
        self.end
    }

    /// The number of positions inside, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub const fn len(self) -> usize {
        self.end - self.start
    }

    /// The same as a standard range, for slicing.
    #[must_use]
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// The span from the first position of the two to their last.
    #[must_use]
    pub fn through(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether the two share a position.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl TryFrom<(usize, usize)> for Span {
    type Error = String;

    fn try_from((start, end): (usize, usize)) -> Result<Self, Self::Error> {
        Self::new(start, end).ok_or_else(|| format!("a span needs start < end, found {start}..{end}"))
    }
}

impl From<Span> for (usize, usize) {
    fn from(span: Span) -> Self {
        (span.start, span.end)
    }
}
