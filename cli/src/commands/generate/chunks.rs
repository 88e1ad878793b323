//! `--json --stream`: one JSON object per line, in the shape of OpenAI's stream chunks.

use crate::commands::answer::Reply;
use crate::console::Console;
use crate::document::Fields;
use crate::error::Result;
use serde::Serialize;
use std::hash::{BuildHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes the chunks of one answer.
pub struct Chunks<'a> {
    id: String,
    created: u64,
    model: &'a str,
    console: &'a Console,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Fields>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    delta: Delta<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

impl<'a> Chunks<'a> {
    /// Of an answer that begins now.
    pub fn new(model: &'a str, console: &'a Console) -> Chunks<'a> {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Chunks {
            id: format!("chatcmpl-{:06x}", random >> 40),
            // A clock before 1970 is wrong anyway.
            created: now.map_or(0, |since| since.as_secs()),
            model,
            console,
        }
    }

    /// Says who speaks.
    pub fn begin(&self) -> Result<()> {
        self.write(Delta { role: Some("assistant"), content: Some("") }, None)
    }

    /// Writes a piece of text.
    pub fn piece(&self, text: &str) -> Result<()> {
        self.write(Delta { content: Some(text), ..Delta::default() }, None)
    }

    /// Says why the answer ended, and its counts.
    pub fn end(&self, reply: &Reply) -> Result<()> {
        self.write(Delta::default(), Some(reply.answer.finish.openai_reason()))?;
        self.print(Vec::new(), Some(reply.usage()))
    }

    fn write(&self, delta: Delta, finish_reason: Option<&'static str>) -> Result<()> {
        self.print(vec![Choice { index: 0, delta, finish_reason }], None)
    }

    fn print(&self, choices: Vec<Choice>, usage: Option<Fields>) -> Result<()> {
        self.console.print(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model,
            choices,
            usage,
        })
    }
}
