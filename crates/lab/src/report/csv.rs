//! The numbers of a report as CSV, unrounded.

use apprentice_core::metrics::{breakdown::Novelty, uncertainty::Summary};

use super::{Pair, Report, TypeReport, budget::Bound, tables};

impl Report {
    /// Files by their names: `systems.csv`, `types.csv`, `novelty.csv`, `runs.csv`, `comparisons.csv`, `teachers.csv`,
    /// `budgets.csv` and `curves.csv`. Numbers are not rounded; what is not known is empty; quoted as RFC 4180 has it.
    #[must_use]
    pub fn csv(&self) -> Vec<(&'static str, String)> {
        vec![
            ("systems.csv", self.systems_csv()),
            ("types.csv", self.types_csv()),
            ("novelty.csv", self.novelty_csv()),
            ("runs.csv", self.runs_csv()),
            ("comparisons.csv", self.comparisons_csv()),
            ("teachers.csv", self.teachers_csv()),
            ("budgets.csv", self.budgets_csv()),
            ("curves.csv", self.curves_csv()),
        ]
    }

    fn systems_csv(&self) -> String {
        let header = "system,regimen,seeds,human_sentences,dollars,dev_f1_mean,dev_f1_sd,precision_mean,precision_sd,\
                      recall_mean,recall_sd,f1_mean,f1_sd,macro_f1_mean,macro_f1_sd,steps,sub_words,train_seconds,control,\
                      best_on_dev,tie";
        let rows = self.systems.iter().enumerate().map(|(place, system)| {
            let done = system.runs.iter().filter(|run| run.done.is_some()).count();
            let mut row = vec![system.name.clone(), system.regimen.clone(), done.to_string()];
            row.extend([system.human_sentences.to_string(), number(system.dollars)]);
            row.extend(spread(system.dev.as_ref()));
            let test = system.test.as_ref();
            for value in
                [test.map(|t| &t.precision), test.map(|t| &t.recall), test.map(|t| &t.f1), test.map(|t| &t.macro_f1)]
            {
                row.extend(spread(value));
            }
            row.extend([test.map(|t| t.steps), test.map(|t| t.tokens), test.map(|t| t.train_seconds)].map(number));
            row.push(system.control.map_or(String::new(), |control| self.systems[control].name.clone()));
            row.extend([self.best == Some(place), self.is_tie(system)].map(|is| is.to_string()));
            row
        });
        file(header, rows)
    }

    fn types_csv(&self) -> String {
        let header = "system,type,gold,seeds,precision_mean,precision_sd,recall_mean,recall_sd,f1_mean,f1_sd";
        let tests = self.systems.iter().filter_map(|system| Some((system, system.test.as_ref()?)));
        let rows = tests.flat_map(|(system, test)| {
            test.by_type.iter().map(|(label, TypeReport { precision, recall, f1 })| {
                let gold = self.types.get(label).copied().unwrap_or_default();
                let mut row = vec![system.name.clone(), label.to_string(), gold.to_string(), f1.seeds.to_string()];
                row.extend([precision, recall, f1].into_iter().flat_map(|summary| spread(Some(summary))));
                row
            })
        });
        file(header, rows)
    }

    fn novelty_csv(&self) -> String {
        let tests = self.systems.iter().filter_map(|system| Some((system, system.test.as_ref()?)));
        let rows = tests.flat_map(|(system, test)| {
            test.by_novelty.iter().map(|(novelty, of)| {
                let name = match novelty {
                    Novelty::Seen => "seen",
                    Novelty::OtherType => "other-type",
                    Novelty::Unseen => "unseen",
                };
                let mut row = vec![system.name.clone(), name.to_owned(), of.gold.to_string(), of.f1.seeds.to_string()];
                row.extend(spread(Some(&of.f1)));
                row
            })
        });
        file("system,surface,gold_under_the_first_seed,seeds,f1_mean,f1_sd", rows)
    }

    fn runs_csv(&self) -> String {
        let header = "id,system,seed,state,dev_f1,precision,recall,f1,macro_f1,steps,train_seconds,seconds,sub_words_per_second,\
                      version,machine";
        let runs = self.systems.iter().flat_map(|system| system.runs.iter().map(move |run| (system, run)));
        let rows = runs.map(|(system, run)| {
            let mut row =
                vec![run.id.clone(), system.name.clone(), run.seed.to_string(), tables::state(&run.state).to_owned()];
            let done = run.done.as_ref();
            row.push(number(done.and_then(|done| done.dev)));
            let test = done.map(|done| (done.test.micro.prf, done.test.macro_union.f1));
            row.extend(
                [
                    test.map(|(p, _)| p.precision),
                    test.map(|(p, _)| p.recall),
                    test.map(|(p, _)| p.f1),
                    test.map(|(_, f1)| f1),
                ]
                .map(number),
            );
            row.push(done.map_or(String::new(), |done| done.steps.to_string()));
            row.extend(
                [done.map(|d| d.train_seconds), done.map(|d| d.seconds), done.map(|d| d.tokens_per_second)].map(number),
            );
            row.push(done.map_or(String::new(), |done| done.version.clone()));
            row.push(done.map_or(String::new(), |done| done.machine.clone()));
            row
        });
        file(header, rows)
    }

