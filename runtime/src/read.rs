//! Reading: pending tokens of several sequences, run together, and a reducer that takes what each pass gave each of them.
//!
//! A pass holds at most a chunk of each sequence, so memory is bounded by the reducer's own result and one pass. Results do
//! not depend on how tokens are cut into passes, nor on what else is in a pass.
//!
//! Here is the only loop over passes outside the token loop's and the engine's, which run a [`Read`] beside their answers.

mod reducers;
mod task;

pub use reducers::{Last, Mean};
pub(crate) use task::ReadTask;

use crate::error::{Error, Result};
use crate::model::{LogitsAt, Output, Row, RowReadout, Want};
use crate::session::Session;
use crate::site::Site;
use candle_core::Tensor;
use std::borrow::BorrowMut;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one pass gave one sequence.
pub struct RowOutput<'a> {
    output: &'a mut Output,
    row: usize,
}

impl<'a> RowOutput<'a> {
    /// One row of an output that is on the host.
    pub(crate) fn new(output: &'a mut Output, row: usize) -> RowOutput<'a> {
        RowOutput { output, row }
    }

    /// Activations of the pass's tokens at the wanted sites, `[time, d_model]` each.
    pub fn captures(&self) -> impl Iterator<Item = (Site, &Tensor)> {
        self.output.captures(self.row).into_iter().flatten().map(|(site, tensor)| (*site, tensor))
    }

    /// The activations at one site, `[time, d_model]`, if it was wanted.
    pub fn capture(&self, site: Site) -> Option<&Tensor> {
        self.output.captures(self.row)?.get(&site)
    }

    /// Takes the activations out.
    pub fn take_captures(&mut self) -> BTreeMap<Site, Tensor> {
        self.output.take_captures(self.row)
    }

    /// Logits of the wanted positions, one vector of `vocab_size` values each.
    pub fn logits(&self) -> impl Iterator<Item = &[f32]> {
        self.output.host_logits(self.row).chunks_exact(self.output.vocab_size.max(1))
    }

    /// `final` activations of the same positions, `d_model` values each, if they were wanted.
    pub fn finals(&self) -> impl Iterator<Item = &[f32]> {
        let (values, width) = self.output.host_finals(self.row);
        values.chunks_exact(width.max(1))
    }

    /// Logits and `final` activations in memory of their own.
    pub fn readout(&self) -> RowReadout {
        let own = |line: &[f32]| line.to_vec();
        RowReadout {
            logits: self.logits().map(own).collect(),
            finals: self.finals().map(own).collect(),
        }
    }
}

/// Makes one result of what the passes of a read give.
pub trait Reducer: Send + 'static {
    /// The result.
    type Output: Send + 'static;

    /// Takes what a pass gave one sequence: its index, and the position of the first token that the pass ran for it.
    fn take(&mut self, row: usize, from: usize, output: &mut RowOutput) -> Result<()>;

    /// The result, once every token has run.
    fn finish(self) -> Result<Self::Output>;
}

/// Sequences whose pending tokens are to be run, and what is wanted of every pass.
pub struct Read {
    sessions: Vec<Session>,
    want: Want,
}

impl Read {
    /// The sequences are of one model, and each has a pending token.
    pub fn new(sessions: Vec<Session>, want: Want) -> Result<Read> {
        let Some(first) = sessions.first() else {
            return Err(Error::Misuse("a read needs at least one sequence"));
        };
        if !sessions.iter().all(has_pending) {
            return Err(Error::Misuse("a read needs pending tokens in every sequence"));
        }
        if !sessions.iter().all(|s| Arc::ptr_eq(s.decoder(), first.decoder())) {
            return Err(Error::Misuse("sequences that are read together must be of one model"));
        }
        let n_layers = first.decoder().spec().n_layers();
        match want.captures.iter().find(|site| !site.exists_in(n_layers)) {
            Some(site) => Err(Error::NoSuchSite { site: *site, n_layers }),
            None => Ok(Read { sessions, want }),
        }
    }

    /// Runs everything here and now, without an engine.
    pub fn run<R: Reducer>(mut self, mut reducer: R) -> Result<R::Output> {
        run(&mut self.sessions, &self.want, |row, from, output| reducer.take(row, from, output))?;
        reducer.finish()
    }

    /// The sequences.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The sequences, as far as they have been run.
    pub fn into_sessions(self) -> Vec<Session> {
        self.sessions
    }

    /// Tokens that are yet to be run.
    pub fn pending(&self) -> usize {
        self.sessions.iter().map(Session::pending).sum()
    }

    /// Sequences that are not through.
    pub(crate) fn open(&self) -> usize {
        self.sessions.iter().filter(|session| has_pending(session)).count()
    }

    /// The most tokens of each sequence in one pass.
    pub(crate) fn set_chunk(&mut self, tokens: usize) {
        self.sessions.iter_mut().for_each(|session| session.set_chunk(tokens));
    }

    /// Blocks that its next pass takes, and that all of it takes.
    pub(crate) fn wants(&self) -> (usize, usize) {
        let sessions = self.sessions.iter();
        sessions.fold((0, 0), |(next, all), s| (next + s.wants(), all + s.wants_in_all()))
    }

    /// Which sequences the next pass runs, and from which position on.
    pub(crate) fn due(&self) -> Due {
        let open = self.sessions.iter().enumerate().filter(|(_, session)| has_pending(session));
        open.map(|(index, session)| (index, session.len() - session.pending())).collect()
    }

