use super::*;
use crate::{
    kernels::bf16::{Pair, Rounded},
    random::Stream,
};

fn random(n: usize, site: u64) -> Vec<f32> {
    let stream = Stream::new(1, 2, site);
    (0..n).map(|i| stream.uniform(i as u32) as f32 - 0.5).collect()
}

/// How operands come to elements.
trait Operand: Element {
    /// Kernels for tests alone.
    const OTHERS: &'static [&'static Gemm<Self>] = &[];

    /// A matrix as it is, from one whose inner dimension runs along its rows.
    fn along(values: &[f32], columns: usize) -> Vec<Self>;
    /// The same with the inner dimension across.
    fn across(values: &[f32], columns: usize) -> Vec<Self>;
    /// What becomes of a number.
    fn number(value: f32) -> f64;
}

impl Operand for f32 {
    fn along(values: &[f32], _: usize) -> Vec<f32> {
        values.to_vec()
    }
    fn across(values: &[f32], _: usize) -> Vec<f32> {
        values.to_vec()
    }
    fn number(value: f32) -> f64 {
        value.into()
    }
}

impl Operand for Pair {
    #[cfg(target_arch = "x86_64")]
    const OTHERS: &'static [&'static Gemm<Pair>] = &[&crate::kernels::bf16::tiles::EMULATED];

    fn along(values: &[f32], columns: usize) -> Vec<Pair> {
        Rounded::default().along(values, columns).values().to_vec()
    }
    fn across(values: &[f32], columns: usize) -> Vec<Pair> {
        Rounded::default().across(values, columns).values().to_vec()
    }
    fn number(value: f32) -> f64 {
        half::bf16::from_f32(value).into()
    }
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect()
}

/// Rows behind the last one, which no kernel is to touch.
const BEHIND: usize = 32;

/// Every way that the operands may lie, over odd shapes, against sums in f64 of the same operands; nothing beside the
/// result is written to.
fn compute_the_product<T: Operand>() {
    for gemm in T::KERNELS.iter().chain(T::OTHERS).filter(|gemm| (gemm.present)()) {
        for (case, (m, n, k)) in [
            (1, 1, 1),
            (1, 50, 3),
            (9, 17, 33),
            (8, 48, 64),
            (23, 100, 16),
            (3, 7, 40),
            (512, 33, 1),
            (512, 20, 5),
            (5, 35, 511),
            (70, 100, 75),
            (33, 97, 128),
        ]
        .into_iter()
        .enumerate()
        {
            let (a, b) = (random(m * k, case as u64), random(k * n, 50 + case as u64));
            let [a_number, b_number] = [&a, &b].map(|values| values.iter().map(|v| T::number(*v)).collect::<Vec<_>>());
            // `a` as `[m, inner]` and `[inner, m]`, `b` as `[inner, n]` and `[n, inner]`.
            let inner = k.div_ceil(T::NUMBERS);
            let (a_t, a) = (T::across(&transposed(&a, k), m), T::along(&a, k));
            let (b, b_t) = (T::across(&b, n), T::along(&transposed(&b, n), k));
            let mut packed = vec![T::default(); m * inner];
            // SAFETY: `a_t` is `[inner, m]`.
            unsafe { gemm.pack_rows(a_t.as_ptr(), m, inner, m, &mut packed) };
            // What nobody is to read is not a number.
            let none = T::along(&vec![f32::NAN; T::NUMBERS], T::NUMBERS)[0];
            let apart = inner + 3;
            let mut a_apart = vec![none; (m + BEHIND) * apart];
            for (to, row) in a_apart.chunks_exact_mut(apart).zip(a.chunks_exact(inner)) {
                to[..inner].copy_from_slice(row);
            }
            let mut lies = vec![(a_apart.as_ptr(), Rows::Apart(apart)), (packed.as_ptr(), Rows::Packed)];
            if T::NUMBERS == 1 {
                lies.push((a_t.as_ptr(), Rows::Together(m)));
            }
            for from in [(b.as_ptr(), Columns::Together(n)), (b_t.as_ptr(), Columns::Apart(inner))] {
                // Of what is not written to, sums are not numbers.
                let mut panels = T::along(&vec![f32::NAN; gemm.padded(n) * inner * T::NUMBERS], T::NUMBERS);
                // SAFETY: `b` is `[inner, n]`, `b_t` its transpose.
                unsafe { gemm.pack_columns(from, inner, n, &mut panels) };
                for a_lies in lies.iter().copied() {
                    for destination in [Destination::Overwrite, Destination::Accumulate] {
                        let stride = n + 3;
                        let start = random((m + BEHIND) * stride, 200);
                        let mut to = start.clone();
                        let place = (to.as_mut_ptr(), stride);
                        // SAFETY: all are as large as they are said to be.
                        unsafe { gemm.product(m, inner, a_lies, &panels, n, place, destination) };
                        for (i, (row, start)) in to.chunks(stride).zip(start.chunks(stride)).enumerate() {
                            let n = if i < m { n } else { 0 };
                            assert_eq!(row[n..], start[n..], "{}: written beside the result", gemm.name);
                            for j in 0..n {
                                let sum: f64 = (0..k).map(|l| a_number[i * k + l] * b_number[l * n + j]).sum();
                                let before = if destination == Destination::Accumulate { start[j] } else { 0.0 };
                                let error = f64::from(row[j]) - sum - f64::from(before);
                                assert!(error.abs() < 1e-5, "{}: {m}x{n}x{k} at {i},{j}: off by {error}", gemm.name);
                            }
                        }
                    }
                }
            }
            let mut sums = vec![1.0; m];
            gemm.add_row_sums(&packed, inner, &mut sums);
            for (sum, row) in sums.iter().zip(a_number.chunks(k)) {
                let error = f64::from(*sum) - 1.0 - row.iter().sum::<f64>();
                assert!(error.abs() < 1e-5, "{}: sum of a row is off by {error}", gemm.name);
            }
        }
    }
}

#[test]
fn every_instruction_set_computes_the_product() {
    compute_the_product::<f32>();
}

#[test]
fn every_instruction_set_computes_the_product_of_pairs() {
    compute_the_product::<Pair>();
    for kernels in Pair::KERNELS.iter().filter(|kernels| !(kernels.present)()) {
        println!("no {} here: its kernels were not tested", kernels.name);
    }
}
