//! The tables of the results in LaTeX, with package `booktabs`.

use super::{Report, tables, tables::Table};

impl Report {
    /// The tables of the results, each as a float with caption and label; needs the package `booktabs`.
    #[must_use]
    pub fn latex(&self) -> String {
        tables::results(self).iter().map(|table| float(&self.experiment.name, table)).collect::<Vec<_>>().join("\n")
    }
}

fn float(experiment: &str, table: &Table) -> String {
    let columns: String =
        (0..table.header.len()).map(|column| if column < table.text_columns { 'l' } else { 'r' }).collect();
    let label = table.title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let mut lines = vec![
        "\\begin{table}".to_owned(),
        "\\centering".to_owned(),
        format!("\\caption{{{}. {}}}", text(&table.title), text(&table.notes.join(" "))),
        format!("\\label{{tab:{experiment}-{label}}}"),
        format!("\\begin{{tabular}}{{{columns}}}"),
        "\\toprule".to_owned(),
    ];
    if !table.groups.is_empty() {
        let groups = table.groups.iter().map(|(group, columns)| match columns {
            1 => text(group),
            _ => format!("\\multicolumn{{{columns}}}{{c}}{{{}}}", text(group)),
        });
        lines.push(cells(groups));
    }
    lines.push(cells(table.header.iter().map(|name| text(name))));
    lines.push("\\midrule".to_owned());
    for row in &table.rows {
        lines.push(cells(row.cells(text, |name| format!("\\textbf{{{name}}}"))));
    }
    lines.extend(["\\bottomrule", "\\end{tabular}", "\\end{table}", ""].map(str::to_owned));
    lines.join("\n")
}

fn cells(cells: impl Iterator<Item = String>) -> String {
    format!("{} \\\\", cells.collect::<Vec<_>>().join(" & "))
}

/// A text that means nothing to LaTeX.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "$<$",
            '>' => escaped += "$>$",
            '|' => escaped += "$|$",
            '±' => escaped += "$\\pm$",
            '−' => escaped += "$-$",
            '≠' => escaped += "$\\neq$",
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
