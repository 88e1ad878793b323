//! What monitors are asked, and what becomes of an answer they object to.
//!
//! A question goes from monitor to monitor. It may have to wait in between, for something the model reads first, so it
//! is kept as data and taken up again.

use super::monitor_query::MonitorQuery;
use super::monitors::MonitorReply;
use super::rewind_point::{Last, Return, RewindPoint};
use super::{Emitter, Generation};
use crate::error::{Error, Result};
use crate::generate::answer::{Event, Finish};
use crate::generate::request::Request;
use crate::monitor::{AnswerView, Stage, StopReason, Verdict};
use crate::plan::Plan;
use crate::sample::DrawKey;
use crate::session::History;

/// What the monitors are being asked.
pub(super) struct Question {
    about: About,
    /// The next one to be asked.
    next: usize,
}

/// Why they are asked.
enum About {
    /// A token was chosen.
    Token,
    /// The model or a limit ends the answer.
    End(Finish),
    /// One of them has ended it; the others judge what is left.
    Stop { who: usize, reason: StopReason },
}

/// How a rewind goes on.
pub(super) struct Retry {
    pub(super) from: usize,
    pub(super) plan: Option<(Plan, History)>,
    pub(super) guidance: Vec<u32>,
    pub(super) ban: Vec<u32>,
}

impl Question {
    pub(super) fn about_a_token() -> Question {
        Question { about: About::Token, next: 0 }
    }

    pub(super) fn about_the_end(finish: Finish) -> Question {
        Question { about: About::End(finish), next: 0 }
    }

    fn stage(&self) -> Stage {
        match self.about {
            About::Token => Stage::Unfolding,
            About::End(_) | About::Stop { .. } => Stage::Ended,
        }
    }

    /// Who is not asked.
    fn but(&self) -> Option<usize> {
        match self.about {
            About::Stop { who, .. } => Some(who),
            About::Token | About::End(_) => None,
        }
    }
}

impl Generation {
    /// Asks what there is to ask and does what is said, until the next token is due, a monitor waits for the model, or
    /// the answer has ended.
    pub(super) fn settle(&mut self, out: &mut Emitter) -> Result<()> {
        while let Some(mut question) = self.question.take() {
            match self.ask(&question)? {
                MonitorReply::Nothing => self.pass(question, out),
                MonitorReply::Verdict(who, verdict) => self.act(question, who, verdict, out)?,
                MonitorReply::Ask(who, sessions) => {
                    let decoder = self.session.decoder();
                    self.inquiry = Some(MonitorQuery::new(who, sessions, decoder)?);
                    question.next = who;
                    self.question = Some(question);
                    self.obey(out);
                    return Ok(());
                }
            }
            if self.question.is_none()
                && let Some(full) = self.limit()
            {
                self.begin_end(full);
            }
        }
        self.obey(out);
        self.feed()
    }

    fn ask(&mut self, question: &Question) -> Result<MonitorReply> {
        let newest = self.pieces.last();
        let view = AnswerView {
            tokens: &self.tokens,
            text: &self.text,
            ends: &self.ends,
            places: &self.places,
            step: newest.and_then(|p| p.step.as_ref()),
            sensed: newest.and_then(|p| p.step.as_ref()).and(self.sensed.as_deref()),
            stage: question.stage(),
            attempt: self.attempt,
            room: self.room.saturating_sub(self.session.len()),
        };
        self.watchers.ask(&view, question.next, question.but())
    }

    fn pass(&mut self, question: Question, out: &mut Emitter) {
        match question.about {
            About::Token => self.show(self.released(), out),
            About::End(finish) => self.conclude(finish, None, out),
            About::Stop { reason, .. } => self.conclude_stop(reason, out),
        }
    }

    fn act(
        &mut self,
        question: Question,
        who: usize,
        verdict: Verdict,
        out: &mut Emitter,
    ) -> Result<()> {
        match (verdict, question.about) {
            // Who refuses an answer is not overruled; less of it may be kept.
            (verdict, About::Stop { reason: reason @ StopReason::Refused { .. }, .. }) => {
                if let Verdict::Stop { keep, .. } = verdict {
                    self.cut_text(keep, out);
                }
                self.conclude_stop(reason, out);
            }
            (Verdict::Retry { from, plan, guidance, ban }, _) => {
                self.retry(Retry { from, plan, guidance, ban }, out)?;
            }
            (Verdict::Stop { keep, reason }, About::Stop { .. }) => {
                self.cut_text(keep, out);
                self.conclude_stop(reason, out);
            }
            (Verdict::Stop { keep, reason }, _) => {
                self.cut_text(keep, out);
                self.watchers.release(who, self.text.len());
                self.question = Some(Question { about: About::Stop { who, reason }, next: 0 });
            }
            (Verdict::Insert(tokens), About::Token) => self.insert(&tokens, out),
            (Verdict::Insert(tokens), About::End(finish)) => {
                self.insert(&tokens, out);
                // What a monitor appends to a full answer is its end; to a short one, a new beginning.
                if !matches!(finish, Finish::EndToken(_)) || self.limit().is_some() {
                    self.watchers.release(who, self.text.len());
                    self.conclude(finish, None, out);
                }
            }
            // An answer that has been stopped takes nothing more.
            (Verdict::Insert(_), About::Stop { reason, .. }) => self.conclude_stop(reason, out),
            // Neither leaves the monitors' list.
            (Verdict::Continue { .. } | Verdict::Ask(_), _) => {}
        }
        Ok(())
    }

