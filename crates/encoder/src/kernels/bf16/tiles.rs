//! Products of pairs in AMX.

#[cfg(test)]
use crate::kernels::has_avx512;
use crate::kernels::{
    amx::{self, Elements, Tiles},
    bf16::Pair,
    gemm::{self, Destination, Gemm, Product, Rows},
    multiversion, simd,
};

/// What packs panels.
const VECTORS: Gemm<Pair> = gemm::avx512::gemm();
const TILE: usize = VECTORS.lanes;

pub(in crate::kernels) const GEMM: Gemm<Pair> = Gemm {
    name: "AMX",
    rows: amx::ROWS,
    present: || amx::present(Elements::Pairs),
    product: |gemm, product| {
        let tiles = Tiles::get(Elements::Pairs).expect("they are present: this is a bug");
        // SAFETY: the caller's.
        unsafe { product_with(tiles, gemm, product) };
    },
    pack_rows,
    add_row_sums,
    ..VECTORS
};

/// The same with a unit in plain Rust.
#[cfg(test)]
pub(in crate::kernels) const EMULATED: Gemm<Pair> = Gemm {
    name: "AMX, emulated",
    present: has_avx512,
    product: |gemm, product| {
        let tiles = amx::emulated::tiles(Elements::Pairs);
        // SAFETY: the caller's.
        unsafe { product_with(tiles, gemm, product) };
    },
    ..GEMM
};

/// # Safety
/// As of [`Gemm::product`]; AVX-512 is present.
unsafe fn product_with(mut tiles: Tiles, gemm: &Gemm<Pair>, product: &Product<'_, Pair>) {
    let Product { rows, inner, a, lie, to, to_stride, .. } = *product;
    let stride = match lie {
        Rows::Apart(stride) => stride,
        Rows::Packed => inner,
        Rows::Together(_) => unreachable!("nobody multiplies pairs that lie so: this is a bug"),
    };
    // What does not fill a tile comes last, for which tiles are shaped once.
    let whole = rows / TILE * TILE;
    for (top, rows) in [(0, whole), (whole, rows - whole)].into_iter().filter(|(_, rows)| *rows > 0) {
        // SAFETY: the caller's.
        unsafe {
            let (a, to) = (a.add(top * stride), to.add(top * to_stride));
            Product { rows, a, to, lie: Rows::Apart(stride), ..*product }.in_blocks(gemm, |block| {
                tiles.block(
                    (block.rows, block.inner, block.vectors),
                    (block.a.cast(), block.stride),
                    block.panel.cast(),
                    (block.to.cast(), block.to_stride),
                    block.destination == Destination::Accumulate,
                );
            });
        }
    }
}

/// Rows one after the other.
///
/// # Safety
/// As of [`Gemm::pack_rows`]; AVX-512 is present.
unsafe fn pack_rows(from: *const Pair, stride: usize, inner: usize, rows: usize, to: *mut Pair) {
    // SAFETY: the caller's.
    unsafe { VECTORS.pack_apart(from, stride, inner, inner, std::slice::from_raw_parts_mut(to, rows * inner)) };
}

fn add_row_sums(packed: &[Pair], inner: usize, sums: &mut [f32]) {
    for (sum, row) in sums.iter_mut().zip(packed.chunks_exact(inner)) {
        *sum += sum_of(row);
    }
}

multiversion! {
    fn sum_of(pairs: &[Pair]) -> f32 {
        let mut sums = [0.0; 16];
        for pairs in pairs.chunks(16) {
            for (sum, pair) in sums.iter_mut().zip(pairs) {
                let [first, second] = pair.numbers();
                *sum += first + second;
            }
        }
        simd::sum(SIMD, &sums)
    }
}
