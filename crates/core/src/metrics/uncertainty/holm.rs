//! Several tests at once.

use super::UncertaintyError;

/// Holm's correction (1979, "A simple sequentially rejective multiple test procedure"): adjusted p-values, in the order
/// given. Rejecting where the adjusted value is at most `a` rejects any true hypothesis with a chance of at most `a`.
///
/// With the `m` values in ascending order, `adjusted(i) = max over j <= i of min(1, (m - j) p(j))`, `i` and `j` from 0.
///
/// ```
/// use apprentice_core::metrics::uncertainty::holm;
/// assert_eq!(holm(&[0.04, 0.01, 0.5])?, [0.08, 0.03, 0.5]);
/// # Ok::<(), apprentice_core::metrics::uncertainty::UncertaintyError>(())
/// ```
///
/// # Errors
/// [`UncertaintyError::PValue`] if one is not between 0 and 1.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, UncertaintyError> {
    if let Some(index) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(UncertaintyError::PValue { index, found: p_values[index] });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut highest: f64 = 0.0;
    for (place, index) in order.into_iter().enumerate() {
        let tests = (p_values.len() - place) as f64;
        highest = highest.max((tests * p_values[index]).min(1.0));
        adjusted[index] = highest;
    }
    Ok(adjusted)
}
