//! Turn after turn of a conversation: what each typed line does, and what is told of it.

use super::chat_adapter::{ChatAdapter, TypedJudgement};
use super::conversation::Conversation;
use super::duel::{QUESTION, vote};
use super::input::{ChatInput, TypedLine};
use super::lesson_line::{lesson_hint, lesson_line};
use super::talk::{Talk, silent};
use super::words::{self, TeachWord, Word};
use crate::commands::adapters::tables::versions;
use crate::commands::generate::report;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use trimtab_adapters::host::{DuelVote, FeedbackReport, FeedbackStatus, Remark, Thumb};
use trimtab_runtime::generate::Finish;
use trimtab_runtime::session::History;
use trimtab_runtime::text::Special;

/// Whether more lines are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Line,
    End,
}

/// How the next message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answering {
    Once,
    /// Twice, to choose from.
    Duel,
}

/// A conversation and where its lines come from.
pub struct ChatTurns<'a> {
    pub talk: Talk<'a>,
    pub input: ChatInput,
    pub console: &'a Console,
    /// What happened, for the document.
    pub events: Vec<Fields>,
    answering: Answering,
}

impl<'a> ChatTurns<'a> {
    pub fn new(talk: Talk<'a>, input: ChatInput, console: &'a Console) -> ChatTurns<'a> {
        ChatTurns { talk, input, console, events: Vec::new(), answering: Answering::Once }
    }

    /// Does what a line says.
    pub fn take(&mut self, word: &Word<'_>) -> Result<Next> {
        let console = self.console;
        match *word {
            Word::Nothing => {}
            Word::Exit => return Ok(Next::End),
            Word::Help => self.say(words::HELP)?,
            Word::Reset => self.talk.reset(),
            Word::Undo => match self.talk.undo() {
                Some(message) => console.note(format!("taken back: {message}")),
                None => console.note("nothing to take back"),
            },
            Word::Again => self.again()?,
            Word::Unknown(word) if self.input.is_script() => {
                return Err(Error::usage("--script", format!("has {word}, which is not known")));
            }
            Word::Unknown(word) => {
                console.warn(format!("{word} is not known, /help shows what is"))
            }
            Word::Vectors if self.talk.steering.is_empty() => {
                console.note("no vector; --steer gives one")
            }
            Word::Vectors => console.note(self.talk.steering.label()),
            Word::Steer(name, scale, history) => self.turn(name, scale, history)?,
            Word::Teach(ref word) => self.teach(word)?,
            Word::Message(message) => self.message(message)?,
        }
        Ok(Next::Line)
    }

    /// Something to read, where results are text.
    fn say(&self, text: &str) -> Result<()> {
        if self.console.is_json() { Ok(()) } else { self.console.say_line(text) }
    }

    fn message(&mut self, text: &str) -> Result<()> {
        if let Some(adapter) = &mut self.talk.adapter
            && let Some(judged) = adapter.hear(text)?
        {
            self.judged(&judged)?;
        }
        match std::mem::replace(&mut self.answering, Answering::Once) {
            Answering::Once => self.answer(text),
            Answering::Duel => self.duel(text),
        }
    }

    /// Tells what a message said of the answer before it.
    fn judged(&mut self, judged: &TypedJudgement) -> Result<()> {
        let word = if judged.reward < 0.0 { "wrong" } else { "right" };
        let (reward, phrase) = (judged.reward, &judged.phrase);
        let line = format!("judged as {word} ({reward:+}, rule {phrase:?}); ");
        self.learnt(&line, &judged.report)
    }

    /// Tells what came of a lesson.
    fn learnt(&mut self, before: &str, report: &FeedbackReport) -> Result<()> {
        self.console.note(format!("{before}{}", lesson_line(report)));
        if let Some(hint) = lesson_hint(report) {
            self.console.note(format!("hint: {hint}"));
        }
        self.events.push(Fields::new("lesson", report));
        Ok(())
    }

    fn answer(&mut self, text: &str) -> Result<()> {
        let console = self.console;
        match console.is_json() {
            true => self.talk.ask_steered(text, &mut silent)?,
            false => self.talk.ask(text, console)?,
        };
        if let Some(setting) = &self.talk.setting {
            console.note(format!("answered under {setting}"));
        }
        let adapter = self.talk.adapter_document();
        let steering = &self.talk.steering;
        let Some(reply) = self.talk.steered.past() else { return Ok(()) };
        report(reply, (steering, self.talk.room.watching), console);
        if reply.answer.finish == Finish::ContextFull {
            console.note(words::ROOM);
        }
        let event = Fields::new("message", text)
            .with("text", &reply.answer.text)
            .with("finish_reason", reply.answer.finish.openai_reason())
            .with("usage", reply.usage())
            .with("adapter", adapter);
        self.events.push(event);
        Ok(())
    }

    /// The last message again, under what is in force now.
    fn again(&mut self) -> Result<()> {
        let Talk { steered, plain, .. } = &self.talk;
        let owned = |(said, answer): (&str, &str)| (said.to_owned(), answer.to_owned());
        let Some((said, answer)) = steered.last().map(owned) else {
            return Err(Error::usage("/again", "has no answer to make anew"));
        };
        let beside = plain.as_ref().and_then(Conversation::last).map(owned);
        self.talk.undo();
        let asked = self.answer(&said);
        if asked.is_err() {
            self.talk.steered.redo(&said, &answer);
            if let (Some(plain), Some((said, answer))) = (&mut self.talk.plain, &beside) {
                plain.redo(said, answer);
            }
        }
        asked
    }

    /// Another scale for one vector, from the next message on. A refusal changes nothing.
    fn turn(&mut self, name: &str, scale: f32, history: History) -> Result<()> {
        let changed = self.talk.steering.rescaled(name, scale)?;
        changed.tell_again(self.console);
        self.talk.steered.reread(history);
        self.talk.steering = changed;
        let past = match history {
            History::Recompute => "the conversation is read again with it",
            History::Keep => "what was read stays as it was read",
        };
        self.console.note(format!("{}; {past}", self.talk.steering.label()));
        Ok(())
    }

    fn teach(&mut self, word: &TeachWord<'_>) -> Result<()> {
        match word {
            TeachWord::Good => self.remark("/good", Remark::Thumb(Thumb::Up)),
            TeachWord::Bad => self.remark("/bad", Remark::Thumb(Thumb::Down)),
            TeachWord::Edit(text) => self.edit(text),
            TeachWord::Duel => {
                self.talk.adapter_for("/duel")?;
                self.answering = Answering::Duel;
                self.console.note("the next message is answered twice");
                Ok(())
            }
            TeachWord::Versions => {
                let list = self.talk.adapter_for("/versions")?.versions()?;
                self.say(&versions(&list))?;
                self.events.push(Fields::new("versions", list));
                Ok(())
            }
            TeachWord::Revert(to) => {
                let reverted = self.talk.adapter_for("/revert")?.revert(*to)?;
                let (version, restores) = (reverted.version, reverted.restores);
                self.console.note(format!("version {version} is again version {restores}"));
                self.events.push(Fields::new("reverted", reverted));
                Ok(())
            }
        }
    }

    fn remark(&mut self, word: &'static str, remark: Remark) -> Result<()> {
        let report = self.talk.adapter_for(word)?.teach(word, remark)?;
        self.learnt("", &report)?;
        if word == "/bad" && report.status == FeedbackStatus::Applied {
            self.console.note("/again answers the same message anew");
        }
        Ok(())
    }

    /// Teaches the answer as it should have been; the conversation goes on with it.
    fn edit(&mut self, text: &str) -> Result<()> {
        self.talk.adapter_for("/edit")?;
        let tokenizer = self.talk.room.opened.model.tokenizer()?;
        let tokens =
            tokenizer.encode(text, Special::Plain).map_err(trimtab_runtime::Error::from)?;
        self.remark("/edit", Remark::Edited(tokens))?;
        if let Some(said) = self.talk.steered.undo() {
            self.talk.steered.redo(&said, text);
        }
        Ok(())
    }

    /// Has a message answered twice, and the user choose.
    fn duel(&mut self, text: &str) -> Result<()> {
        let open = self.talk.duel(text)?;
        let document = open.document();
        if !self.console.is_json() {
            open.tell(self.console)?;
        }
        if !open.is_open() {
            self.events.push(Fields::new("message", text).with("duel", document));
            self.console.note("nothing to choose between: the answers are the same");
            self.talk.go_on(open, 0);
            return Ok(());
        }
        let vote = match self.choice() {
            Ok(vote) => vote,
            Err(error) => {
                self.talk.undo();
                return Err(error);
            }
        };
        let report = self.talk.decide(open, vote)?;
        let event = Fields::new("message", text).with("duel", document).with("vote", vote.as_str());
        self.events.push(event);
        self.learnt("", &report)
    }

    /// What the next lines choose.
    fn choice(&mut self) -> Result<DuelVote> {
        loop {
            self.console.note(QUESTION);
            let TypedLine::Line(line) = self.input.line(self.console)? else {
                return Ok(DuelVote::Skip);
            };
            match vote(line.trim()) {
                Some(vote) => return Ok(vote),
                None if self.input.is_script() => {
                    let problem =
                        format!("has {:?} where it is to choose: {QUESTION}", line.trim());
                    return Err(Error::usage("--script", problem));
                }
                None => {}
            }
        }
    }
}

impl Talk<'_> {
    /// Which version of which adapter made the last answer.
    pub fn adapter_document(&self) -> Option<Fields> {
        let id = self.adapter.as_ref().map(ChatAdapter::id)?;
        let document = Fields::new("id", id).with("version", self.version);
        Some(document.with("setting", &self.setting))
    }
}
