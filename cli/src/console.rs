//! The two streams: stdout carries the answer and nothing else, stderr everything for people.

use crate::args::{Color, OutputArgs};
use crate::error::{Error, Result};
use crate::plan::Form;
use serde::Serialize;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

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

/// Both streams and how much they carry.
pub struct Console {
    form: Form,
    level: Level,
    paint: Paint,
}

impl Console {
    /// The streams as the output flags want them.
    pub fn new(output: &OutputArgs) -> Console {
        let level = match (output.quiet.is_on(), output.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Normal,
            (false, 1) => Level::Debug,
            (false, _) => Level::Trace,
        };
        #[allow(clippy::disallowed_methods)] // the command line reads the environment
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = match output.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stderr().is_terminal() && !no_color,
        };
        let paint = if colour { Paint::Colour } else { Paint::Plain };
        Console { form: Form::of(output), level, paint }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Whether stderr may be coloured.
    pub fn is_coloured(&self) -> bool {
        self.paint == Paint::Colour
    }

    /// How much more than usual is told: 0, 1 or 2.
    pub fn verbosity(&self) -> u8 {
        match self.level {
            Level::Quiet | Level::Normal => 0,
            Level::Debug => 1,
            Level::Trace => 2,
        }
    }

    /// Whether stages and timings are told.
    pub fn is_quiet(&self) -> bool {
        self.level == Level::Quiet
    }

    /// Writes a piece of the answer, at once.
    pub fn say(&self, text: &str) -> Result<()> {
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
        self.say_line(text.map_err(|e| Error::Stdout(std::io::Error::other(e)))?)
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
        self.tell(Level::Quiet, &format!("{} {text}", self.painted("33", "warning:")));
    }

    /// Says what went wrong and what to do, quiet or not.
    pub fn fail(&self, message: &str, hint: Option<&str>) {
        self.tell(Level::Quiet, &format!("{} {message}", self.painted("31", "error:")));
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
        if level <= self.level {
            // Nobody can be told that stderr is closed.
            writeln!(std::io::stderr(), "{text}").ok();
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        match self.paint {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
