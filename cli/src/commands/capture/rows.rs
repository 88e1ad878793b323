//! Rows of a capture: texts and conversations of a JSON Lines file, or token ids.

use super::config::Rows;
use crate::error::{Error, Result, read_data};
use serde::Deserialize;
use std::path::Path;
use trimtab_runtime::filetype;
use trimtab_runtime::text::{GenerationPrompt, Message, RenderOptions, Special};
use trimtab_runtime::{Error as Runtime, Model};
use trimtab_steering::file::said;

/// A row before it is tokens, and its line in the file.
pub struct Entry {
    line: usize,
    row: Row,
}

/// What a row is made of.
enum Row {
    Ids(Vec<u32>),
    /// A text, and what control tokens in it are.
    Text(String, Special),
    /// A conversation, rendered by the template and ending with its last message.
    Conversation(Vec<Message>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: Option<String>,
    messages: Option<Vec<Said>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    role: String,
    content: String,
}

pub fn read(rows: &Rows) -> Result<Vec<Entry>> {
    match rows {
        Rows::Ids(ids) => Ok(vec![Entry { line: 1, row: Row::Ids(ids.clone()) }]),
        Rows::File { path, special } => {
            let text = read_data(path)?;
            let lines = filetype::lines(&text).filter(|(_, line)| !line.trim().is_empty());
            let entry = |(line, text)| match row(text, *special) {
                Ok(row) => Ok(Entry { line, row }),
                Err(problem) => Err(at_line(path, line)(problem)),
            };
            let entries: Vec<Entry> = lines.map(entry).collect::<Result<_>>()?;
            match entries.is_empty() {
                true => Err(at_line(path, 1)("is missing: the file holds no row".to_owned())),
                false => Ok(entries),
            }
        }
    }
}

fn at_line(path: &Path, line: usize) -> impl FnOnce(String) -> Error {
    let path = path.to_owned();
    move |problem| Error::Line { path, line, problem }
}

fn row(line: &str, special: Special) -> Result<Row, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| {
        // The parser counts lines within this one.
        let (problem, _) = said(&e);
        format!("is not an object of the right form: {problem}")
    })?;
    match (line.text, line.messages) {
        (Some(text), None) => Ok(Row::Text(text, special)),
        (None, Some(messages)) => {
            let messages = messages.into_iter().map(|said| Message::new(said.role, said.content));
            Ok(Row::Conversation(messages.collect()))
        }
        _ => Err("needs either text or messages".to_owned()),
    }
}

/// Every row as tokens, of which each has some and no more than the model holds. A text begins with BOS where the model
/// wants one.
pub fn tokens(rows: &Rows, entries: Vec<Entry>, model: &Model) -> Result<Vec<Vec<u32>>> {
    let render =
        RenderOptions { generation_prompt: GenerationPrompt::Leave, ..RenderOptions::default() };
    let tokens = |row: Row| -> Result<Vec<u32>> {
        match row {
            Row::Ids(ids) => Ok(ids),
            Row::Text(text, special) => {
                let tokenizer = model.tokenizer()?;
                Ok(tokenizer.with_bos(tokenizer.encode(&text, special).map_err(Runtime::from)?))
            }
            Row::Conversation(messages) => {
                let rendered =
                    model.template()?.render(&messages, &render).map_err(Runtime::from)?;
                Ok(model.tokenizer()?.encode_rendered(&rendered).map_err(Runtime::from)?)
            }
        }
    };
    let limit = model.decoder().context();
    let checked = |Entry { line, row }| -> Result<Vec<u32>> {
        let tokens = tokens(row)?;
        let problem = match tokens.len() {
            0 => "has no token".to_owned(),
            long if long > limit => format!("has {long} tokens, the context holds {limit}"),
            _ => return Ok(tokens),
        };
        match rows {
            Rows::File { path, .. } => Err(at_line(path, line)(problem)),
            Rows::Ids(_) => Err(Error::usage("--token-ids", problem)),
        }
    };
    entries.into_iter().map(checked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_one_thing() {
        let read = |line| row(line, Special::Plain);
        assert!(matches!(read(r#"{"text":"a"}"#), Ok(Row::Text(text, _)) if text == "a"));
        let talk = r#"{"messages":[{"role":"user","content":"a"}]}"#;
        assert!(matches!(read(talk), Ok(Row::Conversation(m)) if m.len() == 1));
        for bad in
            ["", "[]", "{}", r#"{"text":"a","messages":[]}"#, r#"{"txt":"a"}"#, r#"{"text":1}"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
