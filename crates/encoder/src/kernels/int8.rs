//! Products with 8-bit weights, for prediction.
//!
//! A weight `w[n, k]` becomes a whole number `q` from -127 to 127 times a scale of its row `n`. An activation `x[m, k]` becomes
//! a whole number `p` from 0 to 255 times a scale of its row `m`, plus the row's smallest value, found as it comes (dynamic
//! quantisation; Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
//! Inference", 2017). With those, `sum_k x w = scale_m scale_n sum_k p q + smallest_m scale_n sum_k q`; whole numbers are summed
//! exactly, so a row does not depend on how many others there are, nor on the instruction set.

use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::amx::{self, Elements, Tiles};
use super::{ROW_CHUNK, matmul::Outputs, multiversion, share, simd};
use crate::{buffer::Buffer, profile};

/// Elements of the inner dimension that one instruction multiplies and adds up.
const GROUP: usize = 4;
/// Columns of a panel, but for the last one, and of a vector of 32-bit sums.
const PANEL: usize = 48;
const LANES: usize = 16;
const BLOCK_ROWS: usize = 8;
const TILE_ROWS: usize = 256;
const TILE_COLUMNS: usize = 4 * PANEL;

/// A weight matrix `[N, K]`.
pub(crate) struct Weights {
    /// Panels of 48 columns of the product (rows of the matrix): for every four elements of the inner dimension, four
    /// numbers of each.
    panels: Buffer<[i8; GROUP]>,
    /// `scale_n`
    scales: Vec<f32>,
    /// `scale_n sum_k q`
    offsets: Vec<f32>,
    inner: usize,
}

impl Weights {
    pub(crate) fn new(values: &[f32], inner: usize) -> Self {
        let rows = values.len() / inner;
        let (padded, groups) = (rows.next_multiple_of(LANES), inner.div_ceil(GROUP));
        let mut weights = Self {
            panels: Buffer::zeros(padded * groups),
            scales: vec![0.0; padded],
            offsets: vec![0.0; padded],
            inner,
        };
        for (n, row) in values.chunks_exact(inner).enumerate() {
            // What is not finite must not look as if it were: it makes all products so.
            let finite = row.iter().all(|v| v.is_finite());
            let largest = if finite { row.iter().fold(0.0_f32, |most, v| most.max(v.abs())) } else { f32::NAN };
            let scale = largest / 127.0;
            let left = n / PANEL * PANEL;
            let width = panel_width(left, padded);
            let mut sum = 0;
            for (k, v) in row.iter().enumerate() {
                let q = if scale > 0.0 { (v / scale).round() as i8 } else { 0 };
                sum += i32::from(q);
                weights.panels[left * groups + k / GROUP * width + n - left][k % GROUP] = q;
            }
            weights.scales[n] = scale;
            weights.offsets[n] = scale * sum as f32;
        }
        weights.scales.truncate(rows);
        weights.offsets.truncate(rows);
        weights
    }
}

/// The width of the panel that begins at column `left`.
fn panel_width(left: usize, padded: usize) -> usize {
    PANEL.min(padded - left)
}

/// Activations as whole numbers, for one product at a time.
#[derive(Default)]
pub(crate) struct Activations {
    /// `[M, K]` in groups, the last one of a row filled up with zeros.
    numbers: Buffer<[u8; GROUP]>,
    /// Scale and smallest value of each row.
    rows: Vec<(f32, f32)>,
}

impl Activations {
    fn set(&mut self, x: &[f32], inner: usize) {
        let stride = inner.div_ceil(GROUP);
        let rows = x.len() / inner;
        self.numbers.resize(rows * stride);
        self.rows.resize(rows, (0.0, 0.0));
        self.numbers
            .par_chunks_mut(ROW_CHUNK * stride)
            .zip(self.rows.par_chunks_mut(ROW_CHUNK))
            .zip(x.par_chunks(ROW_CHUNK * inner))
            .for_each(|((numbers, rows), x)| quantise(x, inner, numbers, rows));
    }
}

