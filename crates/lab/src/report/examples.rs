//! Test sentences as gold, teacher and students label them.

use apprentice_core::{Entity, Sentence};
use serde::Serialize;

use super::{Report, gather::Reader};
use crate::LabError;

/// A sentence, labelled several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The sentence's id.
    pub id: String,
    /// What it is an example of.
    pub kind: &'static str,
    /// By whom, and how.
    pub labelled: Vec<Labelled>,
}

/// A labelling of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labelled {
    /// Whose.
    pub by: String,
    /// The text in pieces.
    pub segments: Vec<Segment>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// The entity's type, if it is one.
    pub label: Option<String>,
    /// Whether that is right.
    pub standing: Standing,
}

/// What a piece of a text is, by the gold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// No entity.
    Plain,
    /// An entity of the gold.
    Right,
    /// An entity that is not in the gold.
    Wrong,
    /// An entity of the gold that was not found.
    Missed,
}

const KINDS: [&str; 3] = ["only the best is right", "only the control is right", "both are wrong, in different ways"];

/// Sentences on which the control and the best system differ under the first seed that both have done, in the order of the
/// test set: in turn those that only the best has right, those that only the control has right, and those that neither has.
pub(super) fn all(reader: &mut Reader<'_>, report: &Report) -> Result<Vec<Example>, LabError> {
    let Some((control, best)) = rivals(report) else { return Ok(Vec::new()) };
    let [control, best] = [control, best].map(|place| &report.systems[place]);
    let both = |(a, b): &(&super::RunReport, &super::RunReport)| a.done.is_some() && b.done.is_some();
    let Some((first, second)) = control.runs.iter().zip(&best.runs).find(both) else { return Ok(Vec::new()) };
    if control.settings.test != best.settings.test {
        return Ok(Vec::new());
    }
    let gold = reader.data(&best.settings.test, first.seed)?;
    let (by_control, by_best) = (reader.predicted(&first.id)?, reader.predicted(&second.id)?);

    let mut kinds: [Vec<usize>; 3] = [const { Vec::new() }; 3];
    for (place, sentence) in gold.iter().enumerate() {
        let (control, best) = (&by_control[place][..], &by_best[place][..]);
        if control == best {
            continue;
        }
        let kind = if best == sentence.entities() {
            0
        } else if control == sentence.entities() {
            1
        } else {
            2
        };
        kinds[kind].push(place);
    }
    let longest = kinds.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn =
        (0..longest).flat_map(|at| kinds.iter().enumerate().filter_map(move |(kind, all)| Some((kind, *all.get(at)?))));
    let mut chosen: Vec<(usize, usize)> = in_turn.take(report.settings.examples).collect();
    chosen.sort_unstable();

    let mut examples = Vec::new();
    for (kind, place) in chosen {
        let sentence = &gold[place];
        let labelled = |by: String, entities: &[Entity]| Labelled { by, segments: segments(sentence, entities) };
        let mut all = vec![labelled("gold".to_owned(), sentence.entities())];
        for (name, entities) in taught(reader, sentence)? {
            all.push(labelled(format!("teacher ({name})"), &entities));
        }
        all.push(labelled(format!("control: {}", control.name), &by_control[place]));
        all.push(labelled(format!("best: {}", best.name), &by_best[place]));
        examples.push(Example { id: sentence.id().to_owned(), kind: KINDS[kind], labelled: all });
    }
    Ok(examples)
}

/// The best system and its control, or what comes nearest to a control.
fn rivals(report: &Report) -> Option<(usize, usize)> {
    let best = report.best?;
    let control = report.systems[best].control.filter(|&control| control != best);
    let others: Vec<usize> = (0..report.systems.len()).filter(|&place| place != best).collect();
    Some((control.or_else(|| report.best_of(&others))?, best))
}

/// What teachers say of the same words.
fn taught(reader: &mut Reader<'_>, sentence: &Sentence) -> Result<Vec<(String, Vec<Entity>)>, LabError> {
    let mut all = Vec::new();
    let grid = reader.grid;
    for (name, data) in grid.data.iter().filter(|(_, data)| data.gold.is_some()) {
        let taught = reader.kept(&data.fingerprint)?;
        if let Some(same) = taught.iter().find(|taught| taught.words().eq(sentence.words())) {
            all.push((name.clone(), same.entities().to_vec()));
        }
    }
    Ok(all)
}

/// The text in pieces; what was missed is a piece where nothing was found in its place.
fn segments(sentence: &Sentence, entities: &[Entity]) -> Vec<Segment> {
    let gold = sentence.entities();
    let missed = gold.iter().filter(|gold| !entities.iter().any(|found| found.span.overlaps(gold.span)));
    let standing = |entity: &Entity| if gold.contains(entity) { Standing::Right } else { Standing::Wrong };
    let mut marked: Vec<(&Entity, Standing)> = entities.iter().map(|entity| (entity, standing(entity))).collect();
    marked.extend(missed.map(|entity| (entity, Standing::Missed)));
    marked.sort_by_key(|(entity, _)| entity.span);
    let (mut segments, mut at) = (Vec::new(), 0);
    let plain = |text: &str| Segment { text: text.to_owned(), label: None, standing: Standing::Plain };
    for (entity, standing) in marked {
        let bytes = sentence.bytes(entity.span);
        if bytes.start() > at {
            segments.push(plain(&sentence.text()[at..bytes.start()]));
        }
        let (text, label) = (sentence.surface(entity.span).to_owned(), Some(entity.label.to_string()));
        segments.push(Segment { text, label, standing });
        at = bytes.end();
    }
    if at < sentence.text().len() {
        segments.push(plain(&sentence.text()[at..]));
    }
    segments
}
