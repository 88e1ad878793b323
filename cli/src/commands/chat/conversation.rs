//! A conversation: messages, rendered anew each turn, whose keys and values are found again by prefix.

use crate::commands::answer::{Asked, Reply, Said, answers};
use crate::commands::learning::Adapted;
use crate::commands::monitors::Watching;
use crate::commands::opened::Opened;
use crate::commands::vectors::Steering;
use crate::error::{Error, Result};
use std::time::Instant;
use trimtab_adapters::host::{PinnedAdapter, RecordingHandle};
use trimtab_runtime::generate::Request;
use trimtab_runtime::group_sampling::GroupSampler;
use trimtab_runtime::sample::Sampling;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::text::Message;

/// Where conversations are held.
#[derive(Clone, Copy)]
pub struct ChatRoom<'a> {
    pub opened: &'a Opened,
    pub watching: Option<&'a Watching>,
}

/// What one answer is made under.
#[derive(Clone, Copy)]
pub struct TurnTerms<'a> {
    pub steering: &'a Steering,
    /// Put behind the system prompt, for this answer alone.
    pub instruction: Option<&'a str>,
    /// The version of an adapter that answers.
    pub adapter: Option<&'a PinnedAdapter>,
    /// Which of several answers to one message it is.
    pub choice: u32,
}

impl<'a> TurnTerms<'a> {
    /// Under vectors alone.
    pub fn of(steering: &'a Steering) -> TurnTerms<'a> {
        TurnTerms { steering, instruction: None, adapter: None, choice: 0 }
    }
}

/// An answer that the conversation has not taken in, and what was recorded of it.
pub struct Proposal {
    pub reply: Reply,
    /// Tokens of the prompt.
    pub prompt: Vec<u32>,
    pub recording: Option<RecordingHandle>,
}

/// Hears what becomes of several answers, by their place.
pub type ShowEach<'s> = &'s mut dyn FnMut(usize, Said) -> Result<()>;

/// A conversation with one model.
pub struct Conversation<'a> {
    room: ChatRoom<'a>,
    request: Request,
    messages: Vec<Message>,
    /// Messages that `/reset` keeps: the system prompt.
    kept: usize,
    /// The last turn: the keys and values of its session are the conversation's past.
    past: Option<Reply>,
    /// What becomes of the past in the next turn, and in every other.
    history: History,
    usual: History,
}

