//! The operations, each forward and backward, on plain slices.
//!
//! Row-wise kernels are fused so that a row passes through the cache once. They are ordinary loops that the compiler
//! vectorises; [`multiversion!`] compiles each for several instruction sets and picks one at run time.
//!
//! Work is cut into pieces whose bounds depend on the shapes alone, never on the number of threads, and partial sums
//! are added up in order: the same input gives the same bits however many threads there are.

pub(crate) mod activation;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
pub(crate) mod attention;
pub(crate) mod bf16;
pub(crate) mod crf;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod gemm;
pub(crate) mod int8;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod scratch;
pub(crate) mod simd;

use std::ops::Range;

/// Rows that one task of a row-wise kernel handles.
pub(crate) const ROW_CHUNK: usize = 32;

/// Defines a function whose body is compiled for AVX-512, for AVX2 with FMA, and for the target's baseline.
///
/// Inside the body `SIMD` is the instruction set, see [`simd::Simd`].
macro_rules! multiversion {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            #[allow(clippy::too_many_arguments, clippy::items_after_statements, dead_code)]
            fn avx512($($arg: $type),*) $(-> $result)? {
                // SAFETY: this runs only where the features were found.
                const SIMD: $crate::kernels::simd::Avx512 = unsafe { $crate::kernels::simd::Avx512::new() };
                $body
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments, clippy::items_after_statements, dead_code)]
            fn avx2($($arg: $type),*) $(-> $result)? {
                // SAFETY: as above.
                const SIMD: $crate::kernels::simd::Avx2 = unsafe { $crate::kernels::simd::Avx2::new() };
                $body
            }
            #[allow(clippy::too_many_arguments, clippy::items_after_statements, dead_code)]
            fn baseline($($arg: $type),*) $(-> $result)? {
                const SIMD: $crate::kernels::simd::Portable = $crate::kernels::simd::Portable;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            {
                if $crate::kernels::has_avx512() {
                    // SAFETY: the features that the function was compiled for were just found on this processor.
                    return unsafe { avx512($($arg),*) };
                }
                if $crate::kernels::has_avx2() {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            baseline($($arg),*)
        }
    };
}
pub(crate) use multiversion;

/// Whether the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether it has AVX-512 F, VL, BW and DQ as well.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Whether it has AVX-512 BF16 besides.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512_bf16() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512bf16")
}

/// Part number `index` of `tiles` even shares of `size`, in whole units: no tile is a sliver.
pub(crate) fn share(index: usize, tiles: usize, size: usize, unit: usize) -> Range<usize> {
    let bound = |index: usize| (index * size.div_ceil(unit) / tiles * unit).min(size);
    bound(index)..bound(index + 1)
}

multiversion! {
    /// Adds to `sums` the sums of the columns of `rows`, which are as wide, row after row.
    pub(crate) fn add_columns(rows: &[f32], sums: &mut [f32]) {
        add_columns_of(rows, sums, |v| *v);
    }
}

/// [`add_columns`], of what `number` makes of each element.
#[inline(always)]
pub(crate) fn add_columns_of<T>(rows: &[T], sums: &mut [f32], number: impl Fn(&T) -> f32) {
    if let Ok(sums) = <&mut [f32; 8]>::try_from(&mut *sums) {
        // The usual width, in a register.
        for row in rows.as_chunks::<8>().0 {
            for (sum, v) in sums.iter_mut().zip(row) {
                *sum += number(v);
            }
        }
        return;
    }
    for row in rows.chunks_exact(sums.len()) {
        for (sum, v) in sums.iter_mut().zip(row) {
            *sum += number(v);
        }
    }
}
