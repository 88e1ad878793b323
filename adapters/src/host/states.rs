//! Activations of given tokens, read by the engine beside its answers or, without one, here and now.

use crate::error::{Error, Result};
use crate::rosa::LastBlock;
use std::sync::Arc;
use std::sync::mpsc::channel;
use trimtab_runtime::decoder::{LogitsAt, Outputs};
use trimtab_runtime::engine::{Engine, SubmitOptions};
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::read::{Read, Reducer, RowOutput};
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;

/// Owner of the learner's work in the engine's turns: all of it together is one owner.
const LEARNER: &str = "trimtab.learner";

/// The activations of some positions of one sequence, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadStates {
    /// `final`, `[n, d_model]`.
    pub finals: Vec<f32>,
    /// In the last block, `[n, d_model]` each.
    pub last_block: LastBlock,
}

/// What runs the model for a learner.
#[derive(Clone)]
pub enum StateReader {
    /// The calling thread: nothing else uses the model.
    Here,
    /// The engine, in the rounds of its answers.
    Engine(Arc<Engine>),
}

impl StateReader {
    /// The activations of each sequence's positions from `from` on.
    ///
    /// # Errors
    ///
    /// What the model or the engine refuses.
    pub fn states(&self, sessions: Vec<Session>, from: usize) -> Result<Vec<ReadStates>> {
        let Some(first) = sessions.first() else { return Ok(Vec::new()) };
        let last = first.decoder().spec().n_layers().saturating_sub(1);
        let sites = [Site::Final, Site::ResidMid(last), Site::ResidPost(last)];
        let want =
            Outputs { logits: LogitsAt::None, captures: sites.to_vec(), ..Outputs::default() };
        let rows = vec![ReadStates::default(); sessions.len()];
        let reducer = StatesFrom { sites, from, rows };
        let read = Read::new(sessions, want)?;
        match self {
            StateReader::Here => Ok(read.run(reducer)?),
            StateReader::Engine(engine) => beside(engine, read, reducer),
        }
    }
}

fn beside(engine: &Engine, read: Read, reducer: StatesFrom) -> Result<Vec<ReadStates>> {
    let (tell, told) = channel();
    let owner = Fingerprint::builder(LEARNER).finish().to_u64();
    let terms = SubmitOptions { owner, ..SubmitOptions::default() };
    let ticket = engine.read(vec![(read, reducer)], terms, move |_, result| {
        // A learner that has given up needs no answer.
        tell.send(result).ok();
    })?;
    let states = told.recv();
    drop(ticket);
    Ok(states.map_err(|_| Error::from(trimtab_runtime::Error::Draining))??)
}

/// Keeps three sites of every sequence from a position on.
struct StatesFrom {
    sites: [Site; 3],
    from: usize,
    rows: Vec<ReadStates>,
}

impl Reducer for StatesFrom {
    type Output = Vec<ReadStates>;

    // [time, d_model] -> [time, d_model]
    fn take(
        &mut self,
        row: usize,
        from: usize,
        output: &mut RowOutput,
    ) -> trimtab_runtime::Result<()> {
        let skipped = self.from.saturating_sub(from);
        let [last, mid, post] = self.sites.map(|site| {
            let lines = output.capture(site).map(|tensor| {
                let lines = tensor.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
                Ok(lines.into_iter().skip(skipped).flatten().collect::<Vec<f32>>())
            });
            lines.unwrap_or_else(|| Ok(Vec::new())).map_err(trimtab_runtime::Error::tensor("read"))
        });
        if let Some(states) = self.rows.get_mut(row) {
            states.finals.extend(last?);
            states.last_block.resid_mid.extend(mid?);
            states.last_block.resid_post.extend(post?);
        }
        Ok(())
    }

    fn finish(self) -> trimtab_runtime::Result<Vec<ReadStates>> {
        Ok(self.rows)
    }
}
