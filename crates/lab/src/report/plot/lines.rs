//! Curves over an axis.

use super::{Anchor, At, Axis, Frame, Shape, Svg, fitting, numbers_width, scale::apart, width};

/// A panel of curves.
pub(in crate::report) struct Lines<'a> {
    pub title: &'a str,
    pub description: &'a str,
    pub size: (f64, f64),
    pub x_title: &'a str,
    /// Whether x is logarithmic, with a tick at each value.
    pub logarithmic: bool,
    /// What the y axis must reach besides the curves, so that panels can be compared.
    pub y_values: &'a [f64],
    pub curves: Vec<Curve<'a>>,
}

/// A curve.
pub(in crate::report) struct Curve<'a> {
    pub stroke: Stroke,
    pub points: Vec<At>,
    /// Ends of a whisker on each point, or nothing.
    pub whiskers: Vec<Option<(f64, f64)>>,
    /// A name at its right end.
    pub label: &'a str,
}

/// How a curve looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Stroke {
    /// One of many.
    Thin,
    /// What the panel is about.
    Strong,
    /// What it is compared with.
    Dashed,
}

impl Stroke {
    const fn class(self) -> &'static str {
        match self {
            Self::Thin => "thin",
            Self::Strong => "strong",
            Self::Dashed => "dashed",
        }
    }

    const fn mark(self) -> Option<(&'static str, Shape)> {
        match self {
            Self::Thin => None,
            Self::Strong => Some(("mark", Shape::Circle)),
            Self::Dashed => Some(("mark other", Shape::Square)),
        }
    }
}

impl Lines<'_> {
    pub(in crate::report) fn svg(&self) -> String {
        let all = || self.curves.iter().flat_map(|curve| &curve.points);
        let xs = all().map(|point| point.0);
        let x = if self.logarithmic { Axis::logarithmic(xs) } else { Axis::from_zero(xs, 3) };
        let whiskers =
            self.curves.iter().flat_map(|curve| &curve.whiskers).flatten().flat_map(|&(low, high)| [low, high]);
        let y = Axis::shares(all().map(|point| point.1).chain(whiskers).chain(self.y_values.iter().copied()), 4);

        let mut svg = Svg::new(self.size, self.title, self.description);
        svg.text("name", (0.0, 12.0), Anchor::Start, &fitting(self.title, self.size.0));
        let widest = self.curves.iter().map(|curve| width(curve.label)).fold(0.0, f64::max);
        let room = if widest == 0.0 { 16.0 } else { (widest + 12.0).min(self.size.0 * 0.36) };
        let frame = Frame { from: (numbers_width(&y) + 8.0, 24.0), to: (self.size.0 - room, self.size.1 - 36.0) };
        frame.y_axis(&mut svg, &y);
        frame.x_axis(&mut svg, &x, self.x_title, false);
        for curve in &self.curves {
            let at = |&(a, b): &At| (frame.x(&x, a), frame.y(&y, b));
            let places: Vec<At> = curve.points.iter().map(at).collect();
            for (place, whisker) in places.iter().zip(&curve.whiskers) {
                if let Some((low, high)) = whisker {
                    let (low, high) = (frame.y(&y, low.max(0.0)), frame.y(&y, high.min(1.0)));
                    svg.line(&format!("whisker {}", curve.stroke.class()), (place.0, low), (place.0, high));
                }
            }
            svg.path(curve.stroke.class(), &places);
            // Marks of curves that have a name; many points would hide the line.
            if let Some((class, shape)) = curve.stroke.mark().filter(|_| !curve.label.is_empty()) {
                for (place, point) in places.iter().zip(&curve.points) {
                    svg.mark(class, shape, *place, 4.0, &format!("{}: {:.4}", x.label(point.0), point.1));
                }
            }
        }
        let named: Vec<(&str, f64)> = self
            .curves
            .iter()
            .filter(|curve| !curve.label.is_empty())
            .filter_map(|curve| Some((curve.label, frame.y(&y, curve.points.last()?.1))))
            .collect();
        let wanted: Vec<f64> = named.iter().map(|(_, y)| *y).collect();
        for ((label, _), y) in named.iter().zip(apart(&wanted, 14.0, frame.from.1, frame.to.1)) {
            svg.text("label", (frame.to.0 + 8.0, y + 3.5), Anchor::Start, &fitting(label, room - 10.0));
        }
        svg.finish()
    }
}
