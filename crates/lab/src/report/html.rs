//! The report as one HTML file: no network, no scripts, light or dark as the reader's system is.

use std::collections::BTreeSet;

use minijinja::{Environment, Value, context, value::Serde};
use serde::Serialize;

use super::{
    Answer, Report,
    figures::{self, Figure},
    tables::{self, Table},
    words,
};
use crate::LabError;

#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    answer: &'a Answer,
    in_words: &'static str,
}

impl Report {
    /// The report as one HTML file that needs nothing else.
    ///
    /// # Errors
    /// [`LabError::Template`], if the template does not fit the report: a bug.
    pub fn html(&self) -> Result<String, LabError> {
        let mut environment = Environment::new();
        // The names end in `.html`, so all texts are escaped but those that are known to be HTML.
        environment.add_template("report.html", include_str!("templates/report.html"))?;
        environment.add_template("table.html", include_str!("templates/table.html"))?;
        let tables = |all: &[Table]| -> Result<Vec<Value>, LabError> {
            let template = environment.get_template("table.html")?;
            let page = |table| Ok(Value::from_safe_string(template.render(context! { table => Serde(table) })?));
            all.iter().map(page).collect()
        };
        let answers: Vec<Asked<'_>> =
            self.answers.iter().map(|answer| Asked { answer, in_words: answer.verdict.in_words() }).collect();
        let figures: Vec<Value> = figures::all(self).into_iter().map(figure).collect();
        let done = || self.systems.iter().flat_map(|system| &system.runs).filter_map(|run| run.done.as_ref());
        let versions: BTreeSet<&str> = done().map(|done| done.version.as_str()).collect();
        let machines: BTreeSet<&str> = done().map(|done| done.machine.as_str()).collect();
        let seconds: f64 = done().map(|done| done.seconds).sum();
        Ok(environment.get_template("report.html")?.render(context! {
            style => Value::from_safe_string(include_str!("templates/style.css").to_owned()),
            title => self.experiment.title.as_str(),
            name => self.experiment.name.as_str(),
            about => self.experiment.about.as_str(),
            seeds => Serde(&self.experiment.seeds),
            progress => Serde(&self.progress),
            missing => tables::missing(self),
            answers => Serde(answers),
            selection => tables::selection(self),
            tables => tables(&tables::results(self))?,
            figures,
            examples => Serde(&self.examples),
            command => self.command.as_str(),
            experiment_file => self.experiment_file(),
            record_tables => tables(&[tables::data(self), tables::runs(self)])?,
            versions => Serde(versions),
            machines => Serde(machines),
            seconds => words::seconds(seconds),
        })?)
    }

    /// The experiment as its file would say it.
    pub(super) fn experiment_file(&self) -> String {
        // What was read as TOML can be written as such.
        toml::to_string_pretty(&self.experiment).unwrap_or_else(|error| format!("# {error}"))
    }
}

/// The plots are HTML already, with their texts escaped.
fn figure(Figure { title, caption, panels, width, legend }: Figure) -> Value {
    let panels: Vec<Value> = panels.into_iter().map(Value::from_safe_string).collect();
    context! { title, caption, legend => Serde(legend), panels, width }
}