    fn conclude_stop(&mut self, reason: StopReason, out: &mut Emitter) {
        let (finish, reply) = match reason {
            StopReason::StopString(text) => (Finish::StopString(text), None),
            StopReason::Other(why) => (Finish::Monitor(why), None),
            StopReason::Refused { why, reply } => (Finish::Monitor(why), Some(reply)),
        };
        self.conclude(finish, reply, out);
    }

    /// Shows what may be shown, drops the rest, and says what is said instead.
    fn conclude(&mut self, finish: Finish, reply: Option<String>, out: &mut Emitter) {
        self.show(self.released(), out);
        self.cut_text(self.shown, out);
        if let Some(reply) = reply {
            self.trim_tokens();
            let apart = match self.text.as_str() {
                text if text.is_empty() || text.ends_with("\n\n") => "",
                text if text.ends_with('\n') => "\n",
                _ => "\n\n",
            };
            let text = format!("{apart}{reply}");
            self.text.push_str(&text);
            self.shown = self.text.len();
            // No token has made it, not even one that has made no text yet.
            out.send(Event::Text { text, first: self.tokens.len(), tokens: Vec::new() });
        }
        self.finish(finish, out);
    }

    fn insert(&mut self, tokens: &[u32], out: &mut Emitter) {
        tokens.iter().for_each(|t| self.append(*t, None));
        self.usage.completion_tokens += tokens.len();
        out.send(Event::Inserted(tokens.to_vec()));
    }

    /// Rewinds to the first `from` tokens and goes on from there, differently.
    fn retry(&mut self, retry: Retry, out: &mut Emitter) -> Result<()> {
        let Retry { from, plan, guidance, ban } = retry;
        let discarded = self.tokens.len().saturating_sub(from);
        let budget = self.request.retries;
        let spent = self.usage.discarded_tokens + discarded > budget.discarded;
        if spent || self.attempt >= budget.rewinds {
            self.give_up(Finish::RetriesExhausted, out);
            return Ok(());
        }
        let origin = match self.pieces.get(from) {
            Some(piece) => piece.before.clone(),
            None => self.before.clone(),
        };
        let origin = origin.ok_or(Error::Misuse("a rewind needs a checkpoint"))?;
        let last = if guidance.is_empty() { Last::Repeated } else { Last::Followed };
        let back = origin.restore(&mut self.session, plan, last)?;
        self.fed = origin.fed;
        self.cut_tokens(from, out)?;
        self.usage.discarded_tokens += discarded;
        self.usage.completion_tokens = from;
        self.attempt += 1;
        self.rewound = Some(self.rewound.map_or(from, |least| least.min(from)));
        out.send(Event::Rewound { from, attempt: self.attempt });
        if self.is_full(guidance.len()) {
            self.give_up(Finish::ContextFull, out);
            return Ok(());
        }
        self.banned = ban;
        self.feed()?;
        let Request { seed, choice, .. } = self.request;
        let key = DrawKey { seed, choice, attempt: self.attempt };
        self.session.set_draw_key(self.session.len(), key);
        self.go_on(origin, back, &guidance)
    }

    /// Runs the last kept token again, from the place before it: its own pass is forgotten.
    fn run_last_again(&mut self) -> Result<()> {
        let Some(before) = self.pieces.last().and_then(|piece| piece.before.clone()) else {
            return self.session.restart(self.session.len());
        };
        before.restore(&mut self.session, None, Last::Followed)?;
        self.fed = before.fed;
        self.feed()
    }

    /// What is left after a rewind is answered again, under guidance that is not part of the answer.
    fn go_on(
        &mut self,
        origin: std::sync::Arc<RewindPoint>,
        back: Return,
        guidance: &[u32],
    ) -> Result<()> {
        self.retried = Some(match back {
            Return::Same => origin.clone(),
            // What was made under the old plan is no place to go back to.
            Return::Changed => RewindPoint::of(&self.session, self.fed, None),
        });
        if self.session.pending() > 0 || !guidance.is_empty() {
            self.usage.hidden_tokens += guidance.len();
            return self.session.push(guidance);
        }
        self.ready = origin.passed();
        match self.ready {
            Some(_) => Ok(()),
            None => self.run_last_again(),
        }
    }

    fn cut_tokens(&mut self, from: usize, out: &mut Emitter) -> Result<()> {
        self.pieces.truncate(from);
        self.tokens.truncate(from);
        self.ends.truncate(from);
        self.places.truncate(from);
        self.stream.truncate(from);
        // A stop may have cut text that is kept after all.
        self.text.clear();
        self.text.push_str(self.stream.text());
        self.cut_text(self.text.len(), out);
        self.watchers.rewind(from, self.text.len())
    }

    /// Fails closed: what was not shown is dropped.
    fn give_up(&mut self, finish: Finish, out: &mut Emitter) {
        self.cut_text(self.shown, out);
        self.finish(finish, out);
    }
}