multiversion! {
    fn quantise(x: &[f32], inner: usize, numbers: &mut [[u8; GROUP]], rows: &mut [(f32, f32)]) {
        /// Adding 2^23 rounds to a whole number, which then sits in the low bits.
        const ROUND: f32 = 8_388_608.0;
        for ((x, numbers), row) in x.chunks_exact(inner).zip(numbers.chunks_exact_mut(inner.div_ceil(GROUP))).zip(rows) {
            let numbers = numbers.as_flattened_mut();
            let (smallest, largest) = (simd::smallest(SIMD, x), simd::largest(SIMD, x));
            let scale = (largest - smallest) / 255.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            for (to, v) in numbers.iter_mut().zip(x) {
                *to = ((v - smallest) * inverse + ROUND).to_bits() as u8;
            }
            numbers[inner..].fill(0);
            // Comparisons pass over a NaN, a sum does not.
            let finite = simd::sum(SIMD, x).is_finite();
            *row = (if finite { scale } else { f32::NAN }, smallest);
        }
    }
}

/// `y = x weightsᵀ`, `[M, N]`, and then `finish` as in [`super::matmul::matmul_then`].
pub(crate) fn matmul_then<const COUNT: usize>(
    x: &[f32],
    weights: &Weights,
    activations: &mut Activations,
    y: &mut [f32],
    others: [&mut [f32]; COUNT],
    finish: impl Fn(usize, usize, &mut [f32], [&mut [f32]; COUNT]) + Sync,
) {
    let (n, k) = (weights.scales.len(), weights.inner);
    let outputs = Outputs::new(y, n, others);
    let m = outputs.rows();
    assert_eq!(x.len(), m * k, "inner dimensions agree: this is a bug");
    let _timer = profile::matmul_timer("matmul, int8", 2.0 * (m * n * k) as f64, m * n + m * k + n * k / 4);
    activations.set(x, k);
    let (row_tiles, column_tiles) = (m.div_ceil(TILE_ROWS), n.div_ceil(TILE_COLUMNS));
    (0..row_tiles * column_tiles).into_par_iter().for_each(|tile| {
        let mut unit = Unit::get();
        let rows = share(tile / column_tiles, row_tiles, m, unit.rows());
        let columns = share(tile % column_tiles, column_tiles, n, PANEL);
        for top in rows.clone().step_by(unit.rows()) {
            let rows = top..rows.end.min(top + unit.rows());
            let to = (outputs.at(top, columns.start), n);
            // SAFETY: these columns of the rows lie in the tile, and tiles are disjoint.
            unsafe { unit.product(activations, weights, rows.clone(), columns.clone(), to) };
            for row in rows {
                // SAFETY: as above.
                let (y, others) = unsafe { outputs.part(row, &columns) };
                finish(row, columns.start, y, others);
            }
        }
    });
}

/// What becomes of the sums of a block. For a kernel it has as many rows, and columns that lie in the panel's last vector at
/// least: what the panel has more fills it up.
struct Place<'a> {
    /// Scale and smallest value of each row.
    rows: &'a [(f32, f32)],
    /// Scale and offset of each column.
    scales: &'a [f32],
    offsets: &'a [f32],
    /// Where the first row begins, and how far apart rows do.
    to: *mut f32,
    stride: usize,
}

impl Place<'_> {
    /// Puts a row's sums there.
    ///
    /// # Safety
    /// The row is there for nobody else.
    unsafe fn put(&self, row: usize, sums: &[i32]) {
        // SAFETY: the caller's.
        let to = unsafe { std::slice::from_raw_parts_mut(self.to.add(row * self.stride), self.scales.len()) };
        to_numbers(sums, self.rows[row], self.scales, self.offsets, to);
    }
}

multiversion! {
    fn to_numbers(sums: &[i32], row: (f32, f32), scales: &[f32], offsets: &[f32], to: &mut [f32]) {
        let (scale, smallest) = row;
        for (((to, sum), column_scale), offset) in to.iter_mut().zip(sums).zip(scales).zip(offsets) {
            *to = *sum as f32 * (scale * column_scale) + smallest * offset;
        }
    }
}