impl<'a> Conversation<'a> {
    /// A conversation that begins with a system prompt, or with nothing. With [`History::Keep`] what was read stays as it
    /// was read, whatever the turns run under.
    pub fn new(
        room: ChatRoom<'a>,
        request: Request,
        system: Option<&str>,
        history: History,
    ) -> Conversation<'a> {
        let messages: Vec<Message> =
            system.into_iter().map(|text| Message::new("system", text)).collect();
        let (kept, past) = (messages.len(), None);
        Conversation { room, request, messages, kept, past, history, usual: history }
    }

    /// Says something that is yet to be answered.
    pub fn say(&mut self, text: &str) {
        self.messages.push(Message::new("user", text));
    }

    /// Answers what was said last, once for each of the terms and in one batch. The conversation takes in none of them;
    /// with a sampler it chooses their tokens together.
    pub fn propose(
        &mut self,
        terms: &[TurnTerms<'_>],
        sampler: Option<&mut dyn GroupSampler>,
        show: ShowEach<'_>,
    ) -> Result<Vec<Proposal>> {
        if terms.len() > 1 {
            self.read_once(terms)?;
        }
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        for one in terms {
            let (session, started) = (self.session(*one)?, Instant::now());
            let (recorder, recording) = one.adapter.and_then(PinnedAdapter::recorder).unzip();
            let adapted = one.adapter.map(|pinned| Adapted { pinned: pinned.clone(), recorder });
            let request = Request { choice: one.choice, ..self.request.clone() };
            let seed = request.seed;
            let request = match one.adapter {
                Some(pinned) => pinned.request(request),
                None => request,
            };
            let question = self.messages.last().map(|message| message.content.as_str());
            let guard = |watching: &Watching| watching.guard(question, one.steering, seed);
            let guarded = self.room.watching.map(guard).transpose()?;
            kept.push((session.tokens().to_vec(), recording));
            rows.push((session, Asked { request, guarded, adapted, started }));
        }
        let replies = answers(self.room.opened, rows, sampler, show)?;
        let space = self.room.opened.model.prefix_space("");
        replies.iter().for_each(|reply| reply.session.publish_prefix(&space));
        let each = replies.into_iter().zip(kept);
        Ok(each.map(|(reply, (prompt, recording))| Proposal { reply, prompt, recording }).collect())
    }

    /// The one answer to what was said last.
    pub fn answer(
        &mut self,
        terms: TurnTerms<'_>,
        sampler: Option<&mut dyn GroupSampler>,
        show: &mut dyn FnMut(Said) -> Result<()>,
    ) -> Result<Proposal> {
        let mut proposals = self.propose(&[terms], sampler, &mut |_, said| show(said))?;
        proposals.pop().ok_or(Error::Stopped)
    }

    /// Makes an answer one of the conversation.
    pub fn keep(&mut self, reply: Reply) -> &Reply {
        self.messages.push(Message::new("assistant", reply.answer.text.clone()));
        self.past.insert(reply)
    }

    /// Has what several answers begin with read, so that each finds its keys and values.
    fn read_once(&mut self, terms: &[TurnTerms<'_>]) -> Result<()> {
        let Some(first) = terms.first() else { return Ok(()) };
        let mut session = self.session(*first)?;
        session.run()?;
        session.publish_prefix(&self.room.opened.model.prefix_space(""));
        Ok(())
    }

    /// What was said so far, ready to be answered.
    fn session(&mut self, terms: TurnTerms<'_>) -> Result<Session> {
        let model = &self.room.opened.model;
        let tokens = model.chat_prompt(&self.rendered(terms.instruction))?;
        terms.steering.admit(&tokens)?;
        let plan = match terms.adapter {
            Some(pinned) => pinned.plan(terms.steering.plan())?,
            None => terms.steering.plan().clone(),
        };
        // A conversation that is written differently, as after `/undo`, has to be read again.
        let past = self.past.take().filter(|_| self.history == History::Keep);
        if let Some(Reply { mut session, .. }) = past
            && let Some(rest) = tokens.strip_prefix(session.tokens())
            && !rest.is_empty()
        {
            session.replan(plan, History::Keep)?;
            session.push_prompt(rest)?;
            return Ok(session);
        }
        self.history = self.usual;
        let mut session = model.session(plan)?;
        session.push_prompt(&tokens)?;
        session.adopt_prefix(&model.prefix_space(""))?;
        Ok(session)
    }

    /// The messages, with an instruction behind the system prompt.
    fn rendered(&self, instruction: Option<&str>) -> Vec<Message> {
        let mut messages = self.messages.clone();
        let Some(instruction) = instruction else { return messages };
        match messages.first_mut().filter(|first| first.role == "system") {
            Some(system) => {
                let text = format!("{} {instruction}", system.content);
                *system = Message::new("system", text);
            }
            None => messages.insert(0, Message::new("system", instruction)),
        }
        messages
    }

    /// What becomes of what was read under other vectors, in the next turn.
    pub fn reread(&mut self, history: History) {
        self.history = history;
    }

    /// The last turn, if it was an answer.
    pub fn past(&self) -> Option<&Reply> {
        self.past.as_ref()
    }

    /// How tokens are chosen.
    pub fn sampling(&self) -> Sampling {
        self.request.sampling
    }

    /// The last answer, and what the user had said before it.
    pub fn last(&self) -> Option<(&str, &str)> {
        let [.., said, answer] = self.messages.as_slice() else { return None };
        let is_turn = said.role == "user" && answer.role == "assistant";
        is_turn.then_some((said.content.as_str(), answer.content.as_str()))
    }

    /// Takes the last exchange back and says what the user had said.
    pub fn undo(&mut self) -> Option<String> {
        let last = self.messages.iter().rposition(|message| message.role == "user")?;
        self.messages.drain(last..).next().map(|message| message.content)
    }

    /// Puts an exchange back that was taken back.
    pub fn redo(&mut self, said: &str, answer: &str) {
        self.say(said);
        self.messages.push(Message::new("assistant", answer));
    }

    /// Forgets everything but the system prompt.
    pub fn reset(&mut self) {
        self.messages.truncate(self.kept);
        self.past = None;
    }
}
