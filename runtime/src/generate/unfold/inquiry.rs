//! What a monitor has the model read, while its answer waits.

use crate::error::{Error, Result};
use crate::model::{Decoder, Row, RowReadout, Want};
use crate::monitor::Heard;
use crate::session::Session;
use std::sync::Arc;

/// Sequences that are being read for a monitor.
pub(super) struct Inquiry {
    /// Whose it is.
    pub(super) who: usize,
    sessions: Vec<Session>,
    /// Logits behind each, once it is through.
    logits: Vec<Vec<f32>>,
}

impl Inquiry {
    /// Every sequence must be of this model and have something to read.
    pub(super) fn new(
        who: usize,
        sessions: Vec<Session>,
        decoder: &Arc<Decoder>,
    ) -> Result<Inquiry> {
        if sessions.is_empty() || sessions.iter().any(|s| s.pending() == 0) {
            return Err(Error::Misuse("a monitor asks the model to read pending tokens"));
        }
        if !sessions.iter().all(|session| Arc::ptr_eq(session.decoder(), decoder)) {
            return Err(Error::Misuse("a monitor asks the model whose answer it watches"));
        }
        let logits = vec![Vec::new(); sessions.len()];
        Ok(Inquiry { who, sessions, logits })
    }

    /// Those that are not through.
    pub(super) fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        self.sessions.iter_mut().filter(|session| session.pending() > 0)
    }

    /// Runs at most this many tokens of all of them in one pass, as far as each can have one.
    pub(super) fn set_chunk(&mut self, tokens: usize) {
        let open = self.sessions().count().max(1);
        self.sessions().for_each(|session| session.set_chunk(tokens / open));
    }

    /// Tokens that are yet to be read.
    pub(super) fn pending(&self) -> usize {
        self.sessions.iter().map(Session::pending).sum()
    }

    /// Blocks that its next pass takes, and that all of it takes.
    pub(super) fn wants(&self) -> (usize, usize) {
        let sessions = self.sessions.iter();
        sessions.fold((0, 0), |(next, all), s| (next + s.wants(), all + s.wants_in_all()))
    }

    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        self.sessions().map(|session| session.row(Want::default())).collect()
    }

    /// Takes in what a pass gave the rows that took part; says whether everything has been read.
    pub(super) fn take(&mut self, readouts: Vec<RowReadout>) -> bool {
        let open = self.logits.iter_mut().filter(|logits| logits.is_empty());
        for (logits, mut readout) in open.zip(readouts) {
            *logits = readout.logits.pop().unwrap_or_default();
        }
        self.sessions.iter().all(|session| session.pending() == 0)
    }

    pub(super) fn heard(self) -> Vec<Heard> {
        let both = self.sessions.into_iter().zip(self.logits);
        both.map(|(session, logits)| Heard { session, logits }).collect()
    }

    /// Everything is to be read again.
    pub(super) fn give_way(&mut self) -> Result<()> {
        self.logits.iter_mut().for_each(Vec::clear);
        self.sessions.iter_mut().try_for_each(|session| session.restart(session.len()))
    }
}
