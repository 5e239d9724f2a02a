//! Which class may follow which, and how gladly.

/// The scores of a chain of classes: of the class it starts with, of each class after another, and of the class it ends
/// with; −∞ is forbidden. With the logits of its rows they make the score of a sequence of classes.
///
/// ```
/// use apprentice_encoder::Transitions;
/// // Class 2 may follow 1 and itself.
/// let chain = Transitions::allowing(3, |first| first != 2, |previous, next| next != 2 || previous != 0);
/// assert_eq!(chain.start(), [0.0, 0.0, f32::NEG_INFINITY]);
/// assert_eq!(chain.after(0), [0.0, 0.0, f32::NEG_INFINITY]);
/// assert_eq!(chain.after(1), [0.0; 3]);
/// assert_eq!(chain.end(), [0.0; 3]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Transitions {
    classes: usize,
    /// `[C, C]` from class to class, then start and end, `[C]` each: the order of the parameters.
    scores: Vec<f32>,
}

impl Transitions {
    /// 0 for what may be, −∞ for what may not: `may_start` is asked of each class, `may_follow` of each class and the
    /// next. Every class may be the last.
    #[must_use]
    pub fn allowing(
        classes: usize,
        may_start: impl Fn(usize) -> bool,
        may_follow: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let score = |allowed| if allowed { 0.0 } else { f32::NEG_INFINITY };
        let mut scores = Vec::with_capacity(Self::numbers(classes));
        for previous in 0..classes {
            scores.extend((0..classes).map(|next| score(may_follow(previous, next))));
        }
        scores.extend((0..classes).map(|first| score(may_start(first))));
        scores.extend((0..classes).map(|_| 0.0));
        Self { classes, scores }
    }

    /// These scores with what was learnt of each, in the order of the parameters.
    pub(crate) fn with(&self, learnt: &[f32]) -> Self {
        let scores = self.scores.iter().zip(learnt).map(|(own, learnt)| own + learnt).collect();
        Self { scores, ..*self }
    }

    /// How many scores so many classes have.
    pub(crate) const fn numbers(classes: usize) -> usize {
        classes * classes + 2 * classes
    }

    /// The number of classes, `C`.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The score of starting with each class, `[C]`.
    #[must_use]
    pub fn start(&self) -> &[f32] {
        &self.scores[self.classes * self.classes..][..self.classes]
    }

    /// The score of each class after `previous`, `[C]`.
    #[must_use]
    pub fn after(&self, previous: usize) -> &[f32] {
        &self.scores[previous * self.classes..][..self.classes]
    }

    /// The score of ending with each class, `[C]`.
    #[must_use]
    pub fn end(&self) -> &[f32] {
        &self.scores[self.classes * (self.classes + 1)..]
    }
}
