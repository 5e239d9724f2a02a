//! A confusion matrix.

use apprentice_core::metrics::Confusion;

use super::{Anchor, Svg, fitting, width};

/// At least.
pub(in crate::report) const WIDTH: f64 = 330.0;
const CELL: (f64, f64) = (52.0, 24.0);

/// Gold types as rows, predicted ones as columns; a cell is the darker the more of its row it has.
pub(in crate::report) fn matrix(title: &str, Confusion { types, counts }: &Confusion) -> String {
    let names: Vec<&str> = types.iter().map(|label| &**label).collect();
    let columns: Vec<&str> = names.iter().copied().chain(["missed"]).collect();
    let rows: Vec<&str> = names.iter().copied().chain(["spurious"]).collect();
    let left = rows.iter().map(|name| width(name)).fold(0.0, f64::max).min(110.0) + 10.0;
    let widest = columns.iter().map(|name| width(name)).fold(0.0, f64::max).min(110.0);
    // Long names stand aslant.
    let aslant = widest > CELL.0 - 4.0;
    let top = 40.0 + if aslant { widest * 0.72 } else { 8.0 };
    let right = if aslant { widest * 0.72 } else { 4.0 };
    let size = (left + CELL.0 * columns.len() as f64 + right, top + CELL.1 * rows.len() as f64 + 4.0);

    let right_ones: usize = (0..types.len()).map(|place| counts[place][place]).sum();
    let description =
        format!("Rows are the gold types, columns what the teacher said; {right_ones} have the right type.");
    let mut svg = Svg::new((size.0.max(WIDTH), size.1), title, &description);
    svg.text("name", (0.0, 12.0), Anchor::Start, &fitting(title, size.0.max(WIDTH)));
    svg.text("axis", (left, 28.0), Anchor::Start, "labelled as");
    svg.text("axis", (left - 8.0, 28.0), Anchor::End, "gold");
    for (column, name) in columns.iter().enumerate() {
        let x = left + CELL.0 * (column as f64 + 0.5);
        if aslant {
            svg.turned_text("label", (x - 4.0, top - 5.0), Anchor::Start, &fitting(name, widest), -45.0);
        } else {
            svg.text("label", (x, top - 6.0), Anchor::Middle, name);
        }
    }
    for (row, name) in rows.iter().enumerate() {
        let y = top + CELL.1 * row as f64;
        svg.text("label", (left - 8.0, y + 16.0), Anchor::End, &fitting(name, left - 8.0));
        let all: usize = counts[row].iter().sum();
        for (column, &count) in counts[row].iter().enumerate() {
            let is_corner = row == types.len() && column == types.len();
            if is_corner {
                continue;
            }
            let at = (left + CELL.0 * column as f64, y);
            // Light enough for the count to be read on it, in both colour schemes. The spurious ones have no type of their own to be right about.
            let share = if row < types.len() && all > 0 { count as f64 / all as f64 } else { 0.0 };
            svg.rect("cell", (at.0 + 0.5, at.1 + 0.5), (CELL.0 - 1.0, CELL.1 - 1.0), Some(0.05 + 0.5 * share));
            let class = if count == 0 { "count none" } else { "count" };
            let text = crate::report::words::grouped(count);
            svg.text(class, (at.0 + CELL.0 / 2.0, at.1 + 16.0), Anchor::Middle, &text);
        }
    }
    svg.finish()
}
