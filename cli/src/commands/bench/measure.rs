//! Timing one case: sessions side by side, rewound between repetitions.

use crate::commands::opened::Opened;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::plan::{Bench, Case};
use std::time::{Duration, Instant};
use trimtab_runtime::model::{Decoder, LogitsAt, Want};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::{Checkpoint, Session};

/// The duration of every repetition.
pub fn case(
    opened: &Opened,
    case: &Case,
    plan: &Bench,
    stoppable: &Stoppable,
) -> Result<Vec<Duration>> {
    let mut lanes = Vec::with_capacity(case.batch);
    for row in 0..case.batch {
        lanes.push(Lane::new(opened, case, row)?);
    }
    let decoder = opened.model.decoder();
    let runs = plan.repetitions + usize::from(plan.warmup.is_on());
    let mut samples = Vec::with_capacity(runs);
    for _ in 0..runs {
        lanes.iter_mut().try_for_each(Lane::rewind)?;
        let started = Instant::now();
        match case.n_gen {
            0 => read(&mut lanes, case.n_prompt, decoder, stoppable)?,
            steps => write(&mut lanes, steps, decoder, stoppable)?,
        }
        samples.push(started.elapsed());
        if stoppable.is_stopping() {
            return Err(Error::Interrupted);
        }
    }
    Ok(samples.split_off(runs - plan.repetitions))
}

/// One row of a batch.
struct Lane {
    session: Session,
    start: Checkpoint,
    tokens: Tokens,
}

impl Lane {
    /// A session with its depth read already.
    fn new(opened: &Opened, case: &Case, row: usize) -> Result<Lane> {
        let mut session = opened.model.session(Plan::empty())?;
        session.set_chunk(opened.chunk);
        let vocabulary = session.decoder().spec().vocab_size;
        let mut tokens = Tokens { state: row as u64 + 1, vocabulary: vocabulary as u64 };
        if case.n_depth > 0 {
            session.push_prompt(&tokens.take(case.n_depth))?;
            session.run()?;
        }
        Ok(Lane { start: session.checkpoint(), session, tokens })
    }

    fn rewind(&mut self) -> Result<()> {
        Ok(self.session.rollback(&self.start)?)
    }
}

/// Token ids in no order; which ones they are does not matter to the clock.
struct Tokens {
    state: u64,
    vocabulary: u64,
}

impl Tokens {
    fn take(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> u32 {
        // Knuth's MMIX congruence; its high bits are the good ones.
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.state >> 33) % self.vocabulary) as u32
    }
}

/// Reads a prompt in every lane, up to the logits of its last token.
fn read(lanes: &mut [Lane], count: usize, decoder: &Decoder, stoppable: &Stoppable) -> Result<()> {
    for lane in &mut *lanes {
        let prompt = lane.tokens.take(count);
        lane.session.push_prompt(&prompt)?;
    }
    while lanes.iter().any(|lane| lane.session.pending() > 0) && !stoppable.is_stopping() {
        pass(lanes, decoder)?;
    }
    Ok(())
}

/// Adds tokens to every lane one by one, with the logits of each on the host, as sampling needs them.
fn write(lanes: &mut [Lane], steps: usize, decoder: &Decoder, stoppable: &Stoppable) -> Result<()> {
    for _ in 0..steps {
        for lane in &mut *lanes {
            let token = lane.tokens.next();
            lane.session.push(&[token])?;
        }
        pass(lanes, decoder)?;
        if stoppable.is_stopping() {
            return Ok(());
        }
    }
    Ok(())
}

fn pass(lanes: &mut [Lane], decoder: &Decoder) -> Result<()> {
    let want = Want { logits: LogitsAt::Last, ..Want::default() };
    let mut rows: Vec<_> = lanes.iter_mut().map(|l| l.session.row(want.clone())).collect();
    decoder.forward(&mut rows)?.to_host()?;
    Ok(())
}
