//! Reads messages from a terminal or one from a pipe, answers each, and does the commands that begin with a slash.

use super::args::Chat;
use super::conversation::Conversation;
use super::words::{self, Word};
use crate::commands::answer::{Reply, Said, SeedIn, request};
use crate::commands::generate::{PLAIN, document, report, stdin_text, titled};
use crate::commands::monitors::{Display, Watching};
use crate::commands::opened::Opened;
use crate::commands::vectors::{self, Steering};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::answer::Arms;
use std::io::{BufRead, IsTerminal};
use trimtab_runtime::filetype::{self, NotText};
use trimtab_runtime::generate::{Finish, Request};
use trimtab_runtime::session::History;

pub fn run(plan: &Chat, console: &Console) -> Result<()> {
    let piped = !std::io::stdin().is_terminal();
    let message = if piped { Some(stdin_text()?) } else { None };
    if message.is_none() && console.is_json() {
        return Err(Error::usage("--json", "needs a message on standard input"));
    }
    let how = &plan.how;
    let (opened, steering) = vectors::open(&how.opening, &how.vectors, console)?;
    let display = match message.is_none() && std::io::stdout().is_terminal() {
        true => Display::Erasable,
        false => Display::Permanent,
    };
    let watching = Watching::open((&how.monitors, how.vectors.dose), &opened, display, console)?;
    let opened = Room { opened: &opened, watching: watching.as_ref() };
    match message {
        Some(message) => one_message(plan, opened, &steering, (&message, console)),
        None => {
            // A missing template is said before the first message is typed.
            opened.opened.model.template()?;
            talk(plan, opened, steering, console)
        }
    }
}

/// Where conversations are held.
#[derive(Clone, Copy)]
struct Room<'a> {
    opened: &'a Opened,
    watching: Option<&'a Watching>,
}

/// The conversations that a message goes to.
struct Talk<'a> {
    /// The one without steering, where both are heard.
    plain: Option<Conversation<'a>>,
    steered: Conversation<'a>,
}

