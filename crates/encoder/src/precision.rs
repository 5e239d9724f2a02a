//! The number format of the products with weights.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::EncoderError;

/// The number format of the products with the layers' weights, which are nearly all of the arithmetic. All else, and what
/// is stored, is `f32`.
///
/// As text `f32`, `bf16`, `int8`, or `auto`, which is read as [`Self::auto`] of the machine that reads it.
///
/// ```
/// use apprentice_encoder::Precision;
/// assert_eq!("bf16".parse::<Precision>()?, Precision::Bf16);
/// assert_eq!("auto".parse::<Precision>()?, Precision::auto());
/// # Ok::<(), apprentice_encoder::EncoderError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// Operands rounded to the upper 16 bits of an `f32` (8 of the 24 bits of its significand), sums in `f32`. Meant for
    /// processors with AMX or AVX-512 BF16, and not faster than `F32` on all that have the latter ([`Self::auto`] measures);
    /// the same everywhere but for the last bits.
    Bf16,
    /// Whole numbers of 8 bits, for prediction alone: weights with a scale for each output, activations with scale and
    /// offset for each token. Fast where the processor has AVX-512 VNNI or AMX; the same everywhere.
    Int8,
}

impl Precision {
    /// The fastest of those that can train: `Bf16` where this processor has an instruction for it that is faster than that
    /// for `F32`, as measured when this is first called, else `F32`.
    #[must_use]
    pub fn auto() -> Self {
        if crate::profile::bf16_is_faster() { Self::Bf16 } else { Self::F32 }
    }
}

impl FromStr for Precision {
    type Err = EncoderError;

    fn from_str(text: &str) -> Result<Self, EncoderError> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            "auto" => Ok(Self::auto()),
            _ => Err(EncoderError::Precision { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl TryFrom<String> for Precision {
    type Error = EncoderError;

    fn try_from(text: String) -> Result<Self, EncoderError> {
        text.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.to_string()
    }
}
