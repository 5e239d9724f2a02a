//! Whether a labeller is right as often as it is sure.
//!
//! Of the entities that it is sure of to 0.7, seven in ten should be right. They are put into ten bins of equal width by
//! their confidence; the *expected calibration error* is the mean distance between confidence and precision of a bin,
//! weighted by its entities (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, arXiv 1706.04599), and the *Brier score*
//! the mean squared distance between the confidence of an entity and 1 or 0 for right or wrong (Brier 1950). Both are
//! better the smaller they are. Entities that were missed have no confidence: this is about precision alone.
//!
//! ```
//! use apprentice_core::{Confidence, metrics::Calibration};
//! let sure = |share, is_right| (Confidence::new(share).unwrap(), is_right);
//! let calibration = Calibration::of([sure(1.0, true), sure(1.0, false), sure(0.5, true)]).unwrap();
//! assert_eq!((calibration.bins.len(), calibration.bins[1].precision), (2, 0.5));
//! assert_eq!((calibration.expected_error, calibration.brier), (0.5, 1.25 / 3.0));
//! ```

use serde::Serialize;

use crate::{Confidence, Entity};

/// How many bins there are.
const BINS: usize = 10;

/// How well confidences and shares of right entities agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// How many entities have a confidence.
    pub entities: usize,
    /// The expected calibration error, from 0 to 1.
    pub expected_error: f64,
    /// The Brier score, from 0 to 1.
    pub brier: f64,
    /// The bins that are not empty, by confidence.
    pub bins: Vec<Bin>,
}

/// The entities of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Confidences here are above this, or 0 in the first bin.
    pub above: f64,
    /// They are at most this.
    pub at_most: f64,
    /// How many entities.
    pub entities: usize,
    /// How many of them are right.
    pub right: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub precision: f64,
}

impl Calibration {
    /// That of entities with their confidence and whether they are right; nothing if there are none.
    pub fn of(entities: impl IntoIterator<Item = (Confidence, bool)>) -> Option<Self> {
        let (mut counts, mut sums, mut rights) = ([0_usize; BINS], [0.0; BINS], [0_usize; BINS]);
        let mut squares = 0.0;
        for (confidence, is_right) in entities {
            let confidence = confidence.get();
            // Shares such as 7/10 belong into the bin that ends with them, however they are rounded.
            let bin = ((confidence * BINS as f64 - 1e-9).ceil() as usize).clamp(1, BINS) - 1;
            counts[bin] += 1;
            sums[bin] += confidence;
            rights[bin] += usize::from(is_right);
            squares += (confidence - f64::from(u8::from(is_right))).powi(2);
        }
        let entities: usize = counts.iter().sum();
        let bin = |bin: usize| Bin {
            above: bin as f64 / BINS as f64,
            at_most: (bin + 1) as f64 / BINS as f64,
            entities: counts[bin],
            right: rights[bin],
            confidence: sums[bin] / counts[bin] as f64,
            precision: rights[bin] as f64 / counts[bin] as f64,
        };
        let bins: Vec<Bin> = (0..BINS).filter(|&bin| counts[bin] > 0).map(bin).collect();
        let distance = |bin: &Bin| bin.entities as f64 * (bin.confidence - bin.precision).abs();
        let expected_error = bins.iter().map(distance).sum::<f64>() / entities as f64;
        (entities > 0).then(|| Self { entities, expected_error, brier: squares / entities as f64, bins })
    }

    /// That of predictions, sentence by sentence. An entity is right if its tokens and its type are; those without a
    /// confidence are not looked at.
    pub fn of_predicted(
        gold: &[impl AsRef<[Entity]>],
        predicted: &[Vec<Entity>],
        confidences: &[Vec<Option<Confidence>>],
    ) -> Option<Self> {
        let sentences = gold.iter().zip(predicted).zip(confidences);
        Self::of(sentences.flat_map(|((gold, predicted), confidences)| {
            let sure = predicted.iter().zip(confidences);
            sure.filter_map(|(entity, confidence)| Some(((*confidence)?, gold.as_ref().contains(entity))))
        }))
    }
}