/// `(groups, activations, their row stride, panel, place)`
type Kernel = unsafe fn(usize, *const [u8; GROUP], usize, *const [i8; GROUP], &Place<'_>);

/// By number of rows less one and of vectors less one.
type Kernels = [[Kernel; 3]; BLOCK_ROWS];

/// What multiplies, for one thread.
enum Unit {
    Vectors(&'static Kernels),
    /// With room for the sums of a block, which tiles cannot scale.
    #[cfg(target_arch = "x86_64")]
    Tiles(Tiles, Buffer<i32>),
}

impl Unit {
    /// The best of this processor.
    fn get() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(tiles) = Tiles::get(Elements::Bytes) {
                return Self::Tiles(tiles, Buffer::zeros(amx::ROWS * PANEL));
            }
            if has_vnni() {
                return Self::Vectors(&VNNI);
            }
        }
        Self::Vectors(&PORTABLE)
    }

    /// The most rows of a block.
    fn rows(&self) -> usize {
        match self {
            Self::Vectors(_) => BLOCK_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(..) => amx::ROWS,
        }
    }

    /// The products of a block of rows and so many columns, the first of which begins a panel, to rows that begin
    /// `stride` apart.
    ///
    /// # Safety
    /// `to` has places for as many, and nobody else uses them.
    unsafe fn product(
        &mut self,
        activations: &Activations,
        weights: &Weights,
        rows: Range<usize>,
        columns: Range<usize>,
        (to, stride): (*mut f32, usize),
    ) {
        let groups = weights.inner.div_ceil(GROUP);
        let numbers = &activations.numbers[rows.start * groups..rows.end * groups];
        for left in columns.clone().step_by(PANEL) {
            let width = panel_width(left, weights.scales.len().next_multiple_of(LANES));
            let panel = &weights.panels[left * groups..(left + width) * groups];
            let present = left..columns.end.min(left + width);
            let place = Place {
                rows: &activations.rows[rows.clone()],
                scales: &weights.scales[present.clone()],
                offsets: &weights.offsets[present],
                // SAFETY: the caller's.
                to: unsafe { to.add(left - columns.start) },
                stride,
            };
            let vectors = width / LANES;
            match self {
                Self::Vectors(kernels) => {
                    let kernel = kernels[rows.len() - 1][vectors - 1];
                    // SAFETY: both operands were just cut to what the kernel reads, it is for instructions that `get` found, and
                    // the place is the caller's.
                    unsafe { kernel(groups, numbers.as_ptr(), groups, panel.as_ptr(), &place) };
                }
                #[cfg(target_arch = "x86_64")]
                Self::Tiles(tiles, sums) => {
                    let size = (rows.len(), groups, vectors);
                    let numbers = (numbers.as_ptr().cast(), groups);
                    let to = (sums.as_mut_ptr().cast(), width);
                    // SAFETY: as above; there is room for the sums of the largest block.
                    unsafe { tiles.block(size, numbers, panel.as_ptr().cast(), to, false) };
                    for (row, sums) in sums.chunks_exact(width).take(rows.len()).enumerate() {
                        // SAFETY: the place is the caller's.
                        unsafe { place.put(row, sums) };
                    }
                }
            }
        }
    }
}

macro_rules! kernels {
    ($kernel:ident) => {
        [
            [$kernel::<1, 1>, $kernel::<1, 2>, $kernel::<1, 3>],
            [$kernel::<2, 1>, $kernel::<2, 2>, $kernel::<2, 3>],
            [$kernel::<3, 1>, $kernel::<3, 2>, $kernel::<3, 3>],
            [$kernel::<4, 1>, $kernel::<4, 2>, $kernel::<4, 3>],
            [$kernel::<5, 1>, $kernel::<5, 2>, $kernel::<5, 3>],
            [$kernel::<6, 1>, $kernel::<6, 2>, $kernel::<6, 3>],
            [$kernel::<7, 1>, $kernel::<7, 2>, $kernel::<7, 3>],
            [$kernel::<8, 1>, $kernel::<8, 2>, $kernel::<8, 3>],
        ]
    };
}

/// Whether the processor has AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    super::has_avx512() && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
static VNNI: Kernels = kernels!(vnni);
static PORTABLE: Kernels = kernels!(portable);

