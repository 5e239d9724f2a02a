//! From one tag to the next: all that a scheme looks at.

use super::Tag;

/// What a tag says about its token, without the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

impl From<&Tag> for Kind {
    fn from(tag: &Tag) -> Self {
        match tag {
            Tag::Outside => Self::Outside,
            Tag::Begin(_) => Self::Begin,
            Tag::Inside(_) => Self::Inside,
            Tag::End(_) => Self::End,
            Tag::Single(_) => Self::Single,
        }
    }
}

/// Two neighbouring tags, reduced to what schemes tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub from: Kind,
    pub to: Kind,
    /// Whether both are in entities, of one type.
    pub same: bool,
}

impl Step {
    const KINDS: [Kind; 5] = [Kind::Outside, Kind::Begin, Kind::Inside, Kind::End, Kind::Single];
    /// Indices are below this.
    pub const COUNT: usize = 50;

    pub fn new(from: &Tag, to: &Tag) -> Self {
        let same = from.label().is_some() && from.label() == to.label();
        Self { from: from.into(), to: to.into(), same }
    }

    /// The step to the tag at `i`, with [`Tag::Outside`] before the first tag and after the last.
    pub fn at(tags: &[Tag], i: usize) -> Self {
        let at = |i: Option<usize>| i.and_then(|i| tags.get(i)).unwrap_or(&Tag::Outside);
        Self::new(at(i.checked_sub(1)), at(Some(i)))
    }

    /// The steps of a sentence: one more than it has tags.
    pub fn all(tags: &[Tag]) -> impl Iterator<Item = Self> {
        let from = [&Tag::Outside].into_iter().chain(tags);
        let to = tags.iter().chain([&Tag::Outside]);
        from.zip(to).map(|(from, to)| Self::new(from, to))
    }

    pub fn index(self) -> usize {
        self.from as usize * 10 + self.to as usize * 2 + usize::from(self.same)
    }

    /// Those of all indices, in order.
    pub fn every() -> impl Iterator<Item = Self> {
        let to = |from| Self::KINDS.into_iter().flat_map(move |to| [false, true].map(|same| Self { from, to, same }));
        Self::KINDS.into_iter().flat_map(to)
    }

    /// Whether an entity starts here by the lenient rule.
    pub fn starts_leniently(self) -> bool {
        match self.to {
            Kind::Outside => false,
            Kind::Begin | Kind::Single => true,
            Kind::Inside | Kind::End => !self.same || matches!(self.from, Kind::End | Kind::Single),
        }
    }
}