impl<'a> Talk<'a> {
    fn new(plan: &Chat, room: Room<'a>, request: Request, steering: &Steering) -> Talk<'a> {
        let one = |under: &Steering| {
            let place = (room.opened, room.watching);
            Conversation::new(place, request.clone(), plan.system.as_deref(), under)
        };
        let plain = match plan.how.arms {
            Arms::One => None,
            Arms::Both => Some(one(&Steering::none())),
        };
        Talk { plain, steered: one(steering) }
    }

    /// Says something in every conversation and prints the answers as they come.
    fn ask(&mut self, text: &str, steering: &Steering, console: &Console) -> Result<&Reply> {
        let show = &mut |said: Said| match said {
            Said::More(text) => console.say(text),
            // A terminal cannot be unwritten: what stays is written again.
            Said::Only(kept) => {
                console.tell_always("");
                console.tell_always("(taken back)");
                console.say(kept)
            }
        };
        if let Some(plain) = &mut self.plain {
            console.say_line(console.titled(PLAIN))?;
            let stopped = plain.ask(text, show)?.complete();
            console.say("\n\n")?;
            if let Err(error) = stopped {
                // The other conversation never heard it, so this one forgets it.
                plain.undo();
                return Err(error);
            }
            console.say_line(console.titled(&titled(steering)))?;
        }
        let reply = self.steered.ask(text, show);
        if reply.is_err()
            && let Some(plain) = &mut self.plain
        {
            plain.undo();
        }
        let reply = reply?;
        console.say("\n")?;
        Ok(reply)
    }

    /// What the user had said last, taken back.
    fn undo(&mut self) -> Option<String> {
        self.plain.as_mut().and_then(Conversation::undo);
        self.steered.undo()
    }

    fn reset(&mut self) {
        self.plain.iter_mut().for_each(Conversation::reset);
        self.steered.reset();
    }
}

fn one_message(
    plan: &Chat,
    room: Room<'_>,
    steering: &Steering,
    (message, console): (&str, &Console),
) -> Result<()> {
    let place = if console.is_json() { SeedIn::Document } else { SeedIn::Stderr };
    let opened = room.opened;
    let request = request(opened, &plan.how.sampling, place, console)?;
    let seed = request.seed;
    let mut talk = Talk::new(plan, room, request, steering);
    if !console.is_json() {
        let reply = talk.ask(message, steering, console)?;
        report(reply, (steering, room.watching), console);
        return reply.complete();
    }
    let silent = &mut |_: Said| Ok(());
    let plain = match &mut talk.plain {
        None => None,
        Some(plain) => Some(plain.ask(message, silent)?),
    };
    if let Some(plain) = plain {
        plain.complete()?;
    }
    let reply = talk.steered.ask(message, silent)?;
    let receipt = steering.receipt(reply, seed, opened);
    let document = document(opened.head("chat"), (reply, seed), receipt, plain);
    console.print(&document)?;
    report(reply, (steering, room.watching), console);
    reply.complete()
}

fn talk(plan: &Chat, room: Room<'_>, mut steering: Steering, console: &Console) -> Result<()> {
    let opened = room.opened;
    let request = request(opened, &plan.how.sampling, SeedIn::Stderr, console)?;
    let mut talk = Talk::new(plan, room, request, &steering);
    console
        .note(format!("talking with {}; /help shows what else can be done", opened.model.name()));
    loop {
        console.ask();
        let line = match typed(&mut std::io::stdin().lock())? {
            Typed::Line(line) => line,
            Typed::NotText(error) => {
                console.warn(format!("that line is left out: {error}; type it again"));
                continue;
            }
            Typed::End => return Ok(()),
        };
        match Word::parse(line.trim()) {
            Word::Nothing => {}
            Word::Exit => return Ok(()),
            Word::Help => console.say_line(words::HELP)?,
            Word::Reset => talk.reset(),
            Word::Undo => match talk.undo() {
                Some(message) => console.note(format!("taken back: {message}")),
                None => console.note("nothing to take back"),
            },
            Word::Unknown(word) => {
                console.warn(format!("{word} is not known, /help shows what is"))
            }
            Word::Vectors if steering.is_empty() => console.note("no vector; --steer gives one"),
            Word::Vectors => console.note(steering.label()),
            Word::Steer(name, scale, history) => {
                turn(&mut talk, &mut steering, (name, scale, history), console);
            }
            Word::Message(message) => match talk.ask(message, &steering, console) {
                Ok(reply) => {
                    report(reply, (&steering, room.watching), console);
                    if reply.answer.finish == Finish::ContextFull {
                        console.note(words::ROOM);
                    }
                }
                Err(error @ Error::Stdout(_)) => return Err(error),
                Err(error) => {
                    let (message, hint) = refusal(&error);
                    console.fail(&message, hint.as_deref());
                }
            },
        }
    }
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

/// What a person typed.
#[derive(Debug)]
enum Typed {
    Line(String),
    /// Bytes that are no text, as another encoding's; only they are lost.
    NotText(NotText),
    End,
}

fn typed(input: &mut impl BufRead) -> Result<Typed> {
    let mut bytes = Vec::new();
    let read = input.read_until(b'\n', &mut bytes);
    let read = read.map_err(|source| Error::Read { path: "standard input".into(), source })?;
    Ok(match (read, filetype::text(bytes)) {
        (0, _) => Typed::End,
        (_, Ok(line)) => Typed::Line(line),
        (_, Err(error)) => Typed::NotText(error),
    })
}

/// Another scale for one vector, from the next message on. A refusal changes nothing.
fn turn(
    talk: &mut Talk<'_>,
    steering: &mut Steering,
    (name, scale, history): (&str, f32, History),
    console: &Console,
) {
    match steering.rescaled(name, scale) {
        Ok(changed) => {
            changed.tell_again(console);
            talk.steered.replan(&changed, history);
            *steering = changed;
            let past = match history {
                History::Recompute => "the conversation is read again with it",
                History::Keep => "what was read stays as it was read",
            };
            console.note(format!("{}; {past}", steering.label()));
        }
        Err(error) => console.fail(&error.to_string(), error.hint().as_deref()),
    }
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

    #[test]
    fn a_line_that_is_no_text_does_not_end_a_conversation() {
        let mut input = &b"\xef\xbb\xbfhi\r\n\xff\xfe x\nbye"[..];
        let mut next = || typed(&mut input).unwrap();
        assert!(matches!(next(), Typed::Line(line) if line == "hi\r\n"));
        assert!(matches!(next(), Typed::NotText(_)));
        assert!(matches!(next(), Typed::Line(line) if line == "bye"));
        assert!(matches!(next(), Typed::End));
    }
}
