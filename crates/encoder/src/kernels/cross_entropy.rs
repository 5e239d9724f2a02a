//! Softmax and cross-entropy over the rows that carry a class.

/// The summed loss `-log softmax(logits)[class]` of all rows; `logits` `[R, C]` become the gradient of the loss times
/// `scale`.
pub(crate) fn softmax_cross_entropy(logits: &mut [f32], classes: &[u32], scale: f32) -> f64 {
    let width = logits.len() / classes.len().max(1);
    let mut loss = 0.0;
    for (row, &class) in logits.chunks_exact_mut(width.max(1)).zip(classes) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = row.iter().map(|v| f64::from(v - largest).exp()).sum::<f64>().ln();
        loss += log_sum - f64::from(row[class as usize] - largest);
        for (c, v) in row.iter_mut().enumerate() {
            let probability = (f64::from(*v - largest) - log_sum).exp() as f32;
            let target = if c == class as usize { 1.0 } else { 0.0 };
            *v = (probability - target) * scale;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    #[test]
    fn loss_and_gradient_of_a_small_example() {
        // Two rows of two classes: softmax (1/2, 1/2) and (3/4, 1/4).
        let mut logits = vec![0.0, 0.0, 3f32.ln(), 0.0];
        let loss = super::softmax_cross_entropy(&mut logits, &[0, 1], 0.5);
        assert!((loss - (2f64.ln() + 4f64.ln())).abs() < 1e-6);
        for (ours, exact) in logits.iter().zip([-0.25, 0.25, 0.375, -0.375]) {
            assert!((ours - exact).abs() < 1e-6);
        }
        let mut nan = vec![f32::NAN, 0.0];
        assert!(super::softmax_cross_entropy(&mut nan, &[0], 1.0).is_nan());
    }
}
