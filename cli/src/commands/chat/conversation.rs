//! A conversation: messages, rendered anew each turn, whose keys and values are found again by prefix.

use crate::commands::answer::{Reply, answer};
use crate::commands::opened::Opened;
use crate::error::Result;
use std::time::Instant;
use trimtab_runtime::generate::Request;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;

/// A conversation with one model.
pub struct Conversation<'a> {
    opened: &'a Opened,
    request: Request,
    messages: Vec<Message>,
    /// Messages that `/reset` keeps: the system prompt.
    kept: usize,
}

impl<'a> Conversation<'a> {
    /// A conversation that begins with a system prompt, or with nothing.
    pub fn new(opened: &'a Opened, request: Request, system: Option<&str>) -> Conversation<'a> {
        let messages: Vec<Message> =
            system.into_iter().map(|text| Message::new("system", text)).collect();
        Conversation { opened, request, kept: messages.len(), messages }
    }

    /// Says something and gets the answer; each piece of it goes to `show`. What fails is not remembered, what
    /// Ctrl-C ended is, as far as it came.
    pub fn ask(&mut self, text: &str, show: &mut dyn FnMut(&str) -> Result<()>) -> Result<Reply> {
        self.messages.push(Message::new("user", text));
        let reply = self.reply(show);
        match &reply {
            Ok(reply) => {
                self.messages.push(Message::new("assistant", reply.answer.text.clone()));
            }
            Err(_) => self.messages.truncate(self.messages.len().saturating_sub(1)),
        }
        reply
    }

    fn reply(&mut self, show: &mut dyn FnMut(&str) -> Result<()>) -> Result<Reply> {
        let (started, model) = (Instant::now(), &self.opened.model);
        let space = model.prefix_space("");
        let mut session = model.session(Plan::empty())?;
        session.push_prompt(&model.chat_prompt(&self.messages)?)?;
        session.adopt_prefix(&space)?;
        let reply = answer(self.opened, session, self.request.clone(), started, show)?;
        reply.session.publish_prefix(&space);
        Ok(reply)
    }

    /// Takes the last exchange back and says what the user had said.
    pub fn undo(&mut self) -> Option<String> {
        let last = self.messages.iter().rposition(|message| message.role == "user")?;
        self.messages.drain(last..).next().map(|message| message.content)
    }

    /// Forgets everything but the system prompt.
    pub fn reset(&mut self) {
        self.messages.truncate(self.kept);
    }
}
