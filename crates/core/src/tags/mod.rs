//! Tags and tag schemes: how a column of labels says which tokens make an entity.
//!
//! All schemes use some of five kinds of tag: `O` outside, `B-` begin, `I-` inside, `E-` end (BILOU: `L-`, last) and
//! `S-` single (BILOU: `U-`, unit). [`Scheme`] says where each may stand, [`Evidence`] finds the scheme of a corpus,
//! [`encode`] writes entities, and there are two ways to read them: [`decode_lenient`] takes every scheme and makes
//! something of every tag; [`decode_strict`] takes one scheme, and what breaks it is no entity.
//!
//! ```
//! use apprentice_core::tags::{Evidence, Scheme, Tag, decode_lenient, decode_strict, encode, malformed};
//! // Ann Keller won in Rome .
//! let tags: Vec<Tag> = ["B-PER", "I-PER", "O", "O", "I-LOC", "O"].iter().map(|t| t.parse().unwrap()).collect();
//! assert_eq!(malformed(&tags, Scheme::Iob2), 1);
//! assert_eq!(decode_strict(&tags, Scheme::Iob2).len(), 1);
//! let entities = decode_lenient(&tags);
//! assert_eq!(entities.len(), 2);
//! assert_eq!(entities[0].span.range(), 0..2);
//!
//! let written = |scheme| {
//!     let tags = encode(&entities, 6, scheme);
//!     assert_eq!(decode_strict(&tags, scheme), entities);
//!     tags.iter().map(|tag| tag.in_scheme(scheme).to_string()).collect::<Vec<_>>().join(" ")
//! };
//! assert_eq!(written(Scheme::Iob1), "I-PER I-PER O O I-LOC O");
//! assert_eq!(written(Scheme::Iob2), "B-PER I-PER O O B-LOC O");
//! assert_eq!(written(Scheme::Ioe2), "I-PER E-PER O O E-LOC O");
//! assert_eq!(written(Scheme::Iobes), "B-PER E-PER O O S-LOC O");
//! assert_eq!(written(Scheme::Bilou), "B-PER L-PER O O U-LOC O");
//!
//! let evidence = Evidence::of([encode(&entities, 6, Scheme::Ioe2)]);
//! assert_eq!(evidence.verdict().to_string(), "IOE2 (2 entities; 2 tags rule out IOB1)");
//! ```

mod decode;
mod encode;
mod evidence;
mod scheme;
mod step;

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

pub use decode::{decode_lenient, decode_strict};
pub use encode::encode;
pub(crate) use encode::encode_into;
pub use evidence::{Certainty, Evidence, Verdict};
pub use scheme::{Scheme, SchemeError, malformed};

/// One token's tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// `O`: in no entity.
    Outside,
    /// `B-TYPE`: the first token of an entity.
    Begin(Arc<str>),
    /// `I-TYPE` (BMES: `M-TYPE`): a token of an entity; which ones, depends on the scheme.
    Inside(Arc<str>),
    /// `E-TYPE` (BILOU: `L-TYPE`): the last token of an entity.
    End(Arc<str>),
    /// `S-TYPE` (BILOU: `U-TYPE`): the only token of an entity.
    Single(Arc<str>),
}

/// A text that is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is not a tag: expected O, or one of B-, I-, E-, S- (BMES: M-; BILOU: L-, U-) with an entity type")]
pub struct TagError {
    /// What stood there.
    pub found: String,
}

impl Tag {
    /// The tag of a file that gives the bare entity type of a token, such as `PER` or `art-music`, and `O` outside:
    /// IO without its `I-`.
    ///
    /// ```
    /// use apprentice_core::Tag;
    /// assert_eq!(Tag::from_bare_type("art-music")?, "I-art-music".parse()?);
    /// assert_eq!(Tag::from_bare_type("O")?, Tag::Outside);
    /// # Ok::<(), apprentice_core::TagError>(())
    /// ```
    ///
    /// # Errors
    /// [`TagError`] if there is nothing.
    pub fn from_bare_type(text: &str) -> Result<Self, TagError> {
        match text {
            "" => Err(TagError { found: String::new() }),
            "O" => Ok(Self::Outside),
            label => Ok(Self::Inside(label.into())),
        }
    }

    /// The entity type, if the token is in an entity.
    #[must_use]
    pub fn label(&self) -> Option<&Arc<str>> {
        match self {
            Self::Outside => None,
            Self::Begin(label) | Self::Inside(label) | Self::End(label) | Self::Single(label) => Some(label),
        }
    }

    /// The tag as this scheme writes it: BILOU has `L-` and `U-` for [`Self::End`] and [`Self::Single`], the others
    /// have `E-` and `S-`, as has [`Tag`]'s own `Display`.
    #[must_use]
    pub fn in_scheme(&self, scheme: Scheme) -> impl fmt::Display {
        fmt::from_fn(move |f| match self.label() {
            None => f.write_str("O"),
            Some(label) => write!(f, "{}-{label}", char::from(self.letter(scheme))),
        })
    }

    /// The ASCII letter that this scheme writes before the type.
    #[must_use]
    pub fn letter(&self, scheme: Scheme) -> u8 {
        let bilou = scheme == Scheme::Bilou;
        match self {
            Self::Outside => b'O',
            Self::Begin(_) => b'B',
            Self::Inside(_) => b'I',
            Self::End(_) => {
                if bilou {
                    b'L'
                } else {
                    b'E'
                }
            }
            Self::Single(_) => {
                if bilou {
                    b'U'
                } else {
                    b'S'
                }
            }
        }
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(s: &str) -> Result<Self, TagError> {
        let kind: fn(Arc<str>) -> Self = match s.as_bytes() {
            [b'O'] => return Ok(Self::Outside),
            [b'B', b'-', _, ..] => Self::Begin,
            [b'I' | b'M', b'-', _, ..] => Self::Inside,
            [b'E' | b'L', b'-', _, ..] => Self::End,
            [b'S' | b'U', b'-', _, ..] => Self::Single,
            _ => return Err(TagError { found: s.to_owned() }),
        };
        Ok(kind(s[2..].into()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_scheme(Scheme::Iobes).fmt(f)
    }
}
