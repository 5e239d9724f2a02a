//! The products with the layers' weights, in the precision of the network.

use crate::{
    Layout, Precision,
    encoder::Mode,
    kernels::{
        bf16::{Pair, Rounded},
        int8,
        matmul::{Destination, Matrix, Panels, Second, add_weight_gradients, matmul_then},
    },
    parameters::Linear,
};

/// A weight matrix of a layer, `[out, in]`.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a> {
    values: &'a [f32],
    inputs: usize,
    /// Among those of all layers.
    index: usize,
}

impl<'a> Weight<'a> {
    pub(crate) fn new(values: &'a [f32], layout: &Layout, layer: usize, which: Linear) -> Self {
        let (weight, bias) = layout.layers[layer].linear(which);
        let index = layer * Linear::ALL.len() + which as usize;
        Self { inputs: weight.len() / bias.len(), values: &values[weight.clone()], index }
    }

    fn outputs(&self) -> usize {
        self.values.len() / self.inputs
    }

    fn matrix(&self) -> Matrix<'a> {
        Matrix::new(self.values, self.inputs)
    }
}

/// What the products of one precision need.
enum Format {
    F32 {
        /// In inference, where they stay the same, the weights as products want them.
        weights: Vec<Panels>,
        /// Else one weight at a time.
        packed: Panels,
    },
    Bf16 {
        /// The weights for the way forward.
        weights: Vec<Panels<Pair>>,
        /// Both operands of another product.
        operands: [Rounded; 2],
        /// The second of them, as the product wants it.
        packed: Panels<Pair>,
    },
    Int8 {
        weights: Vec<int8::Weights>,
        activations: int8::Activations,
    },
}

/// The products of a network's layers.
pub(crate) struct Products {
    format: Format,
    /// Whether the weights may have changed since they were rounded.
    stale: bool,
}

impl Products {
    pub(crate) fn new(precision: Precision) -> Self {
        let format = match precision {
            Precision::F32 => Format::F32 { weights: Vec::new(), packed: Panels::default() },
            Precision::Bf16 => {
                Format::Bf16 { weights: Vec::new(), operands: Default::default(), packed: Panels::default() }
            }
            Precision::Int8 => Format::Int8 { weights: Vec::new(), activations: int8::Activations::default() },
        };
        Self { format, stale: true }
    }

    /// To be called when weights have changed.
    pub(crate) fn weights_changed(&mut self) {
        self.stale = true;
    }

    /// Prepares the weights, if they have changed; to be called before each pass.
    pub(crate) fn refresh(&mut self, values: &[f32], layout: &Layout, mode: Mode) {
        let layers = 0..layout.layers.len();
        let all = layers.flat_map(|layer| Linear::ALL.map(|which| Weight::new(values, layout, layer, which)));
        let count = layout.layers.len() * Linear::ALL.len();
        if let Format::F32 { weights, .. } = &mut self.format
            && mode != Mode::Inference
        {
            *weights = Vec::new();
            self.stale = true;
            return;
        }
        if !std::mem::take(&mut self.stale) {
            return;
        }
        match &mut self.format {
            Format::F32 { weights, .. } => {
                weights.resize_with(count, Panels::default);
                for (to, weight) in weights.iter_mut().zip(all) {
                    to.pack(weight.matrix().transposed());
                }
            }
            Format::Bf16 { weights, operands: [_, rounded], .. } => {
                weights.resize_with(count, Panels::default);
                for (to, weight) in weights.iter_mut().zip(all) {
                    to.pack(rounded.along(weight.values, weight.inputs).transposed());
                }
            }
            Format::Int8 { weights, .. } => {
                *weights = all.map(|weight| int8::Weights::new(weight.values, weight.inputs)).collect();
            }
        }
    }

    /// How many pairs of rounded numbers it has had at a time.
    #[cfg(test)]
    pub(crate) fn pairs(&self) -> usize {
        match &self.format {
            Format::Bf16 { weights, operands, .. } => {
                weights.iter().map(Panels::len).chain(operands.iter().map(|rounded| rounded.most)).sum()
            }
            Format::F32 { .. } | Format::Int8 { .. } => 0,
        }
    }

