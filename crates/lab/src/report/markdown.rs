//! The report as Markdown.

use super::{Report, examples::Standing, tables, tables::Table};

impl Report {
    /// The report without its plots, as Markdown (with the tables of GitHub).
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut page = Page(String::new());
        page.paragraph(&format!("# {}", text(&self.experiment.title)));
        if let Some(missing) = tables::missing(self) {
            page.paragraph(&format!("**{}**", text(&missing)));
        }
        for failed in &self.progress.failed {
            let (system, reason) = (text(&failed.system), text(&failed.reason));
            page.line(&format!("- failed: {system}, seed {} (`{}`): {reason}", failed.seed, text(&failed.id)));
        }
        page.paragraph(&text(&self.experiment.about));
        page.paragraph("## Answers");
        for answer in &self.answers {
            page.paragraph(&format!("### {}", text(&answer.ask)));
            page.paragraph(&format!("**{}** ({})", text(&answer.answer), answer.verdict.in_words()));
            answer.more.iter().for_each(|more| page.line(&format!("- {}", text(more))));
        }
        page.paragraph("## Results");
        page.paragraph(&text(&tables::selection(self)));
        for one in tables::results(self) {
            table(&mut page, &one);
        }
        if !self.examples.is_empty() {
            page.paragraph("## Examples");
        }
        for example in &self.examples {
            page.paragraph(&format!("{} ({})", text(&example.id), example.kind));
            for labelled in &example.labelled {
                let pieces: Vec<String> = labelled.segments.iter().map(piece).collect();
                page.line(&format!("- {}: {}", text(&labelled.by), pieces.concat()));
            }
        }
        page.paragraph("## To repeat it");
        page.paragraph(&fenced(&self.command));
        page.paragraph(&fenced(&self.experiment_file()));
        for one in [tables::data(self), tables::runs(self)] {
            table(&mut page, &one);
        }
        page.0
    }
}

struct Page(String);

impl Page {
    /// With an empty line before it.
    fn paragraph(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(text);
    }

    fn line(&mut self, text: &str) {
        // A list or table begins after an empty line.
        let starts_list =
            text.starts_with("- ") && !self.0.trim_end().lines().next_back().unwrap_or("").starts_with("- ");
        if starts_list && !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
        self.0 += text;
        self.0.push('\n');
    }
}

fn table(page: &mut Page, table: &Table) {
    page.paragraph(&format!("### {}", text(&table.title)));
    // Markdown has no groups of columns: each header says its group.
    let groups = table.groups.iter().flat_map(|(group, columns)| std::iter::repeat_n(group.as_str(), *columns));
    let groups: Vec<&str> = groups.chain(std::iter::repeat("")).take(table.header.len()).collect();
    let header = groups.iter().zip(&table.header).map(|(group, name)| text(format!("{group} {name}").trim()));
    page.paragraph(&cells(header));
    page.line(&cells(
        (0..table.header.len()).map(|column| if column < table.text_columns { "---" } else { "---:" }.to_owned()),
    ));
    for row in &table.rows {
        page.line(&cells(row.cells(text, |name| format!("**{name}**"))));
    }
    table.notes.iter().for_each(|note| page.paragraph(&text(note)));
}

fn cells(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

fn piece(segment: &super::Segment) -> String {
    let inside = text(&segment.text);
    let label = segment.label.as_deref().map(text).unwrap_or_default();
    match segment.standing {
        Standing::Plain => inside,
        Standing::Right => format!("**{inside}** \\[{label}\\]"),
        Standing::Wrong => format!("**{inside}** \\[{label}: wrong\\]"),
        Standing::Missed => format!("*{inside}* \\[{label}: missed\\]"),
    }
}

/// A text that means nothing to Markdown, nor to HTML in it, on one line.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' | '!' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text as it stands, in a fence that is longer than any in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}
