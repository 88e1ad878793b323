//! Rows of a capture: texts and conversations of a JSON Lines file, or token ids.

use crate::error::{Error, Result, read_text};
use crate::plan::Rows;
use serde::Deserialize;
use std::path::Path;
use trimtab_runtime::text::{GenerationPrompt, Message, RenderOptions, Special};
use trimtab_runtime::{Error as Runtime, Model};

/// A row before it is tokens.
pub enum Entry {
    /// Tokens already.
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

/// Reads every row.
pub fn read(rows: &Rows) -> Result<Vec<Entry>> {
    match rows {
        Rows::Ids(ids) => Ok(vec![Entry::Ids(ids.clone())]),
        Rows::File { path, special } => {
            let text = read_text(path)?;
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines.map(|(at, line)| entry(line, *special).map_err(at_line(path, at + 1))).collect()
        }
    }
}

fn at_line(path: &Path, line: usize) -> impl FnOnce(String) -> Error {
    let path = path.to_owned();
    move |problem| Error::Line { path, line, problem }
}

fn entry(line: &str, special: Special) -> Result<Entry, String> {
    let line: Line = serde_json::from_str(line)
        .map_err(|e| format!("is not an object of the right form: {e}"))?;
    match (line.text, line.messages) {
        (Some(text), None) => Ok(Entry::Text(text, special)),
        (None, Some(messages)) => {
            let messages = messages.into_iter().map(|said| Message::new(said.role, said.content));
            Ok(Entry::Conversation(messages.collect()))
        }
        _ => Err("needs either text or messages".to_owned()),
    }
}

/// Every row as tokens. A text begins with BOS where the model wants one.
pub fn tokens(entries: Vec<Entry>, model: &Model) -> Result<Vec<Vec<u32>>> {
    let render =
        RenderOptions { generation_prompt: GenerationPrompt::Leave, ..RenderOptions::default() };
    let tokens = |entry: Entry| match entry {
        Entry::Ids(ids) => Ok(ids),
        Entry::Text(text, special) => {
            let tokenizer = model.tokenizer()?;
            Ok(tokenizer.with_bos(tokenizer.encode(&text, special).map_err(Runtime::from)?))
        }
        Entry::Conversation(messages) => {
            let rendered = model.template()?.render(&messages, &render).map_err(Runtime::from)?;
            Ok(model.tokenizer()?.encode_rendered(&rendered).map_err(Runtime::from)?)
        }
    };
    entries.into_iter().map(tokens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_one_thing() {
        let read = |line| entry(line, Special::Plain);
        assert!(matches!(read(r#"{"text":"a"}"#), Ok(Entry::Text(text, _)) if text == "a"));
        let talk = r#"{"messages":[{"role":"user","content":"a"}]}"#;
        assert!(matches!(read(talk), Ok(Entry::Conversation(m)) if m.len() == 1));
        for bad in
            ["", "[]", "{}", r#"{"text":"a","messages":[]}"#, r#"{"txt":"a"}"#, r#"{"text":1}"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
