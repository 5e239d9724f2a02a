//! Softmax and the losses between its probabilities and the classes that rows carry.

/// What the probabilities `p` of a row cost, given the target distribution `t` over the classes:
/// `sum_c t_c l(p_c)` with `l(p) = -log p`, cross-entropy, or `l(p) = (1 - p^q) / q`, generalised cross-entropy (Zhang
/// and Sabuncu 2018, arXiv 1805.07836), which forgives classes that the model finds very unlikely.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// This part of each target, from 0 to 1, is spread evenly over all classes (Szegedy et al. 2016, arXiv 1512.00567).
    pub smoothing: f32,
    /// The `q` of generalised cross-entropy, from 0, which is cross-entropy, to 1, which is linear in `p`.
    pub q: f32,
}

/// The sum of weight times loss over all rows, where a row weighs 1 if there are no `weights`; its target is its class, or
/// its row of `soft` `[R, C]` if that is given. `logits` `[R, C]` become the gradient of the sum times `scale`.
pub(crate) fn softmax_loss(
    logits: &mut [f32],
    (classes, soft): (&[u32], Option<&[f32]>),
    weights: Option<&[f32]>,
    loss: Loss,
    scale: f32,
) -> f64 {
    let width = (logits.len() / classes.len().max(1)).max(1);
    let (smoothing, q) = (f64::from(loss.smoothing), f64::from(loss.q));
    let mut sum = 0.0;
    let mut parts = vec![(0.0, 0.0); width];
    for (index, (row, &class)) in logits.chunks_exact_mut(width).zip(classes).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[index]);
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = row.iter().map(|v| f64::from(v - largest).exp()).sum::<f64>().ln();
        let mut total = 0.0;
        for (c, (logit, part)) in row.iter().zip(&mut parts).enumerate() {
            let hard = if c == class as usize { 1.0 } else { 0.0 };
            let target = soft.map_or(hard, |soft| f64::from(soft[index * width + c]));
            let target = target * (1.0 - smoothing) + smoothing / width as f64;
            let log_p = f64::from(logit - largest) - log_sum;
            let (l, slope) = if q > 0.0 { (-(q * log_p).exp_m1() / q, (q * log_p).exp()) } else { (-log_p, 1.0) };
            // A class that is no target costs nothing, however unlikely it is.
            if target > 0.0 {
                sum += f64::from(weight) * target * l;
            }
            // The slope is that of `l` by `-log p`.
            *part = (log_p.exp(), target * slope);
            total += part.1;
        }
        for (logit, (probability, cost)) in row.iter_mut().zip(&parts) {
            *logit = ((probability * total) as f32 - *cost as f32) * (weight * scale);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{Loss, softmax_loss};

    fn cross_entropy(logits: &mut [f32], classes: &[u32], weights: Option<&[f32]>, scale: f32) -> f64 {
        softmax_loss(logits, (classes, None), weights, Loss::default(), scale)
    }

    #[test]
    fn loss_and_gradient_of_a_small_example() {
        // Two rows of two classes: softmax (1/2, 1/2) and (3/4, 1/4).
        let mut logits = vec![0.0, 0.0, 3f32.ln(), 0.0];
        let loss = cross_entropy(&mut logits, &[0, 1], None, 0.5);
        assert!((loss - (2f64.ln() + 4f64.ln())).abs() < 1e-6);
        for (ours, exact) in logits.iter().zip([-0.25, 0.25, 0.375, -0.375]) {
            assert!((ours - exact).abs() < 1e-6);
        }
        let mut nan = vec![f32::NAN, 0.0];
        assert!(cross_entropy(&mut nan, &[0], None, 1.0).is_nan());
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
        let loss = cross_entropy(&mut ours, &classes, Some(&weights), (1.0 / total) as f32) / total;
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

    /// Loss and gradient of every kind in f64 as the formulas say, the gradient by differences.
    #[test]
    fn losses_as_their_formulas_say() {
        let classes = [2_u32, 0];
        let soft = [0.25_f32, 0.0, 0.75, 0.5, 0.125, 0.375];
        let logits: Vec<f32> = (0..6).map(|i| (f32::from(i as u8) * 2.3).cos() * 2.0).collect();
        for soft in [None, Some(&soft[..])] {
            for kind in [(0.0, 0.0), (0.1, 0.0), (0.0, 0.7), (0.2, 0.3), (0.0, 1.0)] {
                let (smoothing, q) = (f64::from(kind.0), f64::from(kind.1));
                let exact = |logits: &[f64]| -> f64 {
                    let row = |(index, row): (usize, &[f64])| -> f64 {
                        let sum: f64 = row.iter().map(|v| v.exp()).sum();
                        let cost = |(c, v): (usize, &f64)| {
                            let p = v.exp() / sum;
                            let hard = f64::from(u8::from(classes[index] as usize == c));
                            let target = soft.map_or(hard, |soft| f64::from(soft[index * 3 + c]));
                            let target = (1.0 - smoothing) * target + smoothing / 3.0;
                            target * if q == 0.0 { -p.ln() } else { (1.0 - p.powf(q)) / q }
                        };
                        row.iter().enumerate().map(cost).sum()
                    };
                    logits.chunks_exact(3).enumerate().map(row).sum()
                };
                let at: Vec<f64> = logits.iter().copied().map(f64::from).collect();
                let mut ours = logits.clone();
                let loss = Loss { smoothing: kind.0, q: kind.1 };
                let sum = softmax_loss(&mut ours, (&classes, soft), None, loss, 1.0);
                assert!((sum - exact(&at)).abs() < 1e-6, "{kind:?}: {sum}, expected {}", exact(&at));
                for (i, gradient) in ours.iter().enumerate() {
                    let moved = |change: f64| {
                        let mut moved = at.clone();
                        moved[i] += change;
                        exact(&moved)
                    };
                    let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    assert!((f64::from(*gradient) - difference).abs() < 1e-6, "{kind:?} {i}: {gradient} {difference}");
                }
            }
        }
    }
}
