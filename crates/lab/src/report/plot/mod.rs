//! Plots as SVG in a page: light or dark as the page is, texts that can be selected, nothing that runs.
//!
//! What colours and dashes are is said by the classes of the page's style sheet; every difference is one of form as well
//! (marks, dashes, places), so that no plot depends on colour.

pub(super) mod columns;
mod lines;
pub(super) mod matrix;
pub(super) mod rows;
mod scale;
pub(super) mod scatter;
mod svg;

pub(super) use lines::{Curve, Lines, Stroke};
pub(super) use rows::{Dots, Rows};
pub(super) use scatter::{Dot, Scatter};
pub(super) use svg::Shape;

use scale::Axis;
use svg::{Anchor, At, Svg, fitting, width};

/// The room for a curve and its axes.
struct Frame {
    /// Upper left corner.
    from: At,
    /// Lower right corner.
    to: At,
}

impl Frame {
    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.from.0 + (self.to.0 - self.from.0) * axis.place(value)
    }

    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.to.1 - (self.to.1 - self.from.1) * axis.place(value)
    }

    /// Lines and numbers for the ticks below.
    fn x_axis(&self, svg: &mut Svg, axis: &Axis, title: &str, grid: bool) {
        let mut free = f64::NEG_INFINITY;
        for &tick in &axis.ticks {
            let x = self.x(axis, tick);
            if grid {
                svg.line("grid", (x, self.from.1), (x, self.to.1));
            } else {
                svg.line("tick", (x, self.to.1), (x, self.to.1 + 3.0));
            }
            let label = axis.label(tick);
            let half = width(&label) / 2.0;
            // A number that would touch the one before is left out.
            if x - half >= free {
                svg.text("num", (x, self.to.1 + 14.0), Anchor::Middle, &label);
                free = x + half + 4.0;
            }
        }
        svg.text("axis", (f64::midpoint(self.from.0, self.to.0), self.to.1 + 29.0), Anchor::Middle, title);
    }

    /// Lines and numbers for the ticks at the left.
    fn y_axis(&self, svg: &mut Svg, axis: &Axis) {
        for &tick in &axis.ticks {
            let y = self.y(axis, tick);
            svg.line("grid", (self.from.0, y), (self.to.0, y));
            svg.text("num", (self.from.0 - 5.0, y + 3.5), Anchor::End, &axis.label(tick));
        }
    }
}

/// How wide the numbers of an axis are.
fn numbers_width(axis: &Axis) -> f64 {
    axis.ticks.iter().map(|tick| width(&axis.label(*tick))).fold(0.0, f64::max)
}
