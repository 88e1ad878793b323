//! From bytes to records: JSON Lines, one JSON array, one JSON object that may hold such an array, or a table with a
//! header.
//!
//! A record that cannot be read is kept as its flaw: the caller may leave it out. What is wrong with the file as a whole
//! ends the reading.

use super::error::PairError;
use crate::file::json;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;
use trimtab_runtime::filetype::{self, FileType, NotText};

/// One record and the line it begins on.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Map<String, Value>,
}

/// A record, or what is wrong with it.
pub(super) type Read = Result<Record, PairError>;

/// Fields that hold all records of a file that is one object.
const WRAPPERS: [&str; 3] = ["train", "data", "rows"];
/// What separates the cells of a table.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// The records of a file.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<Read>, PairError> {
    let text = text(bytes)?;
    match text.trim_start().chars().next() {
        None => Err(PairError::Empty),
        Some('[') => array(&text, &text),
        Some('{') => objects(&text),
        Some(_) => table(&text),
    }
}

/// The text of a file of examples, which is no web page.
pub(super) fn text(bytes: &[u8]) -> Result<String, PairError> {
    match FileType::of(bytes) {
        Some(kind) => Err(PairError::NotText(NotText::Type(kind))),
        None => filetype::text(bytes.to_vec()).map_err(PairError::NotText),
    }
}

/// One object per line; a file that is one object over several lines is one record, or holds them all.
fn objects(text: &str) -> Result<Vec<Read>, PairError> {
    let lines = || filetype::lines(text).filter(|(_, line)| !line.trim().is_empty());
    if let Some(list) = wrapped(text)? {
        return array(list, text);
    }
    let read: Vec<Read> = lines().map(|(line, text)| record(text, line)).collect();
    // Only a first line that is no JSON by itself can begin an object over several lines.
    if !matches!(read.first(), Some(Err(PairError::NotJson { .. }))) {
        return Ok(read);
    }
    let start = text.len() - text.trim_start().len();
    match record(text.trim(), line_at(text, start)) {
        Ok(record) => Ok(vec![Ok(record)]),
        Err(_) => Ok(read),
    }
}

/// The array of records in a file that is one object around it, and no record itself.
fn wrapped(text: &str) -> Result<Option<&str>, PairError> {
    let Ok(Entries(fields)) = serde_json::from_str::<Entries<'_>>(text) else {
        return Ok(None);
    };
    // A file that is one record may have such a list among its fields.
    if fields.iter().any(|(name, _)| super::shape::decides(name)) {
        return Ok(None);
    }
    let is_list = |(name, raw): &&(String, &RawValue)| {
        WRAPPERS.contains(&name.as_str()) && raw.get().starts_with('[')
    };
    let Some((name, list)) = fields.iter().find(is_list) else { return Ok(None) };
    if fields.iter().filter(|(other, _)| other == name).count() > 1 {
        let line = line_at(text, text.len() - text.trim_start().len());
        return Err(PairError::NotJson { line, problem: format!("key {name:?} appears twice") });
    }
    Ok(Some(list.get()))
}

/// The fields of an object as they are written, repeated ones too.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Entries<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry::<String, &RawValue>()? {
            fields.push(entry);
        }
        Ok(Entries(fields))
    }
}

fn record(text: &str, line: usize) -> Read {
    // The parser counts lines within what it was given; its own line number would contradict ours.
    let value = json::record(text)
        .map_err(|(problem, within)| PairError::NotJson { line: line + within - 1, problem })?;
    match value {
        Value::Object(fields) => Ok(Record { line, fields }),
        other => Err(PairError::NotObject { line, found: kind(&other) }),
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

/// The elements of an array that is all of a text or a part of it.
fn array(list: &str, text: &str) -> Result<Vec<Read>, PairError> {
    let elements: Vec<&RawValue> = serde_json::from_str(list).map_err(|e| {
        let (problem, line) = json::said(&e);
        PairError::NotJson { line, problem }
    })?;
    let mut lines = Lines::of(text);
    let read = |raw: &RawValue| {
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        record(raw.get(), lines.at(start))
    };
    Ok(elements.into_iter().map(read).collect())
}

fn line_at(text: &str, at: usize) -> usize {
    Lines::of(text).at(at)
}

/// Counts the lines of a text, forwards.
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        Lines { bytes: text.as_bytes(), counted: 0, line: 1 }
    }

    /// The line of a byte that is not before the last one asked for.
    fn at(&mut self, at: usize) -> usize {
        let ends = |(index, byte): (usize, &u8)| match byte {
            b'\n' => true,
            b'\r' => self.bytes.get(index + 1) != Some(&b'\n'),
            _ => false,
        };
        let passed = self.bytes.iter().enumerate().take(at).skip(self.counted);
        self.line += passed.filter(|place| ends(*place)).count();
        self.counted = at.max(self.counted);
        self.line
    }
}

/// The rows of a table under its header, every cell a text.
fn table(text: &str) -> Result<Vec<Read>, PairError> {
    let separator = separator(text);
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let unread =
        |line: usize, e: &csv::Error| PairError::Csv { line, problem: unreadable(e, separator) };
    let header = reader.headers().map_err(|e| unread(1, &e))?.clone();
    let header: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
    let mut lines = Lines::of(text);
    // The reader's own line numbers count no `\r`, and not the `\n` it has not passed yet.
    let mut line_of = |position: Option<&csv::Position>| {
        let at = position.map_or(0, |p| usize::try_from(p.byte()).unwrap_or(text.len()));
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        lines.at(at + rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count())
    };
    let first = line_of(Some(&csv::Position::new()));
    if let Some(name) = repeated(&header) {
        let problem = format!("has the column {name} twice; rename or delete one");
        return Err(PairError::Csv { line: first, problem });
    }
    let mut records = Vec::new();
    for row in reader.records() {
        records.push(match row {
            Ok(row) => cells(&header, &row, line_of(row.position())),
            Err(e) => Err(unread(line_of(e.position()), &e)),
        });
    }
    Ok(records)
}

fn cells(header: &[String], row: &csv::StringRecord, line: usize) -> Read {
    if row.get(0).is_some_and(|cell| cell.starts_with('\u{feff}')) {
        let problem = "begins with a byte order mark, as where two files were joined; delete it, and the second header";
        return Err(PairError::Csv { line, problem: problem.to_owned() });
    }
    // Spreadsheets write columns without a name behind the last one.
    let named = header.iter().zip(row).filter(|(name, _)| !name.is_empty());
    let fields = named.map(|(name, cell)| (name.clone(), Value::String(cell.to_owned()))).collect();
    Ok(Record { line, fields })
}

fn unreadable(error: &csv::Error, separator: u8) -> String {
    let between = match separator {
        b';' => "semicolons",
        b'\t' => "tabs",
        _ => "commas",
    };
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells, the header has {expected_len}; quote cells with {between}")
        }
        _ => format!("cannot be read: {error}"),
    }
}

/// What separates most cells of the header; a comma where nothing does.
fn separator(text: &str) -> u8 {
    let header = filetype::lines(text).map(|(_, line)| line).find(|line| !line.trim().is_empty());
    let header = header.unwrap_or_default().as_bytes();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // Of equal counts the first wins.
    SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

fn repeated(header: &[String]) -> Option<&String> {
    let before = |at: usize, name: &String| header.iter().take(at).any(|other| other == name);
    let mut named = header.iter().enumerate().filter(|(_, name)| !name.is_empty());
    named.find(|(at, name)| before(*at, name)).map(|(_, name)| name)
}
