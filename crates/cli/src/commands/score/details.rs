//! What is behind the scores of one run.

use std::{collections::BTreeMap, fmt::Display};

use apprentice_core::{
    Entity, Score, Sentence,
    metrics::{
        Calibration, Confusion, Outcome, SemEval,
        breakdown::Novelty,
        report::{Details, Listed},
        semeval::{Measure, Measures},
    },
};

use super::tables::grouped;
use crate::{
    output::{self, share, table, text_table},
    page::Page,
};

/// How many documents are shown.
const DOCUMENTS: usize = 10;
/// How many tokens are shown on either side of a mistake.
const CONTEXT: usize = 4;

pub fn details(page: &mut Page, details: &Details) {
    semeval(page, &details.semeval);
    confusion(page, &details.confusion);
    if let Some(found) = &details.calibration {
        calibration(page, found);
    }
    parts(page, "By the entity's number of tokens", "tokens", &details.by_entity_length);
    parts(page, "By the sentence's number of tokens", "tokens", &details.by_sentence_length);
    if let Some(by_novelty) = &details.by_novelty {
        let named = by_novelty.iter().map(|(novelty, score)| (novelty_in_words(*novelty), score));
        parts(page, "By what the training data show of the entity's text", "text", named);
    }
    if let Some(all) = details.by_document.as_ref().map(BTreeMap::len) {
        let title = match all {
            0..=DOCUMENTS => "By document, the worst first".to_owned(),
            _ => format!("The {DOCUMENTS} worst of {} documents with entities", grouped(all)),
        };
        let worst = details.worst_documents(DOCUMENTS);
        let named = worst.into_iter().map(|(name, score)| (if name.is_empty() { "(none)" } else { name }, score));
        parts(page, &title, "document", named);
    }
    let tokens = details.tokens;
    page.gap();
    page.line(format_args!(
        "Tokens with the right tag: {} of {} ({}); of those in gold entities, {} of {} ({}).",
        grouped(tokens.right),
        grouped(tokens.all),
        share(tokens.accuracy),
        grouped(tokens.right_in_entities),
        grouped(tokens.in_entities),
        share(tokens.accuracy_in_entities)
    ));
}

fn semeval(page: &mut Page, semeval: &SemEval) {
    page.title("By the measures of SemEval-2013: what is right or half right");
    let measure = |name: &str, Measure { gold, predicted, prf }: &Measure| {
        let counts = [gold.correct, gold.incorrect, gold.partial, gold.missed, predicted.spurious];
        [name.to_owned()].into_iter().chain(output::prf(prf)).chain(counts.map(|n| n.to_string())).collect()
    };
    let Measures { strict, exact, partial, entity_type, .. } = &semeval.overall;
    let rows = [
        measure("strict: span and type", strict),
        measure("exact: span", exact),
        measure("partial: half for overlap", partial),
        measure("type: if any overlap", entity_type),
    ];
    let header = ["measure", "precision", "recall", "F1", "correct", "incorrect", "partial", "missed", "spurious"];
    page.table(table(&header, rows));

    page.title("Kinds of error, by the gold's type (spurious ones by the predicted)");
    let row = |name: &str, Measures { errors, type_accuracy, .. }: &Measures| {
        let counts = [
            errors.correct,
            errors.wrong_type,
            errors.wrong_boundary,
            errors.both_wrong,
            errors.missed,
            errors.spurious,
        ];
        let accuracy = type_accuracy.map_or(String::new(), share);
        [name.to_owned()].into_iter().chain(counts.map(|n| n.to_string())).chain([accuracy]).collect()
    };
    let types = semeval.per_type.iter().map(|(label, measures)| row(label, measures));
    let rows: Vec<Vec<String>> = types.chain([row("all", &semeval.overall)]).collect();
    let header = ["type", "correct", "wrong type", "wrong span", "both wrong", "missed", "spurious", "type accuracy"];
    page.table(table(&header, rows));
    page.line("Type accuracy: the share of right types where the span is right.");
}

