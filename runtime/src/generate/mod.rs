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
use crate::model::Output;
use crate::monitor::Sensed;
use crate::session::Checkpoint;
use candle_core::DType;
use std::collections::BTreeMap;
use std::sync::Arc;
use unfold::Readout;

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
    for (index, readouts) in forward(generations, who, sink) {
        let Some(generation) = generations.get_mut(index) else { continue };
        let emit = &mut |event| sink(index, event);
        if let Err(error) = step(generation, readouts, emit) {
            generation.fail(error, emit);
        }
    }
}

fn unfinished(generations: &[Generation]) -> Vec<usize> {
    let all = generations.iter().enumerate();
    all.filter(|(_, g)| !g.is_finished()).map(|(index, _)| index).collect()
}

/// Those whose monitors wait for the model.
fn asking(generations: &[Generation]) -> Option<Vec<usize>> {
    let all = generations.iter().enumerate().filter(|(_, g)| !g.is_finished() && g.is_asking());
    let all: Vec<usize> = all.map(|(index, _)| index).collect();
    (!all.is_empty()).then_some(all)
}

fn step(
    generation: &mut Generation,
    mut readouts: Vec<Readout>,
    emit: &mut dyn FnMut(Event) -> Flow,
) -> Result<()> {
    if generation.is_asking() {
        return generation.hear(readouts.into_iter().map(|readout| readout.row).collect(), emit);
    }
    let Some(readout) = readouts.pop() else { return Ok(()) };
    let scored = generation.score(readout)?;
    let token = generation.choose(&scored)?;
    generation.accept(token, scored, emit)
}

/// Runs generations in lockstep: each step, `joint` chooses every unfinished row's token.
pub fn run_joint(generations: &mut [Generation], joint: &mut dyn Joint, sink: Sink) -> Result<()> {
    of_one_model(generations)?;
    while generations.iter().any(|g| !g.is_finished()) {
        while let Some(asking) = asking(generations) {
            round(generations, &asking, sink);
        }
        // Everybody's next pass must give a token to choose, however much is pending.
        for generation in generations.iter_mut().filter(|g| !g.is_finished()) {
            generation.session_mut().prefill()?;
        }
        let mut ready = Vec::new();
        let unfinished = unfinished(generations);
        for (index, mut readouts) in forward(generations, &unfinished, sink) {
            if let (Some(generation), Some(readout)) = (generations.get(index), readouts.pop()) {
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

/// What a pass gave a generation's rows, or the error of one of its hooks.
type Results = (usize, Result<Vec<Readout>>);

/// One pass over the next chunks of these; gives the results of those whose next token, or monitor, is due.
fn forward(
    generations: &mut [Generation],
    indices: &[usize],
    sink: Sink,
) -> Vec<(usize, Vec<Readout>)> {
    let saved = save(generations, indices);
    let results = pass(generations, indices).unwrap_or_else(|error| match indices {
        [index] => vec![(*index, Err(error))],
        // Alone, each gets the bits it would have had in the batch, and the one at fault is found.
        _ => {
            restore(generations, &saved, sink);
            let alone = |index: &usize| {
                pass(generations, &[*index]).unwrap_or_else(|error| vec![(*index, Err(error))])
            };
            indices.iter().flat_map(alone).collect()
        }
    });
    let mut due = Vec::with_capacity(results.len());
    for (index, readouts) in results {
        let Some(generation) = generations.get_mut(index) else { continue };
        let emit = &mut |event| sink(index, event);
        let prefills = |readout: &Readout| readout.row.logits.is_empty();
        match readouts {
            Err(error) => generation.fail(error, emit),
            Ok(all) if !generation.is_asking() && all.iter().all(prefills) => {
                generation.prefilled(emit);
            }
            Ok(all) => due.push((index, all)),
        }
    }
    due
}

/// The rows of these generations in one pass; those that need no pass give what they have.
fn pass(generations: &mut [Generation], indices: &[usize]) -> Result<Vec<Results>> {
    let Some(first) = indices.first().and_then(|i| generations.get(*i)) else {
        return Ok(Vec::new());
    };
    let decoder = first.session().decoder().clone();
    let mut rows = Vec::with_capacity(indices.len());
    let mut counts = Vec::with_capacity(indices.len());
    // First, because what fails here has touched nothing.
    let ready = |index: &usize| Some((*index, generations.get(*index)?.ready()?));
    let ready: Vec<(usize, Result<Readout>)> = indices.iter().filter_map(ready).collect();
    let mut ready = ready
        .into_iter()
        .map(|(index, one)| Ok((index, one?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    for (index, generation) in generations.iter_mut().enumerate() {
        if indices.contains(&index) {
            let own = generation.rows();
            counts.push((index, own.len(), own.iter().map(|row| row.tokens.len()).sum()));
            rows.extend(own);
        }
    }
    let mut output = match rows.is_empty() {
        true => Vec::new(),
        false => readouts(decoder.forward_each(&mut rows)?)?,
    }
    .into_iter();
    drop(rows);
    let mut results = Vec::with_capacity(counts.len());
    for (index, count, tokens) in counts {
        let own: Vec<Result<Readout>> = output.by_ref().take(count).collect();
        let own = own.into_iter().chain(ready.remove(&index).map(Ok)).collect();
        if let Some(generation) = generations.get_mut(index) {
            generation.count(tokens);
        }
        results.push((index, own));
    }
    Ok(results)
}

/// What a pass gave every row, on the host.
fn readouts(mut output: Output) -> Result<Vec<Result<Readout>>> {
    let rows = output.to_host()?.into_iter().enumerate();
    let readout = |(index, row)| {
        if let Some(error) = output.take_failure(index) {
            return Ok(Err(error));
        }
        let activations = output.take_captures(index).into_iter().map(|(site, tensor)| {
            let newest = tensor.dim(0).and_then(|n| tensor.get(n.saturating_sub(1)));
            let newest = newest.and_then(|x| x.to_dtype(DType::F32)?.to_vec1::<f32>());
            Ok((site, newest.map_err(Error::tensor(site.to_string()))?))
        });
        let activations = activations.collect::<Result<_>>()?;
        let attention = output.attention(index).into_iter().flatten().map(|(block, weights)| {
            let at = Error::tensor(format!("attention weights of block {block}"));
            Ok((*block, weights.to_dtype(DType::F32).and_then(|w| w.to_vec2()).map_err(at)?))
        });
        let attention = attention.collect::<Result<_>>()?;
        Ok(Ok(Readout { row, sensed: Sensed { activations, attention, ..Sensed::default() } }))
    };
    rows.map(readout).collect()
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
