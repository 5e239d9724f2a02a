//! The model card: the `README.md` of a model directory.

use std::fmt::Write;

use apprentice_core::Scores;

use crate::{Head, TrainSettings};

/// What a model card says.
#[derive(Debug, Clone, Copy)]
pub struct ModelCard<'a> {
    /// The encoder that the student started from.
    pub encoder: &'a str,
    /// How it was trained.
    pub settings: &'a TrainSettings,
    /// Sentences with human labels.
    pub original: usize,
    /// Sentences with the teacher's labels.
    pub distilled: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// The epoch, counted from 1, whose weights these are, if chosen on dev.
    pub best_epoch: Option<usize>,
    /// Scored data sets by name.
    pub scores: &'a [(&'a str, &'a Scores)],
    /// What a reader must know first, such as that the run was cut short.
    pub warning: Option<&'a str>,
}

impl ModelCard<'_> {
    /// The card in Markdown with the metadata block that the Hugging Face hub reads.
    ///
    /// # Errors
    /// If the settings cannot be written as TOML.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        let settings = toml::to_string_pretty(self.settings)?;
        let mut text = String::from(
            "---\npipeline_tag: token-classification\nlibrary_name: transformers\ntags:\n- named-entity-recognition\n\
             - apprentice\n---\n\n# Named-entity recognition student\n\n",
        );
        // Writing into a string cannot fail.
        if let Some(warning) = self.warning {
            let _ = writeln!(text, "**Warning: {warning}**\n");
        }
        let kept = self.best_epoch.map_or_else(
            || "the weights of the last step".to_owned(),
            |epoch| format!("the weights of epoch {epoch}, the best on dev"),
        );
        let _ = writeln!(
            text,
            "Trained by `apprentice` from encoder `{}` under regimen `{}` on {} human-labelled and {} LLM-labelled \
             sentences: {} optimiser steps, {kept}.\n",
            self.encoder, self.settings.regimen, self.original, self.distilled, self.steps,
        );
        if self.settings.head == Head::Crf {
            text.push_str(
                "The head is a linear-chain CRF. transformers loads the model and computes its logits, but not what was \
                 learnt of tags that follow each other (`crf.*` in `model.safetensors`, which it reports as unexpected): \
                 it decides word by word, and its tags differ from those of `apprentice predict`, which is scored here.\n\n",
            );
        }
        for (name, scores) in self.scores {
            let _ = writeln!(
                text,
                "## Scores on {name}\n\nEntity-level precision, recall and F1 (conlleval's counting).\n\n\
                 | type | precision | recall | F1 | entities |\n|---|---|---|---|---|"
            );
            for (label, score) in &scores.per_type {
                let _ = row(&mut text, label, score.prf.precision, score.prf.recall, score.prf.f1, score.counts.gold);
            }
            let micro = &scores.micro;
            let _ = row(&mut text, "micro", micro.prf.precision, micro.prf.recall, micro.prf.f1, micro.counts.gold);
            let average = &scores.macro_union;
            let _ = row(&mut text, "macro", average.precision, average.recall, average.f1, micro.counts.gold);
            text.push('\n');
        }
        let _ = write!(text, "## Settings\n\n```toml\n{settings}```\n");
        Ok(text)
    }
}

fn row(text: &mut String, name: &str, precision: f64, recall: f64, f1: f64, gold: usize) -> std::fmt::Result {
    writeln!(text, "| {name} | {precision:.4} | {recall:.4} | {f1:.4} | {gold} |")
}
