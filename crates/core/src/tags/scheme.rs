//! The seven schemes and where each has which tag.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Tag,
    step::{Kind, Step},
};

/// How tags mark the borders of entities.
///
/// | scheme | tags | an entity of three tokens, then one of one token and the same type |
/// |---|---|---|
/// | IOB1 | O B I | `I-X I-X I-X B-X` |
/// | IOB2 | O B I | `B-X I-X I-X B-X` |
/// | IOE1 | O I E | `I-X I-X E-X I-X` |
/// | IOE2 | O I E | `I-X I-X E-X E-X` |
/// | IOBES | O B I E S | `B-X I-X E-X S-X` |
/// | BILOU | O B I L U | `B-X I-X L-X U-X` |
/// | IO | O I | `I-X I-X I-X I-X`: one entity |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `B-` only at an entity that directly follows another one of the same type.
    Iob1,
    /// `B-` at the start of every entity; also called BIO.
    Iob2,
    /// `E-` only at the end of an entity that another one of the same type directly follows.
    Ioe1,
    /// `E-` at the end of every entity.
    Ioe2,
    /// `B-` at the start and `E-` at the end of every entity, `S-` if that is one token; also called BIOES or BMES.
    Iobes,
    /// IOBES with `L-` for `E-` and `U-` for `S-`.
    Bilou,
    /// No borders: neighbouring entities of one type become one.
    Io,
}

/// A text that names no scheme.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is no tag scheme: expected iob1, iob2 (or bio), ioe1, ioe2, iobes (or bioes, bmes), bilou or io")]
pub struct SchemeError {
    /// What stood there.
    pub found: String,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Iob1, Self::Iob2, Self::Ioe1, Self::Ioe2, Self::Iobes, Self::Bilou, Self::Io];

    /// The tags that this scheme has for a type.
    #[must_use]
    pub fn tags_of(self, label: &Arc<str>) -> Vec<Tag> {
        let kinds: &[fn(Arc<str>) -> Tag] = match self {
            Self::Iob1 | Self::Iob2 => &[Tag::Begin, Tag::Inside],
            Self::Ioe1 | Self::Ioe2 => &[Tag::Inside, Tag::End],
            Self::Iobes | Self::Bilou => &[Tag::Begin, Tag::Inside, Tag::End, Tag::Single],
            Self::Io => &[Tag::Inside],
        };
        kinds.iter().map(|kind| kind(label.clone())).collect()
    }

    /// Whether this scheme may have `tag` right after `previous`; [`Tag::Outside`] stands before the first tag of a
    /// sentence and after the last one, where it closes schemes that mark the end.
    ///
    /// ```
    /// use apprentice_core::{Scheme, Tag};
    /// let (inside, outside) = (Tag::Inside("PER".into()), Tag::Outside);
    /// assert!(!Scheme::Iob2.allows(&outside, &inside));
    /// assert!(Scheme::Ioe2.allows(&outside, &inside));
    /// assert!(!Scheme::Ioe2.allows(&inside, &outside));
    /// ```
    #[must_use]
    pub fn allows(self, previous: &Tag, tag: &Tag) -> bool {
        self.allows_step(Step::new(previous, tag))
    }

    pub(super) fn allows_step(self, step: Step) -> bool {
        let Step { from, to, same } = step;
        self.has(to)
            && match self {
                Self::Iob1 => to != Kind::Begin || same,
                Self::Iob2 => to != Kind::Inside || same,
                Self::Ioe1 => from != Kind::End || same,
                Self::Ioe2 => from != Kind::Inside || same,
                Self::Iobes | Self::Bilou => {
                    let goes_on = matches!(to, Kind::Inside | Kind::End);
                    goes_on == matches!(from, Kind::Begin | Kind::Inside) && (same || !goes_on)
                }
                Self::Io => true,
            }
    }

    /// Whether the scheme uses such tags at all.
    pub(super) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Outside | Kind::Inside => true,
            Kind::Begin => matches!(self, Self::Iob1 | Self::Iob2 | Self::Iobes | Self::Bilou),
            Kind::End => matches!(self, Self::Ioe1 | Self::Ioe2 | Self::Iobes | Self::Bilou),
            Kind::Single => matches!(self, Self::Iobes | Self::Bilou),
        }
    }

    /// What the scheme asks for, to complete `SCHEME has …`.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Iob1 => "B- only right after an entity of the same type, and no E- or S-",
            Self::Iob2 => "I- only inside an entity of the same type, and no E- or S-",
            Self::Ioe1 => "E- only right before an entity of the same type, and no B- or S-",
            Self::Ioe2 => "I- only right before I- or E- of the same type, and no B- or S-",
            Self::Iobes => "B- I- … E- of one type, or S- alone",
            Self::Bilou => "B- I- … L- of one type, or U- alone",
            Self::Io => "no tags but O and I-",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Iob1 => "IOB1",
            Self::Iob2 => "IOB2",
            Self::Ioe1 => "IOE1",
            Self::Ioe2 => "IOE2",
            Self::Iobes => "IOBES",
            Self::Bilou => "BILOU",
            Self::Io => "IO",
        })
    }
}

impl FromStr for Scheme {
    type Err = SchemeError;

    fn from_str(s: &str) -> Result<Self, SchemeError> {
        let name = match s.to_ascii_uppercase().as_str() {
            "BIO" => "IOB2".to_owned(),
            "BIOES" | "BMES" => "IOBES".to_owned(),
            other => other.to_owned(),
        };
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.to_string() == name)
            .ok_or_else(|| SchemeError { found: s.to_owned() })
    }
}

/// How many tags of a sentence break the scheme; an entity that the end of the sentence cuts short counts as one.
#[must_use]
pub fn malformed(tags: &[Tag], scheme: Scheme) -> usize {
    Step::all(tags).filter(|&step| !scheme.allows_step(step)).count()
}
