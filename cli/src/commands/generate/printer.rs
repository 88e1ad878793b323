//! How an answer reaches stdout.

use super::chunks::Chunks;
use super::config::Delivery;
use crate::commands::answer::Reply;
use crate::commands::opened::Opened;
use crate::console::Console;
use crate::error::Result;
use std::io::IsTerminal;

/// How an answer reaches stdout.
pub enum Printer<'a> {
    /// As JSON Lines.
    Chunks(Chunks<'a>),
    /// As it comes.
    Pieces(&'a Console),
    /// When it is complete.
    Whole(&'a Console),
    /// In a document that is printed when everything is done.
    Document,
}

impl<'a> Printer<'a> {
    /// What was asked for.
    pub fn new(delivery: Delivery, opened: &'a Opened, console: &'a Console) -> Printer<'a> {
        let streams = match delivery {
            Delivery::Stream => true,
            Delivery::Whole => false,
            Delivery::ByTerminal => std::io::stdout().is_terminal(),
        };
        match (streams, console.is_json()) {
            (true, true) => Printer::Chunks(Chunks::new(opened.model.name(), console)),
            (true, false) => Printer::Pieces(console),
            (false, false) => Printer::Whole(console),
            (false, true) => Printer::Document,
        }
    }

    /// Begins an answer, which has a label if there are several.
    pub fn begin(&self, label: Option<&str>) -> Result<()> {
        match (self, label) {
            (Printer::Chunks(chunks), _) => chunks.begin(),
            (Printer::Pieces(console) | Printer::Whole(console), Some(label)) => {
                console.say_line(console.titled(label))
            }
            (Printer::Pieces(_) | Printer::Whole(_), None) | (Printer::Document, _) => Ok(()),
        }
    }

    /// Leaves a line between two answers.
    pub fn gap(&self) -> Result<()> {
        match self {
            Printer::Pieces(console) | Printer::Whole(console) => console.say("\n"),
            Printer::Chunks(_) | Printer::Document => Ok(()),
        }
    }

    /// Takes a piece of the answer.
    pub fn piece(&self, text: &str) -> Result<()> {
        match self {
            Printer::Chunks(chunks) => chunks.piece(text),
            Printer::Pieces(console) => console.say(text),
            Printer::Whole(_) | Printer::Document => Ok(()),
        }
    }

    /// Ends the answer.
    pub fn end(&self, reply: &Reply) -> Result<()> {
        match self {
            Printer::Chunks(chunks) => chunks.end(reply),
            Printer::Pieces(console) => console.say("\n"),
            Printer::Whole(console) => console.say_line(&reply.answer.text),
            Printer::Document => Ok(()),
        }
    }
}