    /// The rows of the next pass, one for each sequence that is due.
    pub(crate) fn rows(&mut self) -> Vec<Row<'_>> {
        let open = self.sessions.iter_mut().filter(|session| has_pending(session));
        open.map(|session| session.row(self.want.clone())).collect()
    }

    /// Gives keys and values up: everything is to be run again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.sessions.iter_mut().try_for_each(|session| session.restart(session.len()))
    }
}

/// The sequences of a pass: which of them, and the position of their first token in it.
pub(crate) type Due = Vec<(usize, usize)>;

/// One pass over the sequences that had pending tokens.
pub(crate) struct ReadPass {
    due: Due,
    output: Output,
}

impl ReadPass {
    /// Logits of one row of the pass, one vector of `vocab_size` values behind the other.
    pub(crate) fn logits(&self, row: usize) -> &[f32] {
        self.output.host_logits(row)
    }

    fn reduce<E>(
        mut self,
        mut each: impl FnMut(usize, usize, &mut RowOutput) -> Result<(), E>,
    ) -> Result<(), E> {
        let output = &mut self.output;
        let mut rows = self.due.into_iter().enumerate();
        rows.try_for_each(|(row, (index, from))| each(index, from, &mut RowOutput { output, row }))
    }
}

/// Runs what is pending in sequences of one model, together. `each` takes a sequence's index, the position of the first token
/// that a pass ran for it, and what the pass gave.
///
/// Logits at [`LogitsAt::Last`] come with the pass that ends a sequence's pending tokens.
pub fn run<S: BorrowMut<Session>, E: From<Error>>(
    sessions: &mut [S],
    want: &Want,
    mut each: impl FnMut(usize, usize, &mut RowOutput) -> Result<(), E>,
) -> Result<(), E> {
    passes(sessions, want, has_pending, |pass| pass.reduce(&mut each))
}

/// Runs passes over the sequences that `wants_more` holds for, until it holds for none.
pub(crate) fn passes<S: BorrowMut<Session>, E: From<Error>>(
    sessions: &mut [S],
    want: &Want,
    wants_more: fn(&Session) -> bool,
    mut each: impl FnMut(ReadPass) -> Result<(), E>,
) -> Result<(), E> {
    while let Some(pass) = pass(sessions, want, wants_more)? {
        each(pass)?;
    }
    Ok(())
}

pub(crate) fn has_pending(session: &Session) -> bool {
    session.pending() > 0
}

fn pass<S: BorrowMut<Session>>(
    sessions: &mut [S],
    want: &Want,
    wants_more: fn(&Session) -> bool,
) -> Result<Option<ReadPass>> {
    let (mut due, mut rows, mut decoder) = (Due::new(), Vec::new(), None);
    for (index, session) in sessions.iter_mut().enumerate() {
        let session = session.borrow_mut();
        if wants_more(session) {
            decoder.get_or_insert_with(|| session.decoder().clone());
            due.push((index, session.len() - session.pending()));
            rows.push(session.row(want.clone()));
        }
    }
    let Some(decoder) = decoder else { return Ok(None) };
    let mut output = decoder.forward(&mut rows)?;
    output.fetch()?;
    Ok(Some(ReadPass { due, output }))
}

impl Session {
    /// Runs every pending token but the last chunk's, so that one more pass ends the prefill.
    pub fn prefill(&mut self) -> Result<()> {
        let want = Want { logits: LogitsAt::None, ..Want::default() };
        let wants_more = |session: &Session| session.pending() > session.chunk();
        passes(&mut [self], &want, wants_more, |_| Ok(()))
    }

    /// Appends generated tokens, runs what is pending and gives the last position's results.
    pub fn advance(&mut self, tokens: &[u32]) -> Result<RowReadout> {
        self.push(tokens)?;
        self.run()
    }

    /// Runs what is pending and gives the last position's logits.
    pub fn run(&mut self) -> Result<RowReadout> {
        if self.pending() == 0 {
            return Err(Error::Misuse("a session needs a pending token to run"));
        }
        let mut last = RowReadout::default();
        run(&mut [self], &Want::default(), |_, _, output| {
            last = output.readout();
            Ok::<(), Error>(())
        })?;
        Ok(last)
    }

    /// Runs what is pending and gives every pending token's activations at these sites, `[time, d_model]` each,
    /// as the plan leaves them.
    pub fn capture(&mut self, sites: &[Site]) -> Result<BTreeMap<Site, Tensor>> {
        if self.pending() == 0 {
            return Err(Error::Misuse("a session needs a pending token to capture from"));
        }
        let mut parts: BTreeMap<Site, Vec<Tensor>> = BTreeMap::new();
        let want = Want { logits: LogitsAt::None, captures: sites.to_vec(), ..Want::default() };
        run(&mut [self], &want, |_, _, output| {
            for (site, tensor) in output.take_captures() {
                parts.entry(site).or_default().push(tensor);
            }
            Ok::<(), Error>(())
        })?;
        let join = |(site, parts): (Site, Vec<Tensor>)| {
            let joined = Tensor::cat(&parts, 0).map_err(Error::tensor(site.to_string()))?;
            Ok((site, joined))
        };
        parts.into_iter().map(join).collect()
    }
}