/// # Safety
/// The processor has AVX-512 VNNI; there are `ROWS` rows of so many groups, a panel of `VECTORS` vectors as high, and their
/// [`Place`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn vnni<const ROWS: usize, const VECTORS: usize>(
    groups: usize,
    numbers: *const [u8; GROUP],
    stride: usize,
    panel: *const [i8; GROUP],
    place: &Place<'_>,
) {
    #[allow(clippy::wildcard_imports)]
    use std::arch::x86_64::*;

    let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
    for group in 0..groups {
        let mut q = [_mm512_setzero_si512(); VECTORS];
        for (vector, q) in q.iter_mut().enumerate() {
            // SAFETY: the caller's: the panel has this vector.
            *q = unsafe { _mm512_loadu_si512(panel.add((group * VECTORS + vector) * LANES).cast()) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's: the row has this group.
            let p = unsafe { numbers.add(row * stride + group).cast::<i32>().read_unaligned() };
            let p = _mm512_set1_epi32(p);
            for (sum, q) in sums.iter_mut().zip(q) {
                *sum = _mm512_dpbusd_epi32(*sum, p, q);
            }
        }
    }
    let mut present = [0; VECTORS];
    let [mut scales, mut offsets] = [[_mm512_setzero_ps(); VECTORS]; 2];
    for vector in 0..VECTORS {
        let columns = place.scales.len().saturating_sub(vector * LANES).min(LANES);
        present[vector] = ((1_u32 << columns) - 1) as __mmask16;
        // SAFETY: both have so many numbers from here on; what is masked is not read.
        unsafe {
            let at = vector * LANES;
            scales[vector] = _mm512_maskz_loadu_ps(present[vector], place.scales.as_ptr().wrapping_add(at));
            offsets[vector] = _mm512_maskz_loadu_ps(present[vector], place.offsets.as_ptr().wrapping_add(at));
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let (scale, smallest) = place.rows[row];
        let (scale, smallest) = (_mm512_set1_ps(scale), _mm512_set1_ps(smallest));
        for (vector, sum) in sums.iter().enumerate() {
            // Not fused, so that every instruction set gives the same bits.
            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), _mm512_mul_ps(scale, scales[vector]));
            let y = _mm512_add_ps(product, _mm512_mul_ps(smallest, offsets[vector]));
            let to = place.to.wrapping_add(row * place.stride + vector * LANES);
            // SAFETY: the caller's; what is masked is not written.
            unsafe { _mm512_mask_storeu_ps(to, present[vector], y) };
        }
    }
}

