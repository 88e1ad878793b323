//! `generate`: one prompt, one answer.

mod chunks;
mod logprobs;

use super::answer::{Reply, SeedIn, Timings, Usage, answer, request};
use super::opened::{Opened, open};
use crate::console::Console;
use crate::document::{Head, NO_STEERING};
use crate::error::{Error, Result, read_text};
use crate::plan::{Delivery, Generate, Prompt, PromptForm};
use chunks::Chunks;
use logprobs::Logprobs;
use serde::Serialize;
use std::io::{IsTerminal, Read};
use std::time::Instant;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;

/// The document of an answer.
#[derive(Serialize)]
pub struct Document<'a> {
    #[serde(flatten)]
    head: Head,
    text: &'a str,
    reasoning: Option<()>,
    finish_reason: &'static str,
    seed: u64,
    usage: Usage,
    timings: Timings,
    steering: Option<()>,
    plain: Option<()>,
    logprobs: Option<Logprobs>,
}

impl<'a> Document<'a> {
    /// Of a reply.
    pub fn new(head: Head, reply: &'a Reply, seed: u64) -> Document<'a> {
        Document {
            head,
            text: &reply.answer.text,
            reasoning: None,
            finish_reason: reply.answer.finish.openai_reason(),
            seed,
            usage: reply.usage(),
            timings: reply.timings.clone(),
            steering: NO_STEERING,
            plain: None,
            logprobs: None,
        }
    }
}

/// Answers one prompt.
pub fn run(plan: &Generate, console: &Console) -> Result<()> {
    // Read first: who forgot the prompt should not wait for the model.
    let text = prompt(&plan.prompt)?;
    let opened = open(&plan.opening, console)?;
    // A stream of chunks has no field for the seed.
    let place = match (console.is_json(), plan.delivery) {
        (true, Delivery::Whole | Delivery::ByTerminal) => SeedIn::Document,
        (true, Delivery::Stream) | (false, _) => SeedIn::Stderr,
    };
    let mut request = request(&opened, &plan.sampling, place, console)?;
    request.top_logprobs = plan.logprobs.unwrap_or(0);
    let (started, seed) = (Instant::now(), request.seed);
    let mut session = opened.model.session(Plan::empty())?;
    session.push_prompt(&tokens(plan.form, &text, &opened, console)?)?;

    let mut printer = Printer::new(plan.delivery, &opened, console);
    printer.begin()?;
    let reply = answer(&opened, session, request, started, &mut |text| printer.piece(text))?;
    match printer {
        Printer::Chunks(chunks) => chunks.end(&reply)?,
        Printer::Pieces(_) => console.say("\n")?,
        Printer::Whole if console.is_json() => {
            let mut document = Document::new(opened.head("generate"), &reply, seed);
            document.logprobs = match plan.logprobs {
                None => None,
                Some(_) => Some(Logprobs::of(&reply.answer, opened.model.tokenizer()?)),
            };
            console.print(&document)?;
        }
        Printer::Whole => console.say_line(&reply.answer.text)?,
    }
    console.note(reply.summary());
    reply.complete()
}

fn prompt(prompt: &Prompt) -> Result<String> {
    match prompt {
        Prompt::Text(text) => Ok(text.clone()),
        Prompt::File(path) => read_text(path),
        Prompt::Stdin => stdin_text(),
    }
}

/// All of standard input; one line break at its end is the shell's, not the user's.
pub fn stdin_text() -> Result<String> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Error::NoPrompt);
    }
    let mut text = String::new();
    let read = stdin.read_to_string(&mut text);
    read.map_err(|source| Error::Read { path: "standard input".into(), source })?;
    let text = text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t)).unwrap_or(&text);
    if text.trim().is_empty() {
        return Err(Error::NoPrompt);
    }
    Ok(text.to_owned())
}

fn tokens(form: PromptForm, text: &str, opened: &Opened, console: &Console) -> Result<Vec<u32>> {
    let tokens = match form {
        PromptForm::Message => opened.model.chat_prompt(&[Message::new("user", text)])?,
        PromptForm::Raw => opened.model.text_prompt(text)?,
    };
    console.trace(format!("prompt tokens {tokens:?}"));
    Ok(tokens)
}

/// How the answer reaches stdout.
enum Printer<'a> {
    Chunks(Chunks<'a>),
    Pieces(&'a Console),
    Whole,
}

impl<'a> Printer<'a> {
    fn new(delivery: Delivery, opened: &'a Opened, console: &'a Console) -> Printer<'a> {
        let streams = match delivery {
            Delivery::Stream => true,
            Delivery::Whole => false,
            Delivery::ByTerminal => std::io::stdout().is_terminal(),
        };
        match (streams, console.is_json()) {
            (true, true) => Printer::Chunks(Chunks::new(opened.model.name(), console)),
            (true, false) => Printer::Pieces(console),
            (false, _) => Printer::Whole,
        }
    }

    fn begin(&self) -> Result<()> {
        match self {
            Printer::Chunks(chunks) => chunks.begin(),
            Printer::Pieces(_) | Printer::Whole => Ok(()),
        }
    }

    fn piece(&mut self, text: &str) -> Result<()> {
        match self {
            Printer::Chunks(chunks) => chunks.piece(text),
            Printer::Pieces(console) => console.say(text),
            Printer::Whole => Ok(()),
        }
    }
}
