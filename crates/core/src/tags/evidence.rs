//! Which scheme a corpus follows, and how sure that is.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

use super::{
    Scheme, Tag,
    step::{Kind, Step},
};

/// Which scheme is taken first where several fit; see [`Verdict`].
const PREFERENCE: [Scheme; 7] =
    [Scheme::Iob2, Scheme::Iob1, Scheme::Iobes, Scheme::Bilou, Scheme::Ioe2, Scheme::Ioe1, Scheme::Io];

/// What a corpus shows about its scheme: how often which kind of tag follows which. Serialised as the number of
/// entities, of tags, and of tags against each scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    steps: [usize; Step::COUNT],
    /// Whether `E-` or `S-` was seen.
    iobes_letters: bool,
    /// Whether `L-` or `U-` was seen.
    bilou_letters: bool,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { steps: [0; Step::COUNT], iobes_letters: false, bilou_letters: false }
    }
}

impl Evidence {
    /// What these sentences show.
    pub fn of<S: AsRef<[Tag]>>(sentences: impl IntoIterator<Item = S>) -> Self {
        let mut evidence = Self::default();
        for tags in sentences {
            evidence.observe(tags.as_ref());
        }
        evidence
    }

    /// Adds what one sentence shows.
    pub fn observe(&mut self, tags: &[Tag]) {
        for step in Step::all(tags) {
            self.steps[step.index()] += 1;
        }
    }

    /// Notes how a tag is written, which alone tells BILOU from IOBES and which a [`Tag`] does not keep. Once for every
    /// different tag is enough.
    pub fn observe_text(&mut self, tag: &str) {
        self.iobes_letters |= tag.starts_with("E-") || tag.starts_with("S-");
        self.bilou_letters |= tag.starts_with("L-") || tag.starts_with("U-");
    }

    /// Whether no tag was seen, not even `O`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps == [0; Step::COUNT]
    }

    /// Adds what other sentences show.
    pub fn extend(&mut self, other: &Self) {
        for (sum, steps) in self.steps.iter_mut().zip(other.steps) {
            *sum += steps;
        }
        self.iobes_letters |= other.iobes_letters;
        self.bilou_letters |= other.bilou_letters;
    }

    /// How many entities there are, by the lenient rule.
    #[must_use]
    pub fn entities(&self) -> usize {
        self.sum(Step::starts_leniently)
    }

    /// How many tags there are other than `O`.
    #[must_use]
    pub fn tags(&self) -> usize {
        self.sum(|step| step.to != Kind::Outside)
    }

    /// How many tags break this scheme: the sum of [`malformed`](super::malformed) over the sentences.
    #[must_use]
    pub fn against(&self, scheme: Scheme) -> usize {
        self.sum(|step| !scheme.allows_step(step))
    }

    /// Which scheme this evidence leaves.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        // `min_by_key` takes the first of equals.
        let candidates = PREFERENCE.into_iter().filter(|&scheme| self.letters_fit(scheme));
        let nearest = |but: Option<Scheme>| {
            let others = candidates.clone().filter(|&scheme| Some(scheme) != but);
            others.map(|scheme| (scheme, self.against(scheme))).min_by_key(|&(_, against)| against)
        };
        let (scheme, against) = nearest(None).unwrap_or((Scheme::Iob2, 0));
        let (runner_up, against_runner_up) = nearest(Some(scheme)).unwrap_or((scheme, 0));
        let certainty = if against > 0 {
            Certainty::Broken { against }
        } else if against_runner_up > 0 {
            Certainty::Certain { runner_up, against: against_runner_up }
        } else {
            let others = candidates.clone().filter(|&other| other != scheme && self.against(other) == 0);
            Certainty::Ambiguous { others: others.collect() }
        };
        Verdict { scheme, entities: self.entities(), tags: self.tags(), certainty }
    }

    fn letters_fit(&self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Iobes => self.iobes_letters || !self.bilou_letters,
            Scheme::Bilou => self.bilou_letters || !self.iobes_letters,
            _ => true,
        }
    }

    fn sum(&self, counts: impl Fn(Step) -> bool) -> usize {
        Step::every().zip(self.steps).filter(|&(step, _)| counts(step)).map(|(_, n)| n).sum()
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Counts {
            entities: usize,
            tags: usize,
            against: BTreeMap<Scheme, usize>,
        }
        let against = Scheme::ALL.into_iter().map(|scheme| (scheme, self.against(scheme))).collect();
        Counts { entities: self.entities(), tags: self.tags(), against }.serialize(serializer)
    }
}

/// Which scheme a corpus follows; displayed in one line.
///
/// Where several fit, the first of IOB2, IOB1, IOBES, BILOU, IOE2, IOE1, IO is taken. That happens in three cases only:
/// - There is no entity: all schemes fit.
/// - All tags are `O` and `I-`: IOB1, IOE1 and IO fit and give the same entities. If it is IO in truth, entities of one
///   type that touch were merged when the file was written, and nothing can tell.
/// - It is IOBES or BILOU, and no text showed which letters are used, or both were: they differ in nothing else.
///
/// ```
/// use apprentice_core::tags::{Evidence, Tag};
/// let verdict = |text: &str| {
///     let tags: Vec<Tag> = text.split(' ').map(|tag| tag.parse().unwrap()).collect();
///     Evidence::of([tags]).verdict().to_string()
/// };
/// assert_eq!(verdict("B-PER I-PER O O B-LOC O"), "IOB2 (2 entities; 2 tags rule out IOB1)");
/// assert_eq!(verdict("I-PER I-PER O O I-LOC O"), "IOB1 (2 entities; IOE1, IO would fit as well)");
/// assert_eq!(verdict("B-PER I-PER O O I-LOC O"), "no scheme (2 entities; IOB2 is nearest, broken by 1 of 3 tags)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The scheme, or the nearest one.
    pub scheme: Scheme,
    /// How many entities there are, by the lenient rule.
    pub entities: usize,
    /// How many tags there are other than `O`.
    pub tags: usize,
    /// How sure it is.
    #[serde(flatten)]
    pub certainty: Certainty,
}

/// How sure a [`Verdict`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "certainty", rename_all = "lowercase")]
pub enum Certainty {
    /// Every other scheme is ruled out.
    Certain {
        /// The scheme that comes next.
        runner_up: Scheme,
        /// How many tags rule it out.
        against: usize,
    },
    /// Others fit as well.
    Ambiguous {
        /// Those.
        others: Vec<Scheme>,
    },
    /// None fits.
    Broken {
        /// How many tags break the nearest one.
        against: usize,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, tags, .. } = self;
        let count =
            |n: usize, what: &str, plural: &str| format!("{} {}", grouped(n), if n == 1 { what } else { plural });
        let entities = count(self.entities, "entity", "entities");
        match &self.certainty {
            Certainty::Certain { runner_up, against } => {
                let rule = if *against == 1 { "rules" } else { "rule" };
                write!(f, "{scheme} ({entities}; {} {rule} out {runner_up})", count(*against, "tag", "tags"))
            }
            Certainty::Ambiguous { .. } if self.entities == 0 => {
                write!(f, "{scheme} (no entity: any scheme would fit)")
            }
            Certainty::Ambiguous { others } => {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                write!(f, "{scheme} ({entities}; {} would fit as well)", others.join(", "))
            }
            Certainty::Broken { against } => {
                let of = count(*tags, "tag", "tags");
                write!(f, "no scheme ({entities}; {scheme} is nearest, broken by {} of {of})", grouped(*against))
            }
        }
    }
}

/// With a comma between groups of three digits.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| str::from_utf8(g).unwrap_or_default()).collect();
    groups.join(",")
}
