//! Opens the model and holds a conversation: one message from a pipe, a script, or lines from a terminal.

use super::args::Chat;
use super::conversation::ChatRoom;
use super::input::{ChatInput, TypedLine};
use super::talk::{Talk, ask_plain, silent};
use super::turns::{ChatTurns, Next};
use super::words::{self, Word};
use crate::commands::answer::{SeedIn, request};
use crate::commands::generate::{document, report, stdin_text};
use crate::commands::monitors::{Display, Watching};
use crate::commands::vectors;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use std::io::IsTerminal;

/// What is said to the model, as far as it is known before the model is open.
enum Words {
    Typed,
    Message(String),
    Script(ChatInput),
}

pub fn run(plan: &Chat, console: &Console) -> Result<()> {
    let words = match &plan.script {
        Some(path) => Words::Script(ChatInput::script(path)?),
        None if std::io::stdin().is_terminal() => Words::Typed,
        None => Words::Message(stdin_text()?),
    };
    if matches!(words, Words::Typed) && console.is_json() {
        return Err(Error::usage("--json", "needs a message on standard input, or --script"));
    }
    let how = &plan.how;
    let (opened, steering) = vectors::open(&how.opening, &how.vectors, console)?;
    let display = match matches!(words, Words::Typed) && std::io::stdout().is_terminal() {
        true => Display::Erasable,
        false => Display::Permanent,
    };
    let watching = Watching::open((&how.monitors, how.vectors.dose), &opened, display, console)?;
    let room = ChatRoom { opened: &opened, watching: watching.as_ref() };
    // A missing template is said before the first message is typed.
    opened.model.template()?;
    let place = if console.is_json() { SeedIn::Document } else { SeedIn::Stderr };
    let request = request(&opened, &how.sampling, place, console)?;
    let seed = request.seed;
    let talk = Talk::new(plan, room, (request, steering), console)?;
    match words {
        Words::Message(message) => one_message(talk, seed, &message, console),
        Words::Script(input) => converse(ChatTurns::new(talk, input, console), seed),
        Words::Typed => {
            let name = opened.model.name();
            console.note(format!("talking with {name}; /help shows what else can be done"));
            converse(ChatTurns::new(talk, ChatInput::Terminal, console), seed)
        }
    }
}

fn one_message(mut talk: Talk<'_>, seed: u64, message: &str, console: &Console) -> Result<()> {
    let ChatRoom { opened, watching } = talk.room;
    let steering = talk.steering.clone();
    if !console.is_json() {
        let reply = talk.ask(message, console)?;
        report(reply, (&steering, watching), console);
        return reply.complete();
    }
    let mut plain = talk.plain.take();
    let plain = match &mut plain {
        None => None,
        Some(plain) => Some(ask_plain(plain, message, &mut silent)?),
    };
    if let Some(plain) = plain {
        plain.complete()?;
    }
    talk.ask_steered(message, &mut silent)?;
    let adapter = talk.adapter_document();
    let reply = talk.steered.past().ok_or(Error::Stopped)?;
    let receipt = steering.receipt(reply, seed, opened);
    let document = document(opened.head("chat"), (reply, seed), receipt, plain);
    console.print(&match adapter {
        None => document,
        Some(adapter) => document.with("adapter", adapter),
    })?;
    report(reply, (&steering, watching), console);
    reply.complete()
}

/// Takes line after line until the end. What a person typed wrong is said, what a script has wrong ends it.
fn converse(mut turns: ChatTurns<'_>, seed: u64) -> Result<()> {
    let console = turns.console;
    loop {
        let line = match turns.input.line(console)? {
            TypedLine::Line(line) => line,
            TypedLine::NotText(error) => {
                console.warn(format!("that line is left out: {error}; type it again"));
                continue;
            }
            TypedLine::End => break,
        };
        match turns.take(&Word::parse(line.trim())) {
            Ok(Next::Line) => {}
            Ok(Next::End) => break,
            Err(error @ Error::Stdout(_)) => return Err(error),
            Err(error) if turns.input.is_script() => return Err(error),
            Err(error) => {
                let (message, hint) = refusal(&error);
                console.fail(&message, hint.as_deref());
            }
        }
    }
    if console.is_json() {
        let head = turns.talk.room.opened.head("chat");
        let document: Fields = head.with("seed", seed).with("turns", &turns.events);
        console.print(&document)?;
    }
    Ok(())
}

/// What a conversation says of an error, and what can be done about it here.
fn refusal(error: &Error) -> (String, Option<String>) {
    if let Error::Runtime(inner) = error
        && let trimtab_runtime::Error::ContextFull { needed, limit } = inner.as_ref()
    {
        let message =
            format!("context is full: the conversation would be {needed} tokens, {limit} fit");
        return (message, Some(words::ROOM.to_owned()));
    }
    (error.to_string(), error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_context_names_what_can_be_typed() {
        let full = trimtab_runtime::Error::ContextFull { needed: 147, limit: 128 };
        let (message, hint) = refusal(&full.into());
        assert_eq!(message, "context is full: the conversation would be 147 tokens, 128 fit");
        let hint = hint.unwrap();
        assert!(hint.contains("/reset") && hint.contains("/undo"), "{hint}");
        let other = refusal(&Error::NoPrompt);
        assert_eq!(other, ("prompt is missing".to_owned(), Error::NoPrompt.hint()));
    }
}
