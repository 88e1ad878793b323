//! The two streams: stdout carries the answer and nothing else, stderr everything for people.
//!
//! What is said comes from files and models too. On stderr each message is one line, whatever it quotes; on a terminal
//! an answer keeps its line breaks and tabs, and other control characters are written out. A pipe or a file gets an
//! answer's bytes as they are.

use crate::args::OutputArgs;
use crate::error::{Error, Result};
use clap::ColorChoice;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use trimtab_runtime::printable::{Line, Lines, is_hidden};

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quiet,
    Normal,
    Debug,
    Trace,
}

/// Whether escape bytes may be written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Colour,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

impl Form {
    /// The form that the output flags ask for.
    pub fn of(output: &OutputArgs) -> Form {
        if output.json { Form::Json } else { Form::Text }
    }
}

/// Both streams and how much they carry.
pub struct Console {
    form: Form,
    level: Level,
    paint: Paint,
    /// Set once stdout is where a result goes that is no text.
    stdout: OnceLock<Left>,
}

/// Stdout was left to a result.
#[derive(Debug)]
struct Left;

impl Console {
    /// The streams as the output flags want them.
    pub fn new(output: &OutputArgs) -> Console {
        let level = match (output.quiet, output.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Normal,
            (false, 1) => Level::Debug,
            (false, _) => Level::Trace,
        };
        #[allow(clippy::disallowed_methods)] // the command line reads the environment
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = match output.color {
            ColorChoice::Auto => std::io::stderr().is_terminal() && !no_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let paint = if colour { Paint::Colour } else { Paint::Plain };
        Console { form: Form::of(output), level, paint, stdout: OnceLock::new() }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Whether stderr may be coloured.
    pub fn is_coloured(&self) -> bool {
        self.paint == Paint::Colour
    }

    /// How much a log tells, as logs name it.
    pub fn log_level(&self) -> &'static str {
        match self.level {
            Level::Quiet => "error",
            Level::Normal => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// Whether stages and timings are told.
    pub fn is_quiet(&self) -> bool {
        self.level == Level::Quiet
    }

    /// Leaves stdout to a result that is written there: what is said goes to stderr from now on.
    pub fn leave_stdout(&self) {
        // Leaving it twice leaves it.
        self.stdout.set(Left).ok();
    }

    /// Writes a piece of the answer, at once.
    pub fn say(&self, text: &str) -> Result<()> {
        let text = self.shown(text);
        if self.stdout.get().is_some() {
            // That stderr is closed cannot be said anywhere.
            write!(std::io::stderr(), "{text}").ok();
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Stdout)
    }

    /// Writes a line of the answer.
    pub fn say_line(&self, line: impl Display) -> Result<()> {
        self.say(&format!("{line}\n"))
    }

    /// Writes a JSON document on a line of its own.
    pub fn print(&self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(document);
        let text = text.map_err(|e| Error::Stdout(std::io::Error::other(e)))?;
        self.say_line(Document(&text))
    }

    /// Tells a person something, unless they want quiet.
    pub fn note(&self, text: impl Display) {
        self.tell(Level::Normal, &text.to_string());
    }

    /// Tells a person something that even quiet does not silence.
    pub fn tell_always(&self, text: impl Display) {
        self.tell(Level::Quiet, &text.to_string());
    }

    /// Tells a curious person something.
    pub fn debug(&self, text: impl Display) {
        self.tell(Level::Debug, &text.to_string());
    }

    /// Tells a person who wants everything something.
    pub fn trace(&self, text: impl Display) {
        self.tell(Level::Trace, &text.to_string());
    }

    /// Warns, quiet or not.
    pub fn warn(&self, text: impl Display) {
        let word = format!("{} ", self.painted("33", "warning:"));
        self.tell_as(Level::Quiet, &word, &text.to_string());
    }

    /// Says what went wrong and what to do, quiet or not.
    pub fn fail(&self, message: &str, hint: Option<&str>) {
        let word = format!("{} ", self.painted("31", "error:"));
        // A list stands on lines of its own, set in, so that text of a file begins no line of ours.
        let (first, list) = message.split_once(LIST).unwrap_or((message, ""));
        self.tell_as(Level::Quiet, &word, first);
        let list = list.split(LIST).filter(|line| !line.is_empty());
        list.for_each(|line| self.tell_as(Level::Quiet, "  ", line));
        if let Some(hint) = hint {
            self.tell(Level::Quiet, &format!("hint: {hint}"));
        }
    }

    /// A title above one of several answers.
    pub fn titled(&self, title: &str) -> String {
        format!("[{title}]")
    }

    /// Asks for a line of a conversation.
    pub fn ask(&self) {
        // A closed stderr loses the prompt mark, not the conversation.
        write!(std::io::stderr(), "{} ", self.painted("32", ">")).ok();
        std::io::stderr().flush().ok();
    }

    fn tell(&self, level: Level, text: &str) {
        self.tell_as(level, "", text);
    }

    /// A message on one line behind a word of ours.
    fn tell_as(&self, level: Level, word: &str, text: &str) {
        if level <= self.level {
            // That stderr is closed cannot be said anywhere.
            writeln!(std::io::stderr(), "{word}{}", Line(text)).ok();
        }
    }

    /// An answer as a terminal may have it, and as it is elsewhere.
    fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let to_terminal = match self.stdout.get() {
            None => std::io::stdout().is_terminal(),
            Some(Left) => std::io::stderr().is_terminal(),
        };
        match to_terminal && text.chars().any(is_hidden) {
            true => Cow::Owned(Lines(text).to_string()),
            false => Cow::Borrowed(text),
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        match self.paint {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// What is before each line of a list in a message.
const LIST: &str = "\n  ";

/// A JSON document whose strings hold no character that a terminal acts on: JSON has escapes for them.
struct Document<'a>(&'a str);

impl Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            // Outside of strings a document in one line holds none, and all of them are in the basic plane.
            match is_hidden(c) {
                true => write!(f, "\\u{:04x}", u32::from(c))?,
                false => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_the_same_without_hidden_characters() {
        let said = "a\u{9b}31m\u{202e}b\n\u{7f}ü";
        let text = Document(&serde_json::to_string(said).unwrap()).to_string();
        assert_eq!(text, "\"a\\u009b31m\\u202eb\\n\\u007fü\"");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), said);
    }
}
