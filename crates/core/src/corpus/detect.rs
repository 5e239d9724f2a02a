//! Seeing from the content of a file which format it has.

use super::{CorpusError, Format, ReadOptions, Source, conll, json};

/// The format of a file that starts with these bytes: the one that was said, or the one that the content shows, or the
/// one that the name says, or plain text.
pub(super) fn format(source: &Source, head: &[u8], options: &ReadOptions) -> Result<Format, CorpusError> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    let content = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    let by_name = Format::of_name(&source.path.to_string_lossy());
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if by_name == Some(Format::Brat) {
        return Ok(Format::Brat);
    }
    if content.starts_with(b"#FORMAT=WebAnno TSV") {
        return Ok(Format::Webanno);
    }
    let is_array =
        content.strip_prefix(b"[").is_some_and(|rest| matches!(rest.trim_ascii_start().first(), Some(b'{' | b']')));
    if content.starts_with(b"{") || is_array {
        match (json::dialect(content), by_name) {
            // Text may start with a brace.
            (None, Some(Format::Text)) => {}
            (dialect, _) => return Ok(dialect.unwrap_or(Format::Jsonl)),
        }
    }
    if conll::looks_like_columns(head) {
        return Ok(Format::Conll);
    }
    if content.contains(&0) && str::from_utf8(content).is_err_and(|e| e.error_len().is_some()) {
        let why =
            "neither text nor Parquet, gzip or Zstandard: expected one of the formats of `apprentice data --help`";
        return Err(CorpusError::Format { path: source.path.clone(), why: why.to_owned() });
    }
    Ok(match by_name {
        Some(Format::Webanno | Format::Conll) => Format::Conll,
        Some(format) => format,
        None => Format::Text,
    })
}
