//! Progress on stderr: a bar on a terminal, a line per epoch elsewhere, nothing with `--quiet`.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use apprentice_student::StepReport;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether and how progress is shown.
#[derive(Clone, Copy)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A bar of `total` things.
    pub fn bar(self, total: usize, what: &str) -> ProgressBar {
        self.styled(Some(total as u64), what, "{prefix} {bar:30} {pos}/{len} {msg} (eta {eta})")
    }

    /// A bar of bytes, as many as will be said.
    pub fn bytes(self, what: &str) -> ProgressBar {
        self.styled(None, what, "{prefix} {bar:30} {bytes}/{total_bytes} ({bytes_per_sec}, eta {eta})")
    }

    /// A count of sentences, of which nobody knows how many there will be.
    pub fn sentences(self, what: &str) -> ProgressBar {
        self.styled(None, what, "{prefix} {pos} sentences ({per_sec})")
    }

    fn styled(self, total: Option<u64>, what: &str, template: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(total, self.target());
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the template is sound: this is a bug"));
        bar.set_prefix(what.to_owned());
        bar
    }

    /// Where bars are drawn.
    pub fn target(self) -> ProgressDrawTarget {
        if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
    }

    /// A line that stays.
    pub fn note(self, line: impl Display) {
        if !self.quiet {
            // Progress that nobody reads is no failure.
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// A line that stays above a bar.
    pub fn note_above(self, bar: &ProgressBar, line: &str) {
        if !self.quiet && io::stderr().is_terminal() { bar.println(line) } else { self.note(line) }
    }

    /// Shows one training step.
    pub fn step(self, bar: &ProgressBar, report: &StepReport) {
        bar.set_position(report.step as u64);
        bar.set_message(format!("epoch {} loss {:.4} rate {:.1e}", report.epoch, report.loss, report.learning_rate));
        if let Some(end) = &report.epoch_end {
            let dev = end.dev.as_ref().map_or(String::new(), |scores| {
                let best = if end.best { " (best so far)" } else { "" };
                format!(", dev F1 {:.4}{best}", scores.micro.prf.f1)
            });
            let drawn: Vec<String> = end.drawn.iter().map(|d| format!("{} {}", d.sentences, d.pool)).collect();
            let drawn = drawn.join(" + ");
            let line = format!("{}: epoch {}: {drawn} sentences, loss {:.4}{dev}", bar.prefix(), end.epoch, end.loss);
            self.note_above(bar, &line);
        }
    }
}
