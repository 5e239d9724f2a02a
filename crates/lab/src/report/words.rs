//! Numbers in words, the same on every page.

use apprentice_core::metrics::uncertainty::{Interval, Summary};

/// A share as people print F1.
pub(super) fn share(value: f64) -> String {
    format!("{value:.4}")
}

/// The mean, with the standard deviation of several seeds.
pub(super) fn mean(summary: &Summary) -> String {
    match summary.standard_deviation {
        Some(deviation) => format!("{} ± {}", share(summary.mean), share(deviation)),
        None => share(summary.mean),
    }
}

/// A difference of shares, with a true minus.
pub(super) fn signed(value: f64) -> String {
    // What rounds to nothing has no sign but plus.
    let rounded = (value * 1e4).round() / 1e4 + 0.0;
    format!("{rounded:+.4}").replace('-', "−")
}

/// The ends of a difference's interval.
pub(super) fn ends(interval: &Interval) -> String {
    format!("{} to {}", signed(interval.low), signed(interval.high))
}

/// The ends of a share's interval.
pub(super) fn between(interval: &Interval) -> String {
    format!("{} to {}", share(interval.low), share(interval.high))
}

/// A confidence level: `95 %`.
pub(super) fn level(level: f64) -> String {
    // Levels are typed by people, so that what a tenth of a per cent cannot say is rounding.
    format!("{} %", (level * 1000.0).round() / 10.0)
}

/// A p-value in a cell.
pub(super) fn p(value: f64) -> String {
    if value < 0.000_05 { "< 0.0001".to_owned() } else { share(value) }
}

/// A p-value in a sentence.
pub(super) fn p_is(value: f64) -> String {
    let cell = p(value);
    if cell.starts_with('<') { format!("p {cell}") } else { format!("p = {cell}") }
}

/// A price, where it is known.
pub(super) fn dollars(value: Option<f64>) -> String {
    value.map_or(String::new(), |dollars| format!("{dollars:.2} $"))
}

/// A number with its thousands apart.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 run`, `12 runs`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A time, to two or three digits.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s if s < 36_000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
