//! Counter-based random numbers: every number is a pure function of a key and a counter.
//!
//! Dropout masks are never stored: the backward pass computes them again, a checkpoint needs only the step, and the
//! order in which threads ask does not matter.

/// A stream of random 32-bit numbers, each found by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    low: u32,
    high: u32,
}

/// Steele, Lea and Flood's SplitMix64 finaliser ("Fast splittable pseudorandom number generators", 2014).
fn split_mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A 32-bit bijection with low bias (Wellons' `lowbias32` constants).
#[inline(always)]
fn mix(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
    h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
    h ^ (h >> 16)
}

impl Stream {
    /// The stream for one use (`site`) in one forward pass (`pass`) of a run (`seed`).
    pub(crate) fn new(seed: u64, pass: u64, site: u64) -> Self {
        let key = split_mix(split_mix(split_mix(seed) ^ pass) ^ site);
        Self { low: key as u32, high: (key >> 32) as u32 }
    }

    /// Number `index`, uniform over all 32-bit values.
    #[inline(always)]
    pub(crate) fn bits(self, index: u32) -> u32 {
        mix(mix(index.wrapping_add(self.low)) ^ self.high)
    }

    /// Number `index`, uniform in the open interval (0, 1).
    pub(crate) fn uniform(self, index: u32) -> f64 {
        (f64::from(self.bits(index)) + 0.5) / 4_294_967_296.0
    }
}

/// Inverted dropout: an element is zeroed with probability `p`, else divided by `1 - p`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    stream: Stream,
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// `None` when nothing would be dropped.
    pub(crate) fn new(stream: Stream, p: f32) -> Option<Self> {
        (p > 0.0).then(|| Self { stream, threshold: (f64::from(p) * 4_294_967_296.0) as u32, scale: 1.0 / (1.0 - p) })
    }

    /// What element `index` is multiplied with: 0 or `1 / (1 - p)`.
    #[inline(always)]
    pub(crate) fn factor(self, index: usize) -> f32 {
        if self.stream.bits(index as u32) < self.threshold { 0.0 } else { self.scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_given_share_and_keeps_the_mean() {
        let n = 1_000_000;
        for (site, p) in [(1, 0.1_f32), (2, 0.5), (3, 0.9)] {
            let dropout = Dropout::new(Stream::new(7, 3, site), p).unwrap();
            let kept = (0..n).filter(|&i| dropout.factor(i) > 0.0).count() as f64 / n as f64;
            // Five standard deviations of a binomial share.
            let bound = 5.0 * (f64::from(p) * (1.0 - f64::from(p)) / n as f64).sqrt();
            assert!((kept - (1.0 - f64::from(p))).abs() < bound, "p = {p}: kept {kept}");
        }
        assert!(Dropout::new(Stream::new(7, 3, 1), 0.0).is_none());
    }

    #[test]
    fn streams_and_neighbours_are_uncorrelated() {
        let n = 200_000_u32;
        let correlation = |f: &dyn Fn(u32) -> (f64, f64)| {
            let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
            for i in 0..n {
                let (x, y) = f(i);
                let (x, y) = (x - 0.5, y - 0.5);
                xy += x * y;
                xx += x * x;
                yy += y * y;
            }
            xy / (xx * yy).sqrt()
        };
        let stream = Stream::new(1, 0, 0);
        for (name, value) in [
            ("next index", correlation(&|i| (stream.uniform(i), stream.uniform(i + 1)))),
            ("next row", correlation(&|i| (stream.uniform(i), stream.uniform(i + 384)))),
            ("next pass", correlation(&|i| (stream.uniform(i), Stream::new(1, 1, 0).uniform(i)))),
            ("next site", correlation(&|i| (stream.uniform(i), Stream::new(1, 0, 1).uniform(i)))),
            ("next seed", correlation(&|i| (stream.uniform(i), Stream::new(2, 0, 0).uniform(i)))),
        ] {
            assert!(value.abs() < 5.0 / f64::from(n).sqrt(), "{name}: correlation {value}");
        }
    }
}
