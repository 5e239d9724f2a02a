//! From tags to the labelled spans of a record.

use super::{LabelledSpan, LineProblem, Reading, Record};
use crate::{Evidence, Scheme, Span, Tag, tags};

/// The record with the entities of its tokens' tags; the tags are noted as evidence.
///
/// # Panics
/// If the record has another number of tokens.
pub(super) fn of_tags(
    record: Record,
    tags: &[Tag],
    reading: Reading,
    evidence: &mut Evidence,
) -> Result<Record, LineProblem> {
    evidence.observe(tags);
    let tokens = record.tokens().unwrap_or_default();
    assert_eq!(tokens.len(), tags.len(), "one tag a token");
    if tags.iter().all(|tag| *tag == Tag::Outside) {
        return Ok(record.with_spans(Vec::new())?);
    }
    if let Reading::Checked(scheme) = reading {
        check(tags, scheme)?;
    }
    let entities = match reading {
        Reading::Strict(scheme) => tags::decode_strict(tags, scheme),
        Reading::Lenient | Reading::Checked(_) => tags::decode_lenient(tags),
    };
    let bytes = |span: Span| tokens[span.start()].through(tokens[span.end() - 1]);
    let spans = entities.into_iter().map(|e| LabelledSpan::new(bytes(e.span), e.label)).collect();
    Ok(record.with_spans(spans)?)
}

/// Checks that every tag stands where the scheme has it.
fn check(tags: &[Tag], scheme: Scheme) -> Result<(), LineProblem> {
    let mut previous = &Tag::Outside;
    for tag in tags {
        if !scheme.allows(previous, tag) {
            return Err(LineProblem::Scheme { scheme, previous: previous.clone(), tag: tag.clone() });
        }
        previous = tag;
    }
    if scheme.allows(previous, &Tag::Outside) {
        return Ok(());
    }
    Err(LineProblem::Unfinished { scheme, tag: previous.clone() })
}
