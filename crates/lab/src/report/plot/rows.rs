//! A row for each system: a mean, its interval, and the values behind it.

use super::{Anchor, Axis, Frame, Shape, Svg, fitting, width};

/// A panel of rows.
pub(in crate::report) struct Rows<'a> {
    pub title: &'a str,
    pub x_title: &'a str,
    pub systems: Vec<Dots<'a>>,
    /// A value that all are compared with.
    pub reference: Option<f64>,
}

/// One row.
pub(in crate::report) struct Dots<'a> {
    pub label: &'a str,
    /// Its form and class.
    pub mark: (Shape, &'static str),
    pub mean: Option<f64>,
    pub interval: Option<(f64, f64)>,
    pub values: Vec<f64>,
}

pub(in crate::report) const WIDTH: f64 = 440.0;
const ROW: f64 = 19.0;
/// For the mean in figures.
const FIGURES: f64 = 44.0;

impl Rows<'_> {
    pub(in crate::report) fn svg(&self) -> String {
        let height = 24.0 + ROW * self.systems.len() as f64 + 38.0;
        let means = self.systems.iter().filter_map(|row| Some(format!("{} {:.4}", row.label, row.mean?)));
        let description = format!("{}: {}.", self.x_title, means.collect::<Vec<_>>().join(", "));
        let mut svg = Svg::new((WIDTH, height), self.title, &description);
        svg.text("name", (0.0, 12.0), Anchor::Start, &fitting(self.title, WIDTH));

        let of = |row: &Dots<'_>| {
            let interval = row.interval.map(|(low, high)| [low, high]);
            row.mean
                .into_iter()
                .chain(interval.into_iter().flatten())
                .chain(row.values.iter().copied())
                .collect::<Vec<_>>()
        };
        let x = Axis::shares(self.systems.iter().flat_map(of).chain(self.reference), 4);
        let widest = self.systems.iter().map(|row| width(row.label)).fold(0.0, f64::max);
        let left = (widest + 10.0).min(WIDTH * 0.42);
        let frame = Frame { from: (left, 20.0), to: (WIDTH - FIGURES - 8.0, height - 36.0) };
        frame.x_axis(&mut svg, &x, self.x_title, true);
        if let Some(reference) = self.reference {
            let at = frame.x(&x, reference);
            svg.line("reference", (at, frame.from.1), (at, frame.to.1));
        }
        for (number, row) in self.systems.iter().enumerate() {
            let y = 24.0 + ROW * (number as f64 + 0.5);
            svg.text("label", (left - 8.0, y + 3.5), Anchor::End, &fitting(row.label, left - 8.0));
            let Some(mean) = row.mean else {
                svg.text("num", (WIDTH, y + 3.5), Anchor::End, "–");
                continue;
            };
            if let Some((low, high)) = row.interval {
                svg.line("interval", (frame.x(&x, low), y), (frame.x(&x, high), y));
            }
            for &value in &row.values {
                svg.mark("seed", Shape::Circle, (frame.x(&x, value), y), 2.2, "");
            }
            let (shape, class) = row.mark;
            svg.mark(
                &format!("mark {class}"),
                shape,
                (frame.x(&x, mean), y),
                4.2,
                &format!("{}: {mean:.4}", row.label),
            );
            svg.text("num", (WIDTH, y + 3.5), Anchor::End, &format!("{mean:.4}"));
        }
        svg.finish()
    }
}
