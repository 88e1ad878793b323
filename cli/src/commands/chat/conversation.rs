//! A conversation: messages, rendered anew each turn, whose keys and values are found again by prefix.

use crate::commands::answer::{Asked, Reply, Said, answer};
use crate::commands::monitors::Watching;
use crate::commands::opened::Opened;
use crate::commands::vectors::Steering;
use crate::error::Result;
use std::time::Instant;
use trimtab_runtime::generate::Request;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::text::Message;

/// A conversation with one model.
pub struct Conversation<'a> {
    opened: &'a Opened,
    watching: Option<&'a Watching>,
    request: Request,
    messages: Vec<Message>,
    /// Messages that `/reset` keeps: the system prompt.
    kept: usize,
    /// What the next turn runs under.
    steering: Steering,
    /// The last turn: the keys and values of its session are the conversation's past.
    past: Option<Reply>,
    history: History,
}

impl<'a> Conversation<'a> {
    /// A conversation under a plan that begins with a system prompt, or with nothing.
    pub fn new(
        (opened, watching): (&'a Opened, Option<&'a Watching>),
        request: Request,
        system: Option<&str>,
        steering: &Steering,
    ) -> Conversation<'a> {
        let messages: Vec<Message> =
            system.into_iter().map(|text| Message::new("system", text)).collect();
        let (kept, steering, past) = (messages.len(), steering.clone(), None);
        Conversation {
            opened,
            watching,
            request,
            kept,
            messages,
            steering,
            past,
            history: History::Recompute,
        }
    }

    /// Says something and gets the answer; each piece of it goes to `show`. What fails is not remembered, what
    /// Ctrl-C ended is, as far as it came.
    pub fn ask(&mut self, text: &str, show: &mut dyn FnMut(Said) -> Result<()>) -> Result<&Reply> {
        self.messages.push(Message::new("user", text));
        match self.reply(show) {
            Ok(reply) => {
                self.messages.push(Message::new("assistant", reply.answer.text.clone()));
                Ok(self.past.insert(reply))
            }
            Err(error) => {
                self.messages.truncate(self.messages.len().saturating_sub(1));
                Err(error)
            }
        }
    }

    fn reply(&mut self, show: &mut dyn FnMut(Said) -> Result<()>) -> Result<Reply> {
        let (started, model) = (Instant::now(), &self.opened.model);
        let space = model.prefix_space("");
        let tokens = model.chat_prompt(&self.messages)?;
        self.steering.admit(&tokens)?;
        let session = match self.continued(&tokens)? {
            Some(session) => session,
            None => {
                self.history = History::Recompute;
                let mut session = model.session(self.steering.plan().clone())?;
                session.push_prompt(&tokens)?;
                session.adopt_prefix(&space)?;
                session
            }
        };
        let (request, question) = (self.request.clone(), self.messages.last());
        let question = question.map(|message| message.content.as_str());
        let guard = |watching: &Watching| watching.guard(question, &self.steering, request.seed);
        let guarded = self.watching.map(guard).transpose()?;
        let reply = answer(self.opened, session, Asked { request, guarded, started }, show)?;
        reply.session.publish_prefix(&space);
        Ok(reply)
    }

    /// The last turn's session with the new tokens behind it, where its keys and values are to stay as they are. A
    /// conversation that is written differently now, as after `/undo`, has to be read again.
    fn continued(&mut self, tokens: &[u32]) -> Result<Option<Session>> {
        let past = self.past.take().filter(|_| self.history == History::Keep);
        let Some(Reply { mut session, .. }) = past else {
            return Ok(None);
        };
        let Some(rest) = tokens.strip_prefix(session.tokens()).filter(|rest| !rest.is_empty())
        else {
            return Ok(None);
        };
        session.replan(self.steering.plan().clone(), History::Keep)?;
        session.push_prompt(rest)?;
        Ok(Some(session))
    }

    /// Puts other vectors in force from the next turn on. With [`History::Keep`] what was read stays as it was read.
    pub fn replan(&mut self, steering: &Steering, history: History) {
        self.steering = steering.clone();
        self.history = history;
    }

    /// Takes the last exchange back and says what the user had said.
    pub fn undo(&mut self) -> Option<String> {
        let last = self.messages.iter().rposition(|message| message.role == "user")?;
        self.messages.drain(last..).next().map(|message| message.content)
    }

    /// Forgets everything but the system prompt.
    pub fn reset(&mut self) {
        self.messages.truncate(self.kept);
        self.past = None;
    }
}