    /// `y = x weightᵀ`, and then `finish` as in [`matmul_then`].
    pub(crate) fn forward<const N: usize>(
        &mut self,
        x: &[f32],
        weight: Weight<'_>,
        y: &mut [f32],
        others: [&mut [f32]; N],
        finish: impl Fn(usize, usize, &mut [f32], [&mut [f32]; N]) + Sync,
    ) {
        let to = Destination::Overwrite;
        match &mut self.format {
            Format::F32 { weights, packed } => {
                let x = Matrix::new(x, weight.inputs);
                let b = match weights.get(weight.index) {
                    Some(weight) => Second::Packed(weight),
                    None => packed.for_rows(x.rows(), weight.matrix().transposed()),
                };
                matmul_then(x, b, y, to, others, finish);
            }
            Format::Bf16 { weights, operands: [a, _], .. } => {
                matmul_then(a.along(x, weight.inputs), &weights[weight.index], y, to, others, finish);
            }
            Format::Int8 { weights, activations } => {
                int8::matmul_then(x, &weights[weight.index], activations, y, others, finish);
            }
        }
    }

    /// The gradient of the input: `d_x = d_y weight` or `d_x += d_y weight`, and then `finish` as in [`matmul_then`].
    pub(crate) fn back_to_inputs<const N: usize>(
        &mut self,
        d_y: &[f32],
        weight: Weight<'_>,
        d_x: &mut [f32],
        destination: Destination,
        others: [&mut [f32]; N],
        finish: impl Fn(usize, usize, &mut [f32], [&mut [f32]; N]) + Sync,
    ) {
        match &mut self.format {
            Format::F32 { packed, .. } => {
                let d_y = Matrix::new(d_y, weight.outputs());
                matmul_then(d_y, packed.for_rows(d_y.rows(), weight.matrix()), d_x, destination, others, finish);
            }
            Format::Bf16 { operands: [a, b], packed, .. } => {
                let (a, b) = (a.along(d_y, weight.outputs()), b.across(weight.values, weight.inputs));
                matmul_then(a, packed.for_rows(a.rows(), b), d_x, destination, others, finish);
            }
            Format::Int8 { .. } => unreachable!("a network of 8 bits does not train: this is a bug"),
        }
    }

