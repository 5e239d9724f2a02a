//! Points with names.

use super::{Anchor, At, Axis, Frame, Shape, Svg, fitting, numbers_width, scale::apart, width};

/// A panel of points, each with its name at the right.
pub(in crate::report) struct Scatter<'a> {
    pub title: &'a str,
    pub x_title: &'a str,
    pub dots: Vec<Dot<'a>>,
}

/// A point.
pub(in crate::report) struct Dot<'a> {
    pub label: &'a str,
    pub mark: (Shape, &'static str),
    pub at: At,
}

pub(in crate::report) const WIDTH: f64 = 440.0;
const LINE: f64 = 15.0;

impl Scatter<'_> {
    pub(in crate::report) fn svg(&self) -> String {
        let height = (LINE * self.dots.len() as f64 + 76.0).max(240.0);
        let x = Axis::from_zero(self.dots.iter().map(|dot| dot.at.0), 4);
        let y = Axis::shares(self.dots.iter().map(|dot| dot.at.1), 4);
        let points = self.dots.iter().map(|dot| format!("{} {:.4} at {:.0}", dot.label, dot.at.1, dot.at.0));
        let description = format!("F1 over {}: {}.", self.x_title, points.collect::<Vec<_>>().join(", "));
        let mut svg = Svg::new((WIDTH, height), self.title, &description);
        svg.text("name", (0.0, 12.0), Anchor::Start, &fitting(self.title, WIDTH));
        let widest = self.dots.iter().map(|dot| width(dot.label)).fold(0.0, f64::max);
        let room = (widest + 40.0).min(WIDTH * 0.45);
        let frame = Frame { from: (numbers_width(&y) + 8.0, 26.0), to: (WIDTH - room, height - 36.0) };
        frame.y_axis(&mut svg, &y);
        frame.x_axis(&mut svg, &x, self.x_title, false);
        let places: Vec<At> = self.dots.iter().map(|dot| (frame.x(&x, dot.at.0), frame.y(&y, dot.at.1))).collect();
        let wanted: Vec<f64> = places.iter().map(|at| at.1).collect();
        let labels = apart(&wanted, LINE, frame.from.1 - 6.0, frame.to.1 + 6.0);
        for (at, label) in places.iter().zip(&labels) {
            svg.path("leader", &[*at, (frame.to.0 + 20.0, *label), (frame.to.0 + 28.0, *label)]);
        }
        for ((dot, at), label) in self.dots.iter().zip(&places).zip(&labels) {
            let (shape, class) = dot.mark;
            svg.mark(&format!("mark {class}"), shape, *at, 4.2, &format!("{}: {:.4}", dot.label, dot.at.1));
            svg.text("label", (frame.to.0 + 31.0, label + 3.5), Anchor::Start, &fitting(dot.label, room - 33.0));
        }
        svg.finish()
    }
}
