//! The token loop: the one way text is made.
//!
//! A [`Generation`] is one answer in the making: a session, a request and the monitors that watch it. [`run`] steps
//! any number of them together, prefill chunks and decode steps in one pass; the command line, the server, the
//! trainer and the tests all come through here. A generation's tokens do not depend on the others.

mod answer;
mod request;
mod unfold;

pub use answer::{Answer, Event, Finish, Flow, Usage};
pub use request::{Request, RetryBudget};
pub use unfold::Generation;

use crate::error::{Error, Result};
use crate::joint::{Contender, Joint};
use crate::model::RowReadout;

/// Receives events with the index of the generation they come from.
pub type Sink<'a> = &'a mut dyn FnMut(usize, Event) -> Flow;

/// Runs one generation to its end.
pub fn complete(generation: Generation) -> Result<Answer> {
    let mut one = [generation];
    run(&mut one, &mut |_, _| Flow::Continue)?;
    let [generation] = one;
    Ok(generation.into_answer())
}

/// Runs generations together until all have finished.
pub fn run(generations: &mut [Generation], sink: Sink) -> Result<()> {
    while generations.iter().any(|g| !g.is_finished()) {
        for (index, readout) in forward(generations, sink)? {
            if let Some(generation) = generations.get_mut(index) {
                let scored = generation.score(readout)?;
                let token = generation.choose(&scored)?;
                generation.accept(token, scored, &mut |e| sink(index, e))?;
            }
        }
    }
    Ok(())
}

/// Runs generations in lockstep: each step, `joint` chooses every unfinished row's token.
pub fn run_joint(generations: &mut [Generation], joint: &mut dyn Joint, sink: Sink) -> Result<()> {
    // Everybody's next pass must be their first choice, however long their prompts are.
    generations.iter_mut().try_for_each(|g| g.session_mut().prefill())?;
    while generations.iter().any(|g| !g.is_finished()) {
        let mut ready = Vec::new();
        for (index, readout) in forward(generations, sink)? {
            if let Some(generation) = generations.get(index) {
                ready.push((index, generation.score(readout)?));
            }
        }
        let tokens = {
            let rows: Vec<Contender> = ready
                .iter()
                .filter_map(|(index, scored)| Some(contender(generations.get(*index)?, scored)))
                .collect();
            joint.choose(&rows)?
        };
        if tokens.len() != ready.len() {
            return Err(Error::Misuse("a joint must choose one token per row"));
        }
        for ((index, scored), token) in ready.into_iter().zip(tokens) {
            if let Some(generation) = generations.get_mut(index) {
                generation.accept(token, scored, &mut |e| sink(index, e))?;
            }
        }
    }
    Ok(())
}

fn contender<'a>(generation: &'a Generation, scored: &'a unfold::Scored) -> Contender<'a> {
    Contender {
        logits: &scored.processed,
        tokens: generation.session().tokens(),
        reading: scored.reading.as_deref(),
        draw: generation.draw(),
    }
}

/// One pass over everybody's next chunk; gives the results of those whose next token is due.
fn forward(generations: &mut [Generation], sink: Sink) -> Result<Vec<(usize, RowReadout)>> {
    let Some(first) = generations.iter().find(|g| !g.is_finished()) else {
        return Ok(Vec::new());
    };
    let decoder = first.session().decoder().clone();
    let (mut indices, mut rows) = (Vec::new(), Vec::new());
    for (index, generation) in generations.iter_mut().enumerate() {
        if !generation.is_finished() {
            indices.push(index);
            rows.push(generation.row()?);
        }
    }
    let readouts = decoder.forward(&mut rows)?.to_host()?;
    let mut due = Vec::new();
    for (index, readout) in indices.into_iter().zip(readouts) {
        if !readout.logits.is_empty() {
            due.push((index, readout));
        } else if let Some(generation) = generations.get_mut(index) {
            generation.prefilled(&mut |e| sink(index, e));
        }
    }
    Ok(due)
}
