//! The token loop: the one way text is made.
//!
//! A [`Generation`] is one answer in the making: a session, a request and the monitors that watch it. [`run`] steps
//! any number of them together, prefill chunks and decode steps in one pass; the command line, the server, the
//! trainer and the tests all come through here. A generation's tokens do not depend on the others, and what goes
//! wrong in one (a hook's NaN, a full pool) ends that one.

mod answer;
mod request;
mod unfold;

pub use answer::{Answer, Event, Finish, Flow, Usage};
pub use request::{Request, RetryBudget};
pub use unfold::Generation;

use crate::error::{Error, Result};
use crate::joint::{Contender, Joint};
use crate::model::RowReadout;
use crate::session::Checkpoint;
use std::sync::Arc;

/// Receives events with the index of the generation they come from.
pub type Sink<'a> = &'a mut dyn FnMut(usize, Event) -> Flow;

/// Runs one generation to its end.
pub fn complete(generation: Generation) -> Result<Answer> {
    let mut one = [generation];
    run(&mut one, &mut |_, _| Flow::Continue)?;
    let [generation] = one;
    generation.into_answer()
}

/// Runs generations of one model together until all have finished.
///
/// A generation that fails ends with [`Finish::Failed`]; its error comes out of
/// [`into_answer`](Generation::into_answer). The others go on as if it had never been there.
pub fn run(generations: &mut [Generation], sink: Sink) -> Result<()> {
    of_one_model(generations)?;
    loop {
        let unfinished = unfinished(generations);
        if unfinished.is_empty() {
            return Ok(());
        }
        round(generations, &unfinished, sink);
    }
}

/// One pass over the next chunks of these generations, and a token for each whose prompt is through.
///
/// What [`run`] does again and again. They must be unfinished and of one model.
pub(crate) fn round(generations: &mut [Generation], who: &[usize], sink: Sink) {
    for (index, readout) in forward(generations, who, sink) {
        let Some(generation) = generations.get_mut(index) else { continue };
        let emit = &mut |event| sink(index, event);
        if let Err(error) = step(generation, readout, emit) {
            generation.fail(error, emit);
        }
    }
}

fn unfinished(generations: &[Generation]) -> Vec<usize> {
    let all = generations.iter().enumerate();
    all.filter(|(_, g)| !g.is_finished()).map(|(index, _)| index).collect()
}

fn step(
    generation: &mut Generation,
    readout: RowReadout,
    emit: &mut dyn FnMut(Event) -> Flow,
) -> Result<()> {
    let scored = generation.score(readout)?;
    let token = generation.choose(&scored)?;
    generation.accept(token, scored, emit)
}

/// Runs generations in lockstep: each step, `joint` chooses every unfinished row's token.
pub fn run_joint(generations: &mut [Generation], joint: &mut dyn Joint, sink: Sink) -> Result<()> {
    of_one_model(generations)?;
    while generations.iter().any(|g| !g.is_finished()) {
        // Everybody's next pass must give a token to choose, however much is pending.
        for generation in generations.iter_mut().filter(|g| !g.is_finished()) {
            generation.session_mut().prefill()?;
        }
        let mut ready = Vec::new();
        let unfinished = unfinished(generations);
        for (index, readout) in forward(generations, &unfinished, sink) {
            if let Some(generation) = generations.get(index) {
                ready.push((index, generation.score(readout)?));
            }
        }
        let tokens = {
            let rows = ready.iter().filter_map(|(index, scored)| {
                Some(contender(*index, generations.get(*index)?, scored))
            });
            joint.choose(&rows.collect::<Vec<Contender>>())?
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

fn contender<'a>(
    index: usize,
    generation: &'a Generation,
    scored: &'a unfold::Scored,
) -> Contender<'a> {
    Contender {
        index,
        logits: &scored.logits,
        tokens: generation.session().tokens(),
        reading: scored.reading.as_deref(),
        draw: generation.draw(),
    }
}

fn of_one_model(generations: &[Generation]) -> Result<()> {
    let mut decoders = generations.iter().map(|g| g.session().decoder());
    let Some(first) = decoders.next() else { return Ok(()) };
    if decoders.all(|d| Arc::ptr_eq(d, first)) {
        return Ok(());
    }
    Err(Error::Misuse("generations that run together must be of one model"))
}

/// One pass over the next chunks of these; gives the results of those whose next token is due.
fn forward(
    generations: &mut [Generation],
    indices: &[usize],
    sink: Sink,
) -> Vec<(usize, RowReadout)> {
    let mut readouts = Vec::with_capacity(indices.len());
    let saved = save(generations, indices);
    match pass(generations, indices) {
        Ok(all) => readouts.extend(indices.iter().copied().zip(all)),
        // Alone, everybody gets the bits they would have had together, and the culprit is found.
        Err(_) if indices.len() > 1 => {
            restore(generations, &saved, sink);
            for &index in indices {
                one_alone(generations, index, &mut readouts, sink);
            }
        }
        Err(error) => {
            if let Some((&index, generation)) =
                indices.first().and_then(|i| Some((i, generations.get_mut(*i)?)))
            {
                generation.fail(error, &mut |e| sink(index, e));
            }
        }
    }
    let (due, early): (Vec<_>, Vec<_>) =
        readouts.into_iter().partition(|(_, readout)| !readout.logits.is_empty());
    for (index, _) in early {
        if let Some(generation) = generations.get_mut(index) {
            generation.prefilled(&mut |e| sink(index, e));
        }
    }
    due
}

fn one_alone(
    generations: &mut [Generation],
    index: usize,
    readouts: &mut Vec<(usize, RowReadout)>,
    sink: Sink,
) {
    match pass(generations, &[index]) {
        Ok(one) => readouts.extend(one.into_iter().map(|readout| (index, readout))),
        Err(error) => {
            if let Some(generation) = generations.get_mut(index) {
                generation.fail(error, &mut |e| sink(index, e));
            }
        }
    }
}

/// The rows of these generations in one pass.
fn pass(generations: &mut [Generation], indices: &[usize]) -> Result<Vec<RowReadout>> {
    let Some(first) = indices.first().and_then(|i| generations.get(*i)) else {
        return Ok(Vec::new());
    };
    let decoder = first.session().decoder().clone();
    let chosen = generations.iter_mut().enumerate().filter(|(i, _)| indices.contains(i));
    let mut rows = chosen.map(|(_, g)| g.row()).collect::<Vec<_>>();
    decoder.forward(&mut rows)?.to_host()
}

/// Hooks run even in a pass that fails, so sessions that have any are remembered.
fn save(generations: &[Generation], indices: &[usize]) -> Vec<(usize, Checkpoint)> {
    if indices.len() < 2 {
        return Vec::new();
    }
    let of = |i: &usize| generations.get(*i).filter(|g| !g.session().is_stateless());
    indices.iter().filter_map(|i| Some((*i, of(i)?.session().checkpoint()))).collect()
}

fn restore(generations: &mut [Generation], saved: &[(usize, Checkpoint)], sink: Sink) {
    for (index, checkpoint) in saved {
        let Some(generation) = generations.get_mut(*index) else { continue };
        if let Err(error) = generation.session_mut().rollback(checkpoint) {
            generation.fail(error, &mut |e| sink(*index, e));
        }
    }
}