    /// Every comparison with what it is for: a question, or the table of systems.
    fn comparisons_csv(&self) -> String {
        let header = "for,system,with,seeds,measure,first,second,difference,low,high,level,p,p_holm,untested";
        let answers =
            self.answers.iter().flat_map(|answer| answer.pairs.iter().map(move |pair| (answer.ask.as_str(), pair)));
        let controls = self.systems.iter().filter_map(|system| Some(("control", system.against_control.as_ref()?)));
        let bests = self.systems.iter().filter_map(|system| Some(("best on dev", system.against_best.as_ref()?)));
        let rows = answers.chain(controls).chain(bests).flat_map(|(what, pair): (&str, &Pair)| {
            [("micro F1", &pair.f1), ("macro F1", &pair.macro_f1)].map(|(measure, by)| {
                let seeds = pair.seeds.map_or(String::new(), |seeds| seeds.to_string());
                let mut row = vec![what.to_owned(), pair.system.clone(), pair.with.clone(), seeds, measure.to_owned()];
                row.extend([Some(by.first), Some(by.second), Some(by.difference)].map(number));
                row.extend(
                    [by.interval.map(|i| i.low), by.interval.map(|i| i.high), by.interval.map(|i| i.level)].map(number),
                );
                row.extend([by.p_value, by.holm].map(number));
                row.push(pair.untested.clone().unwrap_or_default());
                row
            })
        });
        file(header, rows)
    }

    fn teachers_csv(&self) -> String {
        let header = "data,teacher,sentences,precision,recall,f1,f1_low,f1_high,macro_f1,dollars";
        let rows = self.teachers.iter().map(|teacher| {
            let prf = teacher.scores.micro.prf;
            let interval = teacher.intervals.map(|intervals| intervals.f1);
            let mut row = vec![teacher.data.clone(), teacher.teacher.clone(), teacher.sentences.to_string()];
            row.extend([Some(prf.precision), Some(prf.recall), Some(prf.f1)].map(number));
            row.extend([interval.map(|i| i.low), interval.map(|i| i.high)].map(number));
            row.extend([Some(teacher.scores.macro_union.f1), teacher.dollars].map(number));
            row
        });
        file(header, rows)
    }

    fn budgets_csv(&self) -> String {
        let header = "question,teacher,system,human_sentences,f1_mean,f1_sd,worth,worth_low,worth_high";
        let points = self.budgets.iter().flat_map(|budget| {
            let with = budget.with.iter().map(move |point| (budget, "with", point));
            with.chain(budget.without.iter().map(move |point| (budget, "without", point)))
        });
        let rows = points.map(|(budget, which, point)| {
            let mut row = vec![
                budget.ask.clone(),
                which.to_owned(),
                self.systems[point.system].name.clone(),
                point.labels.to_string(),
            ];
            row.extend(spread(Some(&point.f1)));
            let interval = point.worth.and_then(|worth| worth.interval);
            let ends = [point.worth.map(|worth| worth.estimate), interval.map(|i| i[0]), interval.map(|i| i[1])];
            row.extend(ends.map(|end| end.map_or(String::new(), bound)));
            row
        });
        file(header, rows)
    }

    fn curves_csv(&self) -> String {
        let mut rows = Vec::new();
        for system in &self.systems {
            for run in &system.runs {
                for (step, f1) in run.done.iter().flat_map(|done| &done.curve) {
                    rows.push(vec![system.name.clone(), run.seed.to_string(), step.to_string(), f1.to_string()]);
                }
            }
        }
        file("system,seed,step,dev_f1", rows.into_iter())
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn spread(summary: Option<&Summary>) -> [String; 2] {
    [summary.map(|summary| summary.mean), summary.and_then(|summary| summary.standard_deviation)].map(number)
}

/// What was not measured has a sign before the last number that was.
fn bound(bound: Bound) -> String {
    match bound {
        Bound::FewerThan(least) => format!("<{least}"),
        Bound::At(number) => number.to_string(),
        Bound::MoreThan(most) => format!(">{most}"),
    }
}

fn file(header: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut file = format!("{header}\n");
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| quoted(field)).collect();
        file += &fields.join(",");
        file.push('\n');
    }
    file
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
