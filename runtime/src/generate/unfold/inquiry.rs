//! What a monitor has the model read, while its answer waits.

use crate::error::{Error, Result};
use crate::model::{Decoder, Row, RowReadout, Want};
use crate::monitor::Heard;
use crate::read::Read;
use crate::session::Session;
use std::sync::Arc;

/// Sequences that are being read for a monitor.
pub(super) struct Inquiry {
    /// Whose it is.
    pub(super) who: usize,
    read: Read,
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
        if !sessions.iter().all(|session| Arc::ptr_eq(session.decoder(), decoder)) {
            return Err(Error::Misuse("a monitor asks the model whose answer it watches"));
        }
        let logits = vec![Vec::new(); sessions.len()];
        Ok(Inquiry { who, read: Read::new(sessions, Want::default())?, logits })
    }

    /// Runs at most this many tokens of all of them in one pass, as far as each can have one.
    pub(super) fn set_chunk(&mut self, tokens: usize) {
        self.read.set_chunk(tokens / self.read.open().max(1));
    }

    /// Tokens that are yet to be read.
    pub(super) fn pending(&self) -> usize {
        self.read.pending()
    }

    /// Blocks that its next pass takes, and that all of it takes.
    pub(super) fn wants(&self) -> (usize, usize) {
        self.read.wants()
    }

    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        self.read.rows()
    }

    /// Takes in what a pass gave the rows that took part; says whether everything has been read.
    pub(super) fn take(&mut self, readouts: Vec<RowReadout>) -> bool {
        let open = self.logits.iter_mut().filter(|logits| logits.is_empty());
        for (logits, mut readout) in open.zip(readouts) {
            *logits = readout.logits.pop().unwrap_or_default();
        }
        self.read.pending() == 0
    }

    pub(super) fn heard(self) -> Vec<Heard> {
        let both = self.read.into_sessions().into_iter().zip(self.logits);
        both.map(|(session, logits)| Heard { session, logits }).collect()
    }

    /// Everything is to be read again.
    pub(super) fn give_way(&mut self) -> Result<()> {
        self.logits.iter_mut().for_each(Vec::clear);
        self.read.restart()
    }
}
