//! A column for each epoch: how much of it is distilled data.

use super::{Anchor, Axis, Frame, Svg, fitting};

pub(in crate::report) const WIDTH: f64 = 215.0;

/// A panel with the share of distilled data in each epoch.
pub(in crate::report) fn columns(title: &str, shares: &[f64]) -> String {
    let size = (WIDTH, 128.0);
    let in_words: Vec<String> = shares.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
    let description = format!("Share of distilled data by epoch: {}.", in_words.join(", "));
    let mut svg = Svg::new(size, title, &description);
    svg.text("name", (0.0, 12.0), Anchor::Start, &fitting(title, size.0));
    let frame = Frame { from: (40.0, 22.0), to: (size.0 - 4.0, 92.0) };
    let y = Axis::linear([0.0, 1.0], 2);
    for (share, text) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        svg.text("num", (frame.from.0 - 5.0, frame.y(&y, share) + 3.5), Anchor::End, text);
    }
    let step = (frame.to.0 - frame.from.0) / shares.len().max(1) as f64;
    let gap = (step * 0.15).min(3.0);
    let every = shares.len().div_ceil(8).max(1);
    for (epoch, share) in shares.iter().enumerate() {
        let left = frame.from.0 + step * epoch as f64 + gap / 2.0;
        let top = frame.y(&y, share.clamp(0.0, 1.0));
        svg.rect("original", (left, frame.from.1), (step - gap, top - frame.from.1), None);
        svg.rect("distilled", (left, top), (step - gap, frame.to.1 - top), None);
        if epoch.is_multiple_of(every) {
            svg.text("num", (left + (step - gap) / 2.0, frame.to.1 + 14.0), Anchor::Middle, &(epoch + 1).to_string());
        }
    }
    svg.text("axis", (f64::midpoint(frame.from.0, frame.to.0), frame.to.1 + 29.0), Anchor::Middle, "epoch");
    svg.finish()
}