    /// Adds the gradients of a weight and its bias, as [`add_weight_gradients`]; `x` is the input, `d_y` the gradient of the
    /// output.
    pub(crate) fn back_to_weights(&mut self, d_y: &[f32], x: &[f32], d_weight: &mut [f32], d_bias: &mut [f32]) {
        let (outputs, inputs) = (d_bias.len(), d_weight.len() / d_bias.len());
        match &mut self.format {
            Format::Bf16 { operands: [a, b], .. } => {
                add_weight_gradients(a.across(d_y, outputs), b.across(x, inputs), d_weight, d_bias);
            }
            Format::F32 { .. } | Format::Int8 { .. } => {
                add_weight_gradients(Matrix::new(d_y, outputs), Matrix::new(x, inputs), d_weight, d_bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::random::Stream;

    fn random(n: usize, site: u64) -> Vec<f32> {
        let stream = Stream::new(1, 2, site);
        (0..n).map(|i| stream.uniform(i as u32) as f32 - 0.5).collect()
    }

    /// One weight `[out, in]`, ready for products.
    fn products(precision: Precision, weight: Weight<'_>) -> Products {
        let mut products = Products::new(precision);
        if let Format::Bf16 { weights, .. } = &mut products.format {
            weights.push(Panels::default());
            weights[0].pack(Rounded::default().along(weight.values, weight.inputs).transposed());
        }
        products
    }

    /// `start + a b` in `f64`, of operands that are rounded by `number`, where `a[m, k]` and `b[k, n]` are found by functions.
    fn sums(
        [m, n, k]: [usize; 3],
        start: &[f32],
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        let sum = |i, j| (0..k).map(|l| a(i, l) * b(l, j)).sum::<f64>();
        (0..m * n).map(|at| f64::from(start[at]) + sum(at / n, at % n)).collect()
    }

    fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-5, "{what}: number {at} is off by {error}");
        }
    }

    /// A linear layer's three products, over odd shapes, against sums in `f64` of the same operands.
    fn check(precision: Precision, number: impl Fn(f32) -> f64) {
        for (case, (tokens, outputs, inputs)) in
            [(1, 1, 1), (1, 70, 33), (2, 3, 5), (512, 65, 17), (515, 193, 8), (1, 5, 1537), (1100, 9, 7), (33, 400, 1)]
                .into_iter()
                .enumerate()
        {
            let what = |product| format!("{product} of {tokens} tokens, {outputs}x{inputs}, {precision}");
            let case = 10 * case as u64;
            let (x, d_y) = (random(tokens * inputs, case), random(tokens * outputs, case + 1));
            let weight = Weight { values: &random(outputs * inputs, case + 2), inputs, index: 0 };
            let at_x = |i: usize, j: usize| number(x[i * inputs + j]);
            let at_d_y = |i: usize, j: usize| number(d_y[i * outputs + j]);
            let at_weight = |i: usize, j: usize| number(weight.values[i * inputs + j]);
            let mut products = products(precision, weight);

            let (mut y, mut numbered) = (vec![f32::NAN; tokens * outputs], vec![f32::NAN; tokens * outputs]);
            products.forward(&x, weight, &mut y, [&mut numbered], |row, column, y, [numbered]| {
                for (index, (to, y)) in numbered.iter_mut().zip(y).enumerate() {
                    *to = *y + (row * outputs + column + index) as f32;
                }
            });
            let expected = sums([tokens, outputs, inputs], &vec![0.0; y.len()], at_x, |l, j| at_weight(j, l));
            assert_close(&what("forward"), &y, &expected);
            assert!(numbered.iter().zip(&y).enumerate().all(|(at, (n, y))| n.to_bits() == (y + at as f32).to_bits()));

            let start = random(tokens * inputs, case + 3);
            for destination in [Destination::Overwrite, Destination::Accumulate] {
                let mut d_x = start.clone();
                products.back_to_inputs(&d_y, weight, &mut d_x, destination, [], |_, _, _, []| ());
                let before = if destination == Destination::Accumulate { &start } else { &vec![0.0; start.len()] };
                let expected = sums([tokens, inputs, outputs], before, at_d_y, at_weight);
                assert_close(&what("back to inputs"), &d_x, &expected);
            }

            let [start, bias] = [outputs * inputs, outputs].map(|count| random(count, case + 4));
            let (mut d_weight, mut d_bias) = (start.clone(), bias.clone());
            products.back_to_weights(&d_y, &x, &mut d_weight, &mut d_bias);
            let expected = sums([outputs, inputs, tokens], &start, |i, l| at_d_y(l, i), at_x);
            assert_close(&what("back to weights"), &d_weight, &expected);
            let expected = sums([outputs, 1, tokens], &bias, |i, l| at_d_y(l, i), |_, _| 1.0);
            assert_close(&what("back to biases"), &d_bias, &expected);
        }
    }

    #[test]
    fn are_those_of_the_operands() {
        check(Precision::F32, f64::from);
    }

    #[test]
    fn are_those_of_operands_that_crate_half_rounds() {
        check(Precision::Bf16, |v| bf16::from_f32(v).into());
    }

    /// The rows of a short product are, bit for bit, the first rows of a long one.
    #[test]
    fn rows_do_not_depend_on_each_other() {
        for (outputs, inputs) in [(384, 384), (384, 1536), (70, 33), (9, 384), (48, 2047), (1, 7)] {
            let (x, weight) = (random(700 * inputs, 1), random(outputs * inputs, 2));
            let weight = Weight { values: &weight, inputs, index: 0 };
            let mut products = products(Precision::Bf16, weight);
            let mut product = |rows: usize| {
                let mut y = vec![0.0; rows * outputs];
                products.forward(&x[..rows * inputs], weight, &mut y, [], |_, _, _, []| ());
                y
            };
            let all = product(700);
            for rows in [1, 2, 3, 8, 13, 64, 257, 513, 699] {
                assert!(product(rows) == all[..rows * outputs], "{rows} rows by {outputs}, inner {inputs}: other bits");
            }
        }
    }
}
