//! A page of tables for people: on a terminal, or as Markdown.

use std::fmt::Display;

use anyhow::Result;
use comfy_table::{Table, presets};

use crate::output;

/// What has been put on the page so far.
#[derive(Debug, Default)]
pub struct Page {
    markdown: bool,
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new(markdown: bool) -> Self {
        Self { markdown, text: String::new() }
    }

    /// Puts a title over what follows.
    pub fn title(&mut self, title: impl Display) {
        self.gap();
        if self.markdown {
            self.put(format_args!("### {title}\n"));
        } else {
            self.put(title);
        }
    }

    /// Puts a table from [`output::table`] or [`output::text_table`] on the page.
    pub fn table(&mut self, mut table: Table) {
        if self.markdown {
            self.gap();
            table.load_style(presets::ASCII_MARKDOWN);
        }
        self.put(table);
    }

    /// Puts a line below.
    pub fn line(&mut self, line: impl Display) {
        if self.markdown {
            self.gap();
        }
        self.put(line);
    }

    fn put(&mut self, text: impl Display) {
        self.text += &text.to_string();
        self.text.push('\n');
    }

    /// Leaves a line free.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A text from outside as a cell of a table.
    pub fn cell(&self, text: &str) -> String {
        if self.markdown { text.replace('|', "\\|") } else { text.to_owned() }
    }

    /// Writes the page to stdout.
    pub fn print(&self) -> Result<()> {
        output::print(self.text.trim_end_matches('\n'))
    }
}
