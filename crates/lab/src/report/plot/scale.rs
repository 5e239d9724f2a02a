//! Axes: from values to places, and the values that are written beside them.

/// An axis from its least to its greatest value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    pub ticks: Vec<f64>,
}

/// The least and greatest of values that are numbers.
fn ends(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}

impl Axis {
    /// With about so many ticks at 1, 2 or 5 times a power of ten; the first and the last are its ends.
    pub(super) fn linear(values: impl IntoIterator<Item = f64>, about: usize) -> Self {
        let (mut low, mut high) = ends(values).unwrap_or((0.0, 1.0));
        if high - low <= 1e-9 * high.abs().max(1e-9) {
            let reach = (high.abs() * 0.05).max(0.01);
            (low, high) = (low - reach, high + reach);
        }
        let raw = (high - low) / about.max(1) as f64;
        let unit = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * unit).into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(raw);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> = (0..=(last - first) as usize).map(|number| (first + number as f64) * step).collect();
        Self { low: first * step, high: last * step, logarithmic: false, ticks }
    }

    /// The same for shares: never beyond 0 and 1.
    pub(super) fn shares(values: impl IntoIterator<Item = f64>, about: usize) -> Self {
        let mut axis = Self::linear(values.into_iter().map(|value| value.clamp(0.0, 1.0)), about);
        let within = -1e-9..1.0 + 1e-9;
        axis.ticks.retain(|tick| within.contains(tick));
        (axis.low, axis.high) = (axis.low.max(0.0), axis.high.min(1.0));
        axis
    }

    /// From 0 to at least the greatest value.
    pub(super) fn from_zero(values: impl IntoIterator<Item = f64>, about: usize) -> Self {
        Self::linear(values.into_iter().chain([0.0]), about)
    }

    /// Logarithmic, with the values themselves as ticks; they must be above 0.
    pub(super) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Self {
        let mut ticks: Vec<f64> = values.into_iter().filter(|value| value.is_finite() && *value > 0.0).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let (low, high) = ends(ticks.iter().copied()).unwrap_or((1.0, 10.0));
        // Room at both sides, so that marks do not stand on the frame.
        let reach = if high > low { (high / low).powf(0.04) } else { 2.0 };
        Self { low: low / reach, high: high * reach, logarithmic: true, ticks }
    }

    /// From 0 at the least value to 1 at the greatest.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// A tick in figures: as many decimals as all need.
    pub(super) fn label(&self, tick: f64) -> String {
        let exact = |decimals: i32| {
            let unit = 10_f64.powi(decimals);
            self.ticks.iter().all(|tick| ((tick * unit).round() - tick * unit).abs() < 1e-6 * unit.max(tick.abs()))
        };
        match (0..6).find(|&decimals| exact(decimals)).unwrap_or(6) {
            0 if tick >= 0.0 => crate::report::words::grouped(tick.round() as usize),
            decimals => format!("{tick:.*}", decimals as usize),
        }
    }
}

/// Places at least `gap` apart and between `low` and `high`, in the order of those that are wanted and as near to them as
/// that allows.
pub(super) fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Groups of places that touch: each is a mean of wanted starts, so that none is moved more than the others.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for &place in &order {
        groups.push((wanted[place], 1));
        while let [.., (before, size), (start, more)] = groups[..] {
            if before + size as f64 * gap <= start {
                break;
            }
            let all = size + more;
            let start = (before * size as f64 + (start - size as f64 * gap) * more as f64) / all as f64;
            groups.truncate(groups.len() - 2);
            groups.push((start, all));
        }
    }
    let mut places: Vec<f64> = Vec::new();
    for (start, size) in groups {
        places.extend((0..size).map(|number| start + number as f64 * gap));
    }
    // Ends, from below and from above.
    let mut least = low;
    for place in &mut places {
        *place = place.max(least);
        least = *place + gap;
    }
    let mut most = high;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - gap;
    }
    let mut found = vec![0.0; wanted.len()];
    for (place, &number) in places.iter().zip(&order) {
        found[number] = *place;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        assert_eq!(labels(&Axis::linear([0.613, 0.688], 4)), ["0.60", "0.62", "0.64", "0.66", "0.68", "0.70"]);
        assert_eq!(labels(&Axis::from_zero([230.0], 4)), ["0", "100", "200", "300"]);
        assert_eq!(labels(&Axis::linear([0.0, 20_000.0], 2)), ["0", "10,000", "20,000"]);
        assert_eq!(labels(&Axis::shares([0.97, 1.0], 3)), ["0.97", "0.98", "0.99", "1.00"]);
        assert_eq!(labels(&Axis::logarithmic([500.0, 50.0, 50.0])), ["50", "500"]);
    }

    #[test]
    fn one_value_or_none_has_an_axis_too() {
        let one = Axis::shares([0.5], 4);
        assert!(one.place(0.5) > 0.2 && one.place(0.5) < 0.8, "{one:?}");
        for axis in
            [Axis::linear([], 4), Axis::linear([f64::NAN], 4), Axis::logarithmic([]), Axis::shares([1.0, 1.0], 4)]
        {
            assert!(axis.place(1.0).is_finite() && axis.ticks.len() < 20, "{axis:?}");
        }
    }

    #[test]
    fn logarithms_are_equally_far_apart() {
        let axis = Axis::logarithmic([10.0, 100.0, 1000.0]);
        assert!((axis.place(100.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn labels_are_moved_apart_and_keep_their_order() {
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert_eq!(apart(&[10.0, 50.0], 5.0, 0.0, 100.0), [10.0, 50.0]);
        assert!(close(
            &apart(&[50.0, 50.0, 49.0], 6.0, 0.0, 100.0),
            &[49.67, 55.67, 43.67].map(|x| x - 0.003_333_333_333_333)
        ));
        // At an end they go the other way.
        assert!(close(&apart(&[1.0, 0.0, 99.0, 100.0], 10.0, 0.0, 100.0), &[10.0, 0.0, 90.0, 100.0]));
    }
}
