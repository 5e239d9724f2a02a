//! Where the time of a network's passes goes, by kernel.
//!
//! Off until [`start`], and then one clock for the whole process: it is for measuring one network at a time, as the example
//! `profile` does. A kernel's time is that of the thread that called it, until the last of its tasks is done.

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::kernels::{multiversion, simd::Simd};

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

/// Floating-point operations per second that so many threads reach together when they multiply and add numbers in registers:
/// what no matrix product can pass.
#[must_use]
pub fn peak(threads: usize) -> f64 {
    /// About a fifth of a second.
    const ROUNDS: usize = 1 << 25;
    let started = Instant::now();
    let operations: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| multiply_and_add(ROUNDS))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
    });
    operations / started.elapsed().as_secs_f64()
}

multiversion! {
    /// Returns the number of operations.
    fn multiply_and_add(rounds: usize) -> f64 {
        chains(SIMD, rounds)
    }
}

#[inline(always)]
fn chains<S: Simd>(simd: S, rounds: usize) -> f64 {
    /// More than enough to wait for none, and few enough for all registers.
    const CHAINS: usize = 12;
    let [factor, addend] = black_box([0.999, 0.001]).map(|value| simd.splat(value));
    let mut sums = [simd.splat(1.0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = simd.fma(*sum, factor, addend);
        }
    }
    black_box(sums.map(|sum| simd.fold(sum, |a, b| a + b)));
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
