//! Softmax and cross-entropy over the rows that carry a class.

use rayon::prelude::*;

use super::{ROW_CHUNK, math::exp, multiversion, simd};

/// The sum of `-weight log softmax(logits)[class]` over all rows, where a row weighs 1 if there are no `weights`;
/// `logits` `[R, C]` become the gradient of that times `scale`.
pub(crate) fn softmax_cross_entropy(logits: &mut [f32], classes: &[u32], weights: Option<&[f32]>, scale: f32) -> f64 {
    let _timer = crate::profile::timer("cross-entropy", 2 * logits.len());
    let width = (logits.len() / classes.len().max(1)).max(1);
    let row_losses: Vec<f64> = logits
        .par_chunks_exact_mut(width)
        .zip(classes)
        .enumerate()
        .with_min_len(ROW_CHUNK)
        .map(|(index, (row, &class))| row_loss(row, class as usize, weights.map_or(1.0, |w| w[index]), scale))
        .collect();
    row_losses.iter().sum()
}

multiversion! {
    /// The loss of one row, which becomes its gradient.
    fn row_loss(row: &mut [f32], class: usize, weight: f32, scale: f32) -> f64 {
        let largest = simd::largest(SIMD, row);
        let of_class = f64::from(row[class] - largest);
        for v in row.iter_mut() {
            *v = exp(SIMD, *v - largest);
        }
        let total = f64::from(simd::sum(SIMD, row));
        let factor = weight * scale;
        let to_gradient = (f64::from(factor) / total) as f32;
        for v in row.iter_mut() {
            *v *= to_gradient;
        }
        row[class] -= factor;
        f64::from(weight) * (total.ln() - of_class)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loss_and_gradient_of_a_small_example() {
        // Two rows of two classes: softmax (1/2, 1/2) and (3/4, 1/4).
        let mut logits = vec![0.0, 0.0, 3f32.ln(), 0.0];
        let loss = super::softmax_cross_entropy(&mut logits, &[0, 1], None, 0.5);
        assert!((loss - (2f64.ln() + 4f64.ln())).abs() < 1e-6);
        for (ours, exact) in logits.iter().zip([-0.25, 0.25, 0.375, -0.375]) {
            assert!((ours - exact).abs() < 1e-6);
        }
        let mut nan = vec![f32::NAN, 0.0];
        assert!(super::softmax_cross_entropy(&mut nan, &[0], None, 1.0).is_nan());
    }

    /// Loss and gradient of `sum(w l) / sum(w)` in f64, the gradient by differences.
    #[test]
    fn weights_as_a_reference_has_them() {
        let classes = [2, 0, 1, 2];
        let weights = [0.5_f32, 2.0, 0.0, 1.25];
        let logits: Vec<f32> = (0..12).map(|i| (i as f32 * 1.7).sin() * 3.0).collect();
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let mean = |logits: &[f64]| {
            let rows = logits.chunks_exact(3).zip(classes).zip(weights);
            let loss = |((row, class), weight): ((&[f64], u32), f32)| {
                f64::from(weight) * (row.iter().map(|v| v.exp()).sum::<f64>().ln() - row[class as usize])
            };
            rows.map(loss).sum::<f64>() / total
        };
        let exact: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
        let mut ours = logits.clone();
        let loss = super::softmax_cross_entropy(&mut ours, &classes, Some(&weights), (1.0 / total) as f32) / total;
        assert!((loss - mean(&exact)).abs() < 1e-6, "{loss}");
        for (i, gradient) in ours.iter().enumerate() {
            let at = |change: f64| {
                let mut moved = exact.clone();
                moved[i] += change;
                mean(&moved)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((f64::from(*gradient) - difference).abs() < 1e-6, "{i}: {gradient}, by differences {difference}");
        }
        assert!(ours[6..9].iter().all(|gradient| *gradient == 0.0), "a row without weight has a gradient");
    }
}
