//! Where the time of a network's passes goes, by kernel, and what the processor can do.
//!
//! The former is off until [`start`], and then one clock for the whole process: it is for measuring one network at a time, as the example
//! `profile` does. A kernel's time is that of the thread that called it, until the last of its tasks is done.

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

#[cfg(target_arch = "x86_64")]
use crate::kernels::{amx, has_avx512_bf16, simd::Avx512Bf16};
use crate::{
    Precision,
    kernels::{multiversion, simd::Simd},
};

/// What one kernel did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KernelTime {
    /// How often it ran.
    pub calls: u64,
    /// How long in all.
    pub time: Duration,
    /// Floating-point operations that matrix products do; 0 for other kernels.
    pub operations: f64,
    /// Bytes of the operands, each counted once: the least that must be moved if none is in a cache.
    pub bytes: f64,
}

static ON: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<BTreeMap<&'static str, KernelTime>> = Mutex::new(BTreeMap::new());

/// Begins to measure, from zero.
pub fn start() {
    TIMES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ON.store(true, Ordering::Relaxed);
}

/// Ends it; what every kernel did since [`start`].
pub fn stop() -> BTreeMap<&'static str, KernelTime> {
    ON.store(false, Ordering::Relaxed);
    std::mem::take(&mut TIMES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Floating-point operations per second that so many threads reach together when they multiply and add in registers, with the
/// instruction for bf16 where the precision is that and the processor has one, else with that for `f32`: what no product in
/// these formats can pass. Takes some seconds.
#[must_use]
pub fn peak(precision: Precision, threads: usize) -> f64 {
    let run = || {
        let bf16 = if precision == Precision::Bf16 { multiply_and_add_bf16(1 << 24) } else { None };
        bf16.unwrap_or_else(|| multiply_and_add(1 << 24))
    };
    fastest(5, || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
        })
    })
}

/// Whether the processor has an instruction for bf16 that does clearly more in the same time than that for `f32`, as measured
/// when this is first called: that for pairs may do twice as much, or less, and that for tiles up to sixteen times.
pub(crate) fn bf16_is_faster() -> bool {
    /// Some milliseconds at most.
    const ROUNDS: usize = 1 << 13;
    /// What rounding costs besides, and more, so that chance does not decide.
    const CLEARLY: f64 = 1.2;
    static IS_FASTER: OnceLock<bool> = OnceLock::new();
    *IS_FASTER.get_or_init(|| {
        // Without such an instruction no operations, at no speed.
        let bf16 = fastest(20, || multiply_and_add_bf16(ROUNDS).unwrap_or(0.0));
        bf16 > CLEARLY * fastest(20, || multiply_and_add(ROUNDS))
    })
}

/// The most operations per second in so many runs of something that returns their number: whatever disturbs makes it slower.
fn fastest(runs: usize, run: impl Fn() -> f64) -> f64 {
    let once = |_| {
        let started = Instant::now();
        run() / started.elapsed().as_secs_f64()
    };
    (0..runs).map(once).fold(0.0, f64::max)
}

/// Keeps the best instruction for bf16 busy, if there is one; returns the number of operations.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "no other processor's is used"))]
fn multiply_and_add_bf16(rounds: usize) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        let pairs = || {
            // SAFETY: the features are found just before.
            has_avx512_bf16().then(|| unsafe { multiply_and_add_pairs(rounds) })
        };
        amx::multiply_pairs(rounds).or_else(pairs)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

multiversion! {
    /// That for `f32`.
    fn multiply_and_add(rounds: usize) -> f64 {
        chains::<_, 12>(SIMD, rounds, |sum, factor, addend| SIMD.fma(sum, factor, addend))
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn multiply_and_add_pairs(rounds: usize) -> f64 {
    // SAFETY: this runs only where the features were found.
    const SIMD: Avx512Bf16 = unsafe { Avx512Bf16::new() };
    2.0 * chains::<_, 24>(SIMD, rounds, |sum, factor, other| SIMD.fma_pairs(factor, other, sum))
}

/// So many sums beside each other, enough to wait for none and few enough for all registers. Returns the number of operations
/// if `step` does one multiplication and one addition per lane.
#[inline(always)]
fn chains<S: Simd, const CHAINS: usize>(
    simd: S,
    rounds: usize,
    step: impl Fn(S::Vector, S::Vector, S::Vector) -> S::Vector,
) -> f64 {
    let [factor, addend] = black_box([0.999, 0.001]).map(|value| simd.splat(value));
    let mut sums = [simd.splat(1.0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = step(*sum, factor, addend);
        }
    }
    black_box(sums.map(|sum| simd.fold(sum, |a, b| simd.add(a, b))));
    (2 * CHAINS * S::LANES * rounds) as f64
}

/// Measures from its making until it is dropped.
pub(crate) struct Timer {
    name: &'static str,
    operations: f64,
    bytes: f64,
    started: Option<Instant>,
}

/// A timer for a kernel that reads and writes so many `f32`.
pub(crate) fn timer(name: &'static str, numbers: usize) -> Timer {
    matmul_timer(name, 0.0, numbers)
}

/// A timer for a matrix product.
pub(crate) fn matmul_timer(name: &'static str, operations: f64, numbers: usize) -> Timer {
    let started = ON.load(Ordering::Relaxed).then(Instant::now);
    Timer { name, operations, bytes: (numbers * size_of::<f32>()) as f64, started }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(started) = self.started else { return };
        let time = started.elapsed();
        let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = times.entry(self.name).or_default();
        sum.calls += 1;
        sum.time += time;
        sum.operations += self.operations;
        sum.bytes += self.bytes;
    }
}
