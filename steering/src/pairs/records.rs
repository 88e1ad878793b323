//! From bytes to records: JSON Lines, one JSON array, one JSON object, or CSV with a header.

use super::flaw::Flaw;
use serde_json::{Map, Value};

/// One record and the line it begins on.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Map<String, Value>,
}

/// The records of a file.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<Record>, Flaw> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Flaw::NotUtf8 { line: line_at(bytes, e.valid_up_to()) })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_start().chars().next() {
        None => Err(Flaw::Empty),
        Some('[') => array(text),
        Some('{') => objects(text),
        Some(_) => table(text),
    }
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|b| **b == b'\n').count()
}

/// One object per line; a file that is one object over several lines is one record.
fn objects(text: &str) -> Result<Vec<Record>, Flaw> {
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read: Result<Vec<Record>, Flaw> = lines().map(|(at, line)| record(line, at + 1)).collect();
    // Only a first line that is no JSON by itself can begin an object over several lines.
    let broken = matches!(&read, Err(Flaw::NotJson { line, .. }) if lines().next().is_some_and(|(at, _)| at + 1 == *line));
    if !broken {
        return read;
    }
    let start = text.len() - text.trim_start().len();
    let whole = record(text.trim(), line_at(text.as_bytes(), start));
    whole.map(|record| vec![record]).or(read)
}

fn record(text: &str, line: usize) -> Result<Record, Flaw> {
    let value: Value = serde_json::from_str(text).map_err(|e| {
        // The parser counts lines within what it was given; its own line number would contradict ours.
        let said = e.to_string();
        let problem = said.split(" at line ").next().unwrap_or_default().to_owned();
        Flaw::NotJson { line: line + e.line().saturating_sub(1), problem }
    })?;
    match value {
        Value::Object(fields) => Ok(Record { line, fields }),
        other => Err(Flaw::NotObject { line, found: kind(&other) }),
    }
}

/// What a JSON value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The elements of one array. Where each begins is found by hand, because the parser does not tell.
fn array(text: &str) -> Result<Vec<Record>, Flaw> {
    // The whole must be JSON before its parts can be told apart.
    if let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let said = e.to_string();
        let problem = said.split(" at line ").next().unwrap_or_default().to_owned();
        return Err(Flaw::NotJson { line: e.line(), problem });
    }
    let (mut records, mut line, mut counted) = (Vec::new(), 1, 0);
    for (start, end) in elements(text.as_bytes()) {
        let skipped = text.as_bytes().get(counted..start).unwrap_or_default();
        line += skipped.iter().filter(|b| **b == b'\n').count();
        counted = start;
        records.push(record(text.get(start..end).unwrap_or_default(), line)?);
    }
    Ok(records)
}

/// Where the elements of a well-formed array begin and end, white space around them left out.
fn elements(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut depth, mut start, mut end) = (Vec::new(), 0usize, None, 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate() {
        if quoted {
            (quoted, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            end = at + 1;
            continue;
        }
        let opens = matches!(byte, b'[' | b'{');
        if matches!(byte, b']' | b'}') {
            depth -= 1;
        }
        let border = depth == 0 || (depth == 1 && *byte == b',');
        if border {
            found.extend(start.take().map(|start| (start, end)));
        } else if !byte.is_ascii_whitespace() {
            start.get_or_insert(at);
            end = at + 1;
        }
        quoted = *byte == b'"';
        depth += usize::from(opens);
    }
    found
}

/// The rows of a table under its header, every cell a text.
fn table(text: &str) -> Result<Vec<Record>, Flaw> {
    let flaw = |e: csv::Error| {
        let line = e.position().map_or(1, |p| p.line() as usize);
        let problem = match e.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("has {len} cells, the header has {expected_len}; quote cells with commas")
            }
            _ => format!("cannot be read: {e}"),
        };
        Flaw::Csv { line, problem }
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(flaw)?.clone();
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(flaw)?;
        let line = row.position().map_or(1, |p| p.line() as usize);
        let cells = header.iter().map(str::trim).map(str::to_owned);
        let fields = cells.zip(row.iter().map(|cell| Value::String(cell.to_owned()))).collect();
        records.push(Record { line, fields });
    }
    Ok(records)
}
