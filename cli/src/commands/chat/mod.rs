//! `chat`: a conversation on a terminal, or one message from a pipe.

mod conversation;
mod words;

use super::answer::{SeedIn, request};
use super::generate::{Document, stdin_text};
use super::opened::{Opened, open};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::plan::Chat;
use conversation::Conversation;
use std::io::IsTerminal;
use words::Word;

/// Talks.
pub fn run(plan: &Chat, console: &Console) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        let message = stdin_text()?;
        let opened = open(&plan.opening, console)?;
        return one_message(plan, &opened, &message, console);
    }
    if console.is_json() {
        return Err(Error::usage("--json", "needs a message on standard input"));
    }
    let opened = open(&plan.opening, console)?;
    // A missing template is said before the first message is typed.
    opened.model.template()?;
    talk(plan, &opened, console)
}

fn one_message(plan: &Chat, opened: &Opened, message: &str, console: &Console) -> Result<()> {
    let place = if console.is_json() { SeedIn::Document } else { SeedIn::Stderr };
    let request = request(opened, &plan.sampling, place, console)?;
    let seed = request.seed;
    let mut conversation = Conversation::new(opened, request, plan.system.as_deref());
    let reply = if console.is_json() {
        let reply = conversation.ask(message, &mut |_| Ok(()))?;
        console.print(&Document::new(opened.head("chat"), &reply, seed))?;
        reply
    } else {
        let reply = conversation.ask(message, &mut |text| console.say(text))?;
        console.say("\n")?;
        reply
    };
    console.note(reply.summary());
    reply.complete()
}

fn talk(plan: &Chat, opened: &Opened, console: &Console) -> Result<()> {
    let request = request(opened, &plan.sampling, SeedIn::Stderr, console)?;
    let mut conversation = Conversation::new(opened, request, plan.system.as_deref());
    console
        .note(format!("talking with {}; /help shows what else can be done", opened.model.name()));
    loop {
        console.ask();
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        if read.map_err(|source| Error::Read { path: "standard input".into(), source })? == 0 {
            return Ok(());
        }
        match Word::parse(line.trim()) {
            Word::Nothing => {}
            Word::Exit => return Ok(()),
            Word::Help => console.say_line(words::HELP)?,
            Word::Reset => conversation.reset(),
            Word::Undo => match conversation.undo() {
                Some(message) => console.note(format!("taken back: {message}")),
                None => console.note("nothing to take back"),
            },
            Word::Unknown(word) => {
                console.warn(format!("{word} is not known, /help shows what is"))
            }
            Word::Message(message) => match conversation.ask(message, &mut |t| console.say(t)) {
                Ok(reply) => {
                    console.say("\n")?;
                    console.note(reply.summary());
                }
                Err(error @ Error::Stdout(_)) => return Err(error),
                Err(error) => console.fail(&error.to_string(), error.hint().as_deref()),
            },
        }
    }
}
