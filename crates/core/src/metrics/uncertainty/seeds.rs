//! Scores of several seeds: their spread, and tests on their means.

use serde::{Deserialize, Serialize};

use super::{Interval, UncertaintyError, check_level, student_t};

/// The mean and spread of one score over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many seeds.
    pub seeds: usize,
    /// Their mean.
    pub mean: f64,
    /// The sample standard deviation, with `n - 1` below; none for a single seed.
    pub standard_deviation: Option<f64>,
}

impl Summary {
    /// Of one value for each seed.
    ///
    /// ```
    /// use apprentice_core::metrics::uncertainty::Summary;
    /// let summary = Summary::of(&[0.5, 0.75, 1.0])?;
    /// assert_eq!((summary.mean, summary.standard_deviation), (0.75, Some(0.25)));
    /// # Ok::<(), apprentice_core::metrics::uncertainty::UncertaintyError>(())
    /// ```
    ///
    /// # Errors
    /// [`UncertaintyError::TooFew`] without any value, [`UncertaintyError::NotFinite`].
    pub fn of(values: &[f64]) -> Result<Self, UncertaintyError> {
        at_least(1, values)?;
        let n = values.len() as f64;
        // Seen from the first value, so that equal values have no spread at all, not even by rounding.
        let mean = values[0] + values.iter().map(|value| value - values[0]).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Ok(Self { seeds: values.len(), mean, standard_deviation })
    }

    /// Where the mean over all possible seeds may lie: `mean ± t · s / √n`, for values that scatter normally.
    ///
    /// # Errors
    /// [`UncertaintyError::TooFew`] for a single seed, [`UncertaintyError::Level`].
    pub fn interval(&self, level: f64) -> Result<Interval, UncertaintyError> {
        let Some(deviation) = self.standard_deviation else {
            return Err(UncertaintyError::TooFew { found: self.seeds, expected: 2 });
        };
        let n = self.seeds as f64;
        interval(self.mean, deviation / n.sqrt(), n - 1.0, level)
    }
}

/// The result of a t test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// The mean of the first less the mean of the second.
    pub difference: Interval,
    /// The difference by its standard error.
    pub t: f64,
    /// The degrees of freedom, for Welch's test seldom whole.
    pub degrees_of_freedom: f64,
    /// Two-sided.
    pub p_value: f64,
}

/// Welch's t test (1947) for seeds that have nothing to do with each other: are the two means the same? The standard
/// error is `√(s₁²/n₁ + s₂²/n₂)`; spreads and numbers may differ. `level` is that of the difference's interval.
///
/// # Errors
/// [`UncertaintyError::TooFew`] below two values a side, [`UncertaintyError::NotFinite`],
/// [`UncertaintyError::NoSpread`], [`UncertaintyError::Level`].
pub fn welch(first: &[f64], second: &[f64], level: f64) -> Result<TTest, UncertaintyError> {
    let parts = |values: &[f64]| -> Result<(f64, f64, f64), UncertaintyError> {
        at_least(2, values)?;
        let summary = Summary::of(values)?;
        let n = values.len() as f64;
        let deviation = summary.standard_deviation.unwrap_or_default();
        Ok((summary.mean, deviation * deviation / n, n - 1.0))
    };
    let (mean, error, freedom) = parts(first)?;
    let (other_mean, other_error, other_freedom) = parts(second)?;
    let square = error + other_error;
    check_spread(square.sqrt(), &[first, second])?;
    let (part, other_part) = (error / square, other_error / square);
    let degrees_of_freedom = 1.0 / (part * part / freedom + other_part * other_part / other_freedom);
    t_test(mean - other_mean, square.sqrt(), degrees_of_freedom, level)
}

/// Student's paired t test: value `i` of both comes from the same seed and data, so that what the two share cancels.
///
/// # Errors
/// [`UncertaintyError::Pairs`] if there are not as many of each, otherwise as [`welch`].
pub fn paired_t(first: &[f64], second: &[f64], level: f64) -> Result<TTest, UncertaintyError> {
    if first.len() != second.len() {
        return Err(UncertaintyError::Pairs { first: first.len(), second: second.len() });
    }
    at_least(2, first)?;
    at_least(2, second)?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let summary = Summary::of(&differences)?;
    let n = differences.len() as f64;
    let error = summary.standard_deviation.unwrap_or_default() / n.sqrt();
    check_spread(error, &[first, second])?;
    t_test(summary.mean, error, n - 1.0, level)
}

fn t_test(difference: f64, error: f64, degrees_of_freedom: f64, level: f64) -> Result<TTest, UncertaintyError> {
    let t = difference / error;
    let p_value = student_t::two_sided(t, degrees_of_freedom);
    let difference = interval(difference, error, degrees_of_freedom, level)?;
    Ok(TTest { difference, t, degrees_of_freedom, p_value })
}

/// A standard error that rounding alone would give is none.
fn check_spread(error: f64, sides: &[&[f64]]) -> Result<(), UncertaintyError> {
    let largest = sides.iter().copied().flatten().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if error.is_finite() && error > 1e-14 * largest { Ok(()) } else { Err(UncertaintyError::NoSpread) }
}

fn interval(estimate: f64, error: f64, freedom: f64, level: f64) -> Result<Interval, UncertaintyError> {
    check_level(level)?;
    let reach = student_t::critical(level, freedom) * error;
    Ok(Interval { estimate, low: estimate - reach, high: estimate + reach, level })
}

fn at_least(expected: usize, values: &[f64]) -> Result<(), UncertaintyError> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(UncertaintyError::NotFinite { index, found: values[index] });
    }
    if values.len() < expected {
        return Err(UncertaintyError::TooFew { found: values.len(), expected });
    }
    Ok(())
}