/// # Safety
/// As above, on any processor.
unsafe fn portable<const ROWS: usize, const VECTORS: usize>(
    groups: usize,
    numbers: *const [u8; GROUP],
    stride: usize,
    panel: *const [i8; GROUP],
    place: &Place<'_>,
) {
    let width = VECTORS * LANES;
    // SAFETY: the caller's.
    let (numbers, panel) = unsafe {
        (
            std::slice::from_raw_parts(numbers, (ROWS - 1) * stride + groups),
            std::slice::from_raw_parts(panel, groups * width),
        )
    };
    for row in 0..ROWS {
        let mut sums = [0; PANEL];
        for (p, panel) in numbers[row * stride..].iter().zip(panel.chunks_exact(width)) {
            for (sum, q) in sums.iter_mut().zip(panel) {
                *sum += p.iter().zip(q).map(|(p, q)| i32::from(*p) * i32::from(*q)).sum::<i32>();
            }
        }
        // SAFETY: the caller's.
        unsafe { place.put(row, &sums) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn random(n: usize, site: u64) -> Vec<f32> {
        let stream = Stream::new(1, 2, site);
        (0..n).map(|i| stream.uniform(i as u32) as f32 - 0.3).collect()
    }

    fn product(x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
        let mut y = vec![0.0; x.len() / k * (w.len() / k)];
        matmul_then(x, &Weights::new(w, k), &mut Activations::default(), &mut y, [], |_, _, _, []| ());
        y
    }

    /// An element is off by at most half a step of each factor, times the other, summed.
    #[test]
    fn is_as_close_to_the_product_as_its_steps_are_small() {
        for (case, (m, n, k)) in
            [(1, 1, 1), (9, 5, 7), (3, 48, 64), (300, 65, 33), (17, 193, 130), (8, 1536, 384)].into_iter().enumerate()
        {
            let (x, w) = (random(m * k, case as u64), random(n * k, 100 + case as u64));
            let y = product(&x, &w, k);
            let range = |row: &[f32]| {
                let (low, high) = row.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
                f64::from(high) - f64::from(low)
            };
            for (i, x) in x.chunks_exact(k).enumerate() {
                for (j, w) in w.chunks_exact(k).enumerate() {
                    let exact: f64 = x.iter().zip(w).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let [x_step, w_step] =
                        [range(x) / 255.0, 2.0 * w.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs()))) / 254.0];
                    let bound: f64 = x
                        .iter()
                        .zip(w)
                        .map(|(a, b)| {
                            let (a, b) = (f64::from(a.abs()), f64::from(b.abs()));
                            0.5 * (x_step * b + w_step * a) + 0.25 * x_step * w_step
                        })
                        .sum();
                    let error = (f64::from(y[i * n + j]) - exact).abs();
                    assert!(error <= bound + 1e-4, "{m}x{n}x{k} at {i},{j}: off by {error}, at most {bound}");
                }
            }
        }
    }

    /// And nothing is written beside the products.
    #[test]
    fn kernels_agree_and_rows_do_not_depend_on_each_other() {
        /// Rows behind the last one, which no kernel is to touch.
        const BEHIND: usize = 32;
        type Named = (&'static str, fn() -> Unit);
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "no other processor has others"))]
        let mut units: Vec<Named> = vec![("portable", || Unit::Vectors(&PORTABLE)), ("the best", Unit::get)];
        #[cfg(target_arch = "x86_64")]
        {
            units.push(("emulated tiles", || {
                Unit::Tiles(amx::emulated::tiles(Elements::Bytes), Buffer::zeros(amx::ROWS * PANEL))
            }));
            if has_vnni() {
                units.push(("VNNI", || Unit::Vectors(&VNNI)));
            } else {
                println!("no AVX-512 VNNI here: its kernels were not tested");
            }
            if !amx::present(Elements::Bytes) {
                println!("no AMX here: its instructions were not tested");
            }
        }
        let k = 90;
        let (x, w) = (random(40 * k, 1), random(110 * k, 2));
        let mut activations = Activations::default();
        activations.set(&x, k);
        for n in [1, 15, 16, 17, 47, 48, 49, 110] {
            let weights = Weights::new(&w[..n * k], k);
            let stride = n + 3;
            for rows in [1, 5, 7, 8, 16, 23, 32, 37] {
                let results = units.iter().map(|(name, unit)| {
                    let mut unit = unit();
                    let mut y = vec![f32::NAN; (rows + BEHIND) * stride];
                    for top in (0..rows).step_by(unit.rows()) {
                        let some = 3 + top..3 + rows.min(top + unit.rows());
                        let to = (y[top * stride..].as_mut_ptr(), stride);
                        // SAFETY: there are so many rows of `n` places.
                        unsafe { unit.product(&activations, &weights, some, 0..n, to) };
                    }
                    (name, y)
                });
                let results: Vec<_> = results.collect();
                let [(_, portable), others @ ..] = &results[..] else { unreachable!() };
                for (row, y) in portable.chunks(stride).enumerate() {
                    let n = if row < rows { n } else { 0 };
                    assert!(y[..n].iter().all(|v| v.is_finite()) && y[n..].iter().all(|v| v.is_nan()));
                    for (name, other) in others {
                        let other = &other[row * stride..][..stride];
                        assert_eq!(other[..n], y[..n], "{name}");
                        assert!(other[n..].iter().all(|v| v.is_nan()), "{name}: written beside the products");
                    }
                }
            }
        }
        let n = 110;
        let all = product(&x, &w, k);
        for m in [1, 7, 8, 9, 39] {
            assert_eq!(product(&x[..m * k], &w, k), all[..m * n]);
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::NAN, f32::INFINITY] {
            let (mut x, w) = (random(2 * 40, 1), random(3 * 40, 2));
            x[45] = bad;
            let y = product(&x, &w, 40);
            assert!(y[..3].iter().all(|v| v.is_finite()) && y[3..].iter().all(|v| !v.is_finite()), "{y:?}");
            let (x, mut w) = (random(2 * 40, 1), random(3 * 40, 2));
            w[85] = bad;
            let y = product(&x, &w, 40);
            assert!(y.iter().enumerate().all(|(i, v)| v.is_finite() == (i % 3 != 2)), "{y:?}");
        }
        // Rows of one value, and of zeros.
        assert_eq!(product(&[2.0; 8], &[0.0; 8], 8), [0.0]);
        assert!((product(&[2.0; 8], &[0.5; 8], 8)[0] - 8.0).abs() < 1e-5);
    }
}
