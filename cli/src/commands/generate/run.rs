//! Reads the prompt, opens model and vectors, and prints one answer, or a plain and a steered one.

use super::config::{Delivery, Generate, PromptForm};
use super::document::document;
use super::printer::Printer;
use crate::commands::answer::{Asked, Reply, Said, SeedIn, answer, request};
use crate::commands::monitors::{Display, Watching};
use crate::commands::opened::Opened;
use crate::commands::vectors::{self, Steering};
use crate::console::Console;
use crate::error::{Error, Result, input_text, read_text};
use crate::flags::answer::Arms;
use std::io::{IsTerminal, Read};
use std::time::Instant;
use trimtab_runtime::Model;
use trimtab_runtime::generate::{Finish, Request};
use trimtab_runtime::printable::Line;
use trimtab_runtime::text::{Message, Special};
use trimtab_server::wire::chat::Logprobs;

pub fn run(plan: &Generate, console: &Console) -> Result<()> {
    // Read first: who forgot the prompt, or named a file that is none, should not wait for the model.
    let (text, how) = (prompt(plan)?, &plan.how);
    let (opened, steering) = vectors::open(&how.opening, &how.vectors, console)?;
    // What is on stdout stays there.
    let watching =
        Watching::open((&how.monitors, how.vectors.dose), &opened, Display::Permanent, console)?;
    // A stream of chunks has no field for the seed.
    let place = match (console.is_json(), plan.delivery) {
        (true, Delivery::Whole | Delivery::ByTerminal) => SeedIn::Document,
        (true, Delivery::Stream) | (false, _) => SeedIn::Stderr,
    };
    let mut request = request(&opened, &how.sampling, place, console)?;
    request.top_logprobs = plan.logprobs.unwrap_or(0);
    let seed = request.seed;
    let tokens = tokens(plan.form, &text, &opened, console)?;
    steering.admit(&tokens)?;
    let printer = Printer::new(plan.delivery, &opened, console);
    let question = match plan.form {
        PromptForm::Message => Some(text.as_str()),
        PromptForm::Raw(_) => None,
    };
    let watching = watching.as_ref();
    let task = Task { opened: &opened, tokens, request, printer, watching, question };

    let (plain, reply) = match how.arms {
        Arms::One => (None, task.heard(&steering, None)?),
        Arms::Both => {
            let plain = task.heard(&Steering::none(), Some(PLAIN))?;
            // Who stopped the first answer does not want the second.
            plain.complete()?;
            task.printer.gap()?;
            (Some(plain), task.heard(&steering, Some(&titled(&steering)))?)
        }
    };
    if let Printer::Document = task.printer {
        let (head, receipt) = (opened.head("generate"), steering.receipt(&reply, seed, &opened));
        let likely = match plan.logprobs {
            None => None,
            Some(most) => Some(Logprobs::of(&reply.answer.steps, opened.model.tokenizer()?, most)),
        };
        let document = document(head, (&reply, seed), receipt, plain.as_ref());
        console.print(&document.with("logprobs", likely))?;
    }
    report(&reply, (&steering, watching), console);
    reply.complete()
}

/// What stands above the answer without steering.
pub const PLAIN: &str = "plain";

/// What stands above the answer with it.
pub fn titled(steering: &Steering) -> String {
    format!("steered: {}", steering.label())
}

/// Tells a person how an answer went.
pub fn report(
    reply: &Reply,
    (steering, watching): (&Steering, Option<&Watching>),
    console: &Console,
) {
    let fired = reply.session.fired();
    if let Some(line) = steering.line(fired) {
        console.note(line);
    }
    for name in steering.idle(fired) {
        console.warn(format!("vector {name} touched no token of this answer"));
    }
    console.note(reply.summary());
    if reply.answer.finish == Finish::ContextFull {
        let limit = reply.session.decoder().context();
        console.note(format!("context is full ({limit} tokens), so the answer ends here"));
    }
    if let (Some(watching), Some(record)) = (watching, &reply.record) {
        watching.tell(record, console);
    }
}

/// A prompt to answer, once or twice.
struct Task<'a> {
    opened: &'a Opened,
    tokens: Vec<u32>,
    request: Request,
    printer: Printer<'a>,
    watching: Option<&'a Watching>,
    /// What the user wants, in words; `None` of a text that is continued.
    question: Option<&'a str>,
}

impl Task<'_> {
    /// The answer under some vectors, printed as it comes.
    fn heard(&self, steering: &Steering, label: Option<&str>) -> Result<Reply> {
        let started = Instant::now();
        let mut session = self.opened.model.session(steering.plan().clone())?;
        session.push_prompt(&self.tokens)?;
        self.printer.begin(label)?;
        let request = self.request.clone();
        let guard = |watching: &Watching| watching.guard(self.question, steering, request.seed);
        let guarded = self.watching.map(guard).transpose()?;
        let show = &mut |said: Said| match said {
            Said::More(text) => self.printer.piece(text),
            // Text is held back until it stays.
            Said::Only(_) => Ok(()),
        };
        let asked = Asked { request, guarded, adapted: None, started };
        let reply = answer(self.opened, session, asked, show)?;
        self.printer.end(&reply)?;
        Ok(reply)
    }
}

fn prompt(plan: &Generate) -> Result<String> {
    match (&plan.prompt, &plan.file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(path)) => Ok(without_break(&read_text(path)?).to_owned()),
        (None, None) => stdin_text(),
    }
}

/// A text without the one line break at its end, which is an editor's or the shell's and not the user's.
fn without_break(text: &str) -> &str {
    text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t)).unwrap_or(text)
}

/// All of standard input.
pub fn stdin_text() -> Result<String> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Error::NoPrompt);
    }
    let mut bytes = Vec::new();
    let read = stdin.read_to_end(&mut bytes);
    read.map_err(|source| Error::Read { path: "standard input".into(), source })?;
    let text = input_text(bytes)?;
    let text = without_break(&text);
    if text.trim().is_empty() {
        return Err(Error::NoPrompt);
    }
    Ok(text.to_owned())
}

/// A text to continue; that it spells control tokens is said where they are not meant.
fn raw(text: &str, special: Special, model: &Model, console: &Console) -> Result<Vec<u32>> {
    let spelled = model.tokenizer()?.spelled_control(text);
    if let Some(token) = spelled.filter(|_| special == Special::Plain) {
        console.note(format!(
            "prompt spells the control token {}, which is read as text; --special reads it as the token",
            Line(token)
        ));
    }
    Ok(model.raw_prompt(text, special)?)
}

fn tokens(form: PromptForm, text: &str, opened: &Opened, console: &Console) -> Result<Vec<u32>> {
    let tokens = match form {
        PromptForm::Message => opened.model.chat_prompt(&[Message::new("user", text)])?,
        PromptForm::Raw(special) => raw(text, special, &opened.model, console)?,
    };
    if tokens.is_empty() {
        let problem = "is empty, and this model has no token to begin with";
        return Err(Error::usage("--prompt", problem));
    }
    console.trace(format!("prompt tokens {tokens:?}"));
    Ok(tokens)
}
