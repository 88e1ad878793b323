//! The monitors of one answer: when each wants to be asked, and what each allows to be shown.

use crate::error::{Result, contain};
use crate::monitor::{Heard, Monitor, Senses, Stage, Unfolding, Verdict};
use crate::session::Session;

/// A monitor and when it wants to be asked next.
struct Watcher {
    monitor: Box<dyn Monitor>,
    /// Bytes of text it allows to be shown.
    release: usize,
    /// Asked again when the answer has this many tokens.
    due: usize,
}

/// All of them, in the order their verdicts count.
#[derive(Default)]
pub(super) struct Watchers {
    all: Vec<Watcher>,
    senses: Senses,
}

/// What the monitors say of an answer.
pub(super) enum Said {
    /// Go on.
    Nothing,
    /// The first objection and whose it is.
    Verdict(usize, Verdict),
    /// Somebody wants the model to read something first.
    Ask(usize, Vec<Session>),
}

impl Watchers {
    pub(super) fn add(&mut self, monitor: Box<dyn Monitor>) {
        let Senses { sites, attention } = monitor.senses();
        self.senses.sites.extend(sites);
        self.senses.sites.sort_unstable();
        self.senses.sites.dedup();
        self.senses.attention.extend(attention);
        self.senses.attention.sort_unstable();
        self.senses.attention.dedup();
        self.all.push(Watcher { monitor, release: 0, due: 0 });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What any of them reads of a pass.
    pub(super) fn senses(&self) -> &Senses {
        &self.senses
    }

    /// Bytes that every one of them allows to be shown; `None` without any.
    pub(super) fn released(&self) -> Option<usize> {
        self.all.iter().map(|w| w.release).min()
    }

    /// Asks, from this one on and leaving one out, whoever is due.
    pub(super) fn ask(
        &mut self,
        answer: &Unfolding,
        from: usize,
        but: Option<usize>,
    ) -> Result<Said> {
        let len = answer.tokens.len();
        for (who, watcher) in self.all.iter_mut().enumerate().skip(from) {
            let waits = answer.stage == Stage::Unfolding && len < watcher.due;
            if waits || Some(who) == but {
                continue;
            }
            match contain("monitor", || watcher.monitor.watch(answer))?? {
                Verdict::Continue { release, ask_after } => {
                    watcher.release = release.min(answer.text.len());
                    watcher.due = len.saturating_add(ask_after.max(1));
                }
                Verdict::Insert(tokens) if tokens.is_empty() => {}
                Verdict::Ask(sessions) => return Ok(Said::Ask(who, sessions)),
                other => return Ok(Said::Verdict(who, other)),
            }
        }
        Ok(Said::Nothing)
    }

    /// Gives one what it had the model read.
    pub(super) fn heard(&mut self, who: usize, read: Vec<Heard>) -> Result<()> {
        let Some(watcher) = self.all.get_mut(who) else { return Ok(()) };
        contain("monitor", || watcher.monitor.heard(read))?
    }

    /// One allows everything that is left.
    pub(super) fn release(&mut self, who: usize, len: usize) {
        if let Some(watcher) = self.all.get_mut(who) {
            watcher.release = len;
        }
    }

    /// The answer has only so many tokens, and so much text, any more.
    pub(super) fn rewind(&mut self, tokens: usize, text: usize) -> Result<()> {
        for watcher in &mut self.all {
            contain("monitor", || watcher.monitor.rewind(tokens))?;
            watcher.release = watcher.release.min(text);
            watcher.due = watcher.due.min(tokens);
        }
        Ok(())
    }

    /// Keys and values that they keep are to be given up.
    pub(super) fn give_way(&mut self) -> Result<()> {
        let give_way = |watcher: &mut Watcher| contain("monitor", || watcher.monitor.give_way())?;
        self.all.iter_mut().try_for_each(give_way)
    }
}
