//! A read that runs beside answers, with its reducer and the receiver of its result.

use super::{Due, Read, Reducer, RowOutput};
use crate::error::{Error, Result, contain};
use crate::model::{Decoder, Output, Row};
use crate::session::{Checkpoint, Session};
use std::sync::Arc;

/// A reducer whose result goes to a receiver.
trait Reporter: Send {
    fn take(&mut self, row: usize, from: usize, output: &mut RowOutput) -> Result<()>;
    fn report(self: Box<Self>, failure: Option<Error>);
}

struct Reporting<R, F> {
    reducer: R,
    report: F,
}

impl<R: Reducer, F: FnOnce(Result<R::Output>) + Send> Reporter for Reporting<R, F> {
    fn take(&mut self, row: usize, from: usize, output: &mut RowOutput) -> Result<()> {
        self.reducer.take(row, from, output)
    }

    fn report(self: Box<Self>, failure: Option<Error>) {
        let Reporting { reducer, report } = *self;
        report(failure.map_or_else(|| reducer.finish(), Err));
    }
}

/// A read in the making.
pub(crate) struct ReadTask {
    read: Read,
    reporter: Box<dyn Reporter>,
    failure: Option<Error>,
}

impl ReadTask {
    pub(crate) fn new<R: Reducer>(
        read: Read,
        reducer: R,
        report: impl FnOnce(Result<R::Output>) + Send + 'static,
    ) -> ReadTask {
        ReadTask { read, reporter: Box::new(Reporting { reducer, report }), failure: None }
    }

    pub(crate) fn read(&self) -> &Read {
        &self.read
    }

    pub(crate) fn decoder(&self) -> Option<&Arc<Decoder>> {
        self.read.sessions().first().map(Session::decoder)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.failure.is_some() || self.read.pending() == 0
    }

    pub(crate) fn set_chunk(&mut self, tokens: usize) {
        self.read.set_chunk(tokens);
    }

    pub(crate) fn due(&self) -> Due {
        self.read.due()
    }

    pub(crate) fn rows(&mut self) -> Vec<Row<'_>> {
        self.read.rows()
    }

    /// Reduces the part of a pass that begins at row `first`.
    pub(crate) fn take(&mut self, due: Due, output: &mut Output, first: usize) {
        for (row, (index, from)) in (first..).zip(due) {
            let taken = output.take_failure(row).map_or(Ok(()), Err).and_then(|()| {
                let mut part = RowOutput::new(output, row);
                contain("reducer", || self.reporter.take(index, from, &mut part))?
            });
            if let Err(error) = taken {
                return self.fail(error);
            }
        }
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Frees its blocks, and reports the result or why there is none.
    pub(crate) fn end(self, error: Option<Error>) {
        let ReadTask { read, reporter, failure } = self;
        drop(read);
        // Nothing is left that a panic of the receiver could end.
        contain("receiver of a read", || reporter.report(failure.or(error))).ok();
    }

    /// The states of hooks before a pass, which change even if it fails.
    pub(crate) fn checkpoints(&self) -> Vec<Option<Checkpoint>> {
        let save = |session: &Session| (!session.is_stateless()).then(|| session.checkpoint());
        self.read.sessions.iter().map(save).collect()
    }

    pub(crate) fn restore(&mut self, checkpoints: &[Option<Checkpoint>]) {
        for (session, checkpoint) in self.read.sessions.iter_mut().zip(checkpoints) {
            if let Some(Err(error)) = checkpoint.as_ref().map(|to| session.rollback(to)) {
                return self.fail(error);
            }
        }
    }
}