fn confusion(page: &mut Page, Confusion { types, counts }: &Confusion) {
    page.title("Which type (rows) was taken for which (columns), where a token is shared");
    let names = || types.iter().map(ToString::to_string);
    let header: Vec<String> =
        ["gold \\ predicted".to_owned()].into_iter().chain(names()).chain(["missed".to_owned()]).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = names().chain(["spurious".to_owned()]).zip(counts).enumerate().map(|(gold, (name, counts))| {
        let cell = |(predicted, n): (usize, &usize)| {
            if gold == types.len() && predicted == types.len() { String::new() } else { n.to_string() }
        };
        [name].into_iter().chain(counts.iter().enumerate().map(cell)).collect()
    });
    page.table(table(&header, rows));
}

fn calibration(page: &mut Page, Calibration { entities, expected_error, brier, bins }: &Calibration) {
    page.title("Whether it is right as often as it is sure");
    let rows = bins.iter().map(|bin| {
        let range = format!("{:.1}–{:.1}", bin.above, bin.at_most);
        vec![range, share(bin.confidence), share(bin.precision), bin.entities.to_string(), bin.right.to_string()]
    });
    page.table(table(&["confidence", "mean", "precision", "predicted", "right"], rows));
    page.line(format_args!(
        "Expected calibration error {}, Brier score {} (0 is best), of {} entities.",
        share(*expected_error),
        share(*brier),
        grouped(*entities)
    ));
}

fn parts<'a, N: Display>(page: &mut Page, title: &str, what: &str, parts: impl IntoIterator<Item = (N, &'a Score)>) {
    page.title(title);
    let rows: Vec<Vec<String>> = parts
        .into_iter()
        .map(|(name, Score { counts, prf })| {
            let counts = [counts.gold, counts.predicted, counts.true_positive].map(|n| n.to_string());
            [page.cell(&name.to_string())].into_iter().chain(output::prf(prf)).chain(counts).collect()
        })
        .collect();
    page.table(table(&[what, "precision", "recall", "F1", "gold", "predicted", "right"], rows));
}

fn novelty_in_words(novelty: Novelty) -> &'static str {
    match novelty {
        Novelty::Seen => "seen with this type",
        Novelty::OtherType => "seen with others only",
        Novelty::Unseen => "unseen",
    }
}

pub fn mistakes(page: &mut Page, Listed { counts, first }: &Listed<'_>) {
    if first.is_empty() {
        page.gap();
        page.line("No errors.");
        return;
    }
    let kinds: Vec<String> =
        counts.iter().map(|(kind, count)| format!("{} {}", grouped(*count), kind_in_words(*kind))).collect();
    let shown = if first.len() == counts.values().sum::<usize>() { "" } else { "; the first of each kind" };
    page.title(format_args!("Errors: {}{shown}", kinds.join(", ")));
    let entity = |page: &Page, sentence: &Sentence, entity: Option<&Entity>| {
        entity.map_or(String::new(), |e| page.cell(&format!("{} ({})", sentence.surface(e.span), e.label)))
    };
    let rows: Vec<Vec<String>> = first
        .iter()
        .map(|mistake| {
            vec![
                kind_in_words(mistake.outcome()).to_owned(),
                page.cell(mistake.sentence.id()),
                entity(page, mistake.sentence, mistake.found.gold()),
                entity(page, mistake.sentence, mistake.found.predicted()),
                page.cell(&mistake.context(CONTEXT)),
            ]
        })
        .collect();
    page.table(text_table(&["error", "sentence", "gold", "predicted", "context"], rows));
}

fn kind_in_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Correct => "correct",
        Outcome::WrongType => "wrong type",
        Outcome::WrongBoundary => "wrong span",
        Outcome::BothWrong => "both wrong",
        Outcome::Missed => "missed",
        Outcome::Spurious => "spurious",
    }
}
