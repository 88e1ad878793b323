//! Lines of a conversation, from a terminal or from a script.

use super::words::goes_on;
use crate::commands::generate::stdin_text;
use crate::console::Console;
use crate::error::{Error, Result, read_text};
use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;
use trimtab_runtime::filetype::{self, NotText};

/// Where the lines of a conversation come from.
pub enum ChatInput {
    /// Typed; what is refused is said, and the conversation goes on.
    Terminal,
    /// Written beforehand; what is refused ends it.
    Script(VecDeque<String>),
}

/// A line of a conversation.
#[derive(Debug)]
pub enum TypedLine {
    Line(String),
    /// Bytes that are no text, as another encoding's; only they are lost.
    NotText(NotText),
    End,
}

impl ChatInput {
    /// The lines of a file; `-` is standard input.
    pub fn script(path: &Path) -> Result<ChatInput> {
        let text = if path == Path::new("-") { stdin_text()? } else { read_text(path)? };
        Ok(ChatInput::Script(text.lines().map(str::to_owned).collect()))
    }

    /// Whether it was written beforehand.
    pub fn is_script(&self) -> bool {
        matches!(self, ChatInput::Script(_))
    }

    /// The next line, with those that it goes on in.
    pub fn line(&mut self, console: &Console) -> Result<TypedLine> {
        let mut whole = String::new();
        loop {
            let line = match self.one(console)? {
                TypedLine::Line(line) => line,
                TypedLine::End if !whole.is_empty() => return Ok(TypedLine::Line(whole)),
                other => return Ok(other),
            };
            whole.push_str(line.trim_end_matches(['\n', '\r']));
            if !goes_on(&whole) {
                return Ok(TypedLine::Line(whole));
            }
            whole.pop();
            whole.push('\n');
        }
    }

    fn one(&mut self, console: &Console) -> Result<TypedLine> {
        match self {
            ChatInput::Terminal => {
                console.ask();
                typed(&mut std::io::stdin().lock())
            }
            ChatInput::Script(lines) => {
                let Some(line) = lines.pop_front() else { return Ok(TypedLine::End) };
                console.note(format!("> {line}"));
                Ok(TypedLine::Line(line))
            }
        }
    }
}

fn typed(input: &mut impl BufRead) -> Result<TypedLine> {
    let mut bytes = Vec::new();
    let read = input.read_until(b'\n', &mut bytes);
    let read = read.map_err(|source| Error::Read { path: "standard input".into(), source })?;
    Ok(match (read, filetype::text(bytes)) {
        (0, _) => TypedLine::End,
        (_, Ok(line)) => TypedLine::Line(line),
        (_, Err(error)) => TypedLine::NotText(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_text_does_not_end_a_conversation() {
        let mut input = &b"\xef\xbb\xbfhi\r\n\xff\xfe x\nbye"[..];
        let mut next = || typed(&mut input).unwrap();
        assert!(matches!(next(), TypedLine::Line(line) if line == "hi\r\n"));
        assert!(matches!(next(), TypedLine::NotText(_)));
        assert!(matches!(next(), TypedLine::Line(line) if line == "bye"));
        assert!(matches!(next(), TypedLine::End));
    }
}
