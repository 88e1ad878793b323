//! The token loop: the one way text is made.
//!
//! A [`Generation`] is one answer in the making: a session, a request and the monitors that watch it. [`run`] steps
//! any number of them together, prefill chunks and decode steps in one pass; the command line, the server, the
//! trainer and the tests all come through here. A generation's tokens do not depend on the others, and what goes
//! wrong in one (a hook's NaN, a full pool) ends that one.

mod answer;
mod generation;
mod group;
mod request;

pub use answer::{Answer, Event, Finish, Flow, ShownToken, Usage};
pub use generation::Generation;
pub(crate) use group::Lockstep;
pub use group::{Group, run_group};
pub use request::{Request, RetryBudget};

use crate::decoder::Output;
use crate::error::{Error, Result};
use crate::monitor::Sensed;
use crate::read::{Due, ReadTask, RowOutput};
use crate::session::Checkpoint;
use candle_core::DType;
use generation::Readout;
use std::collections::BTreeMap;
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
    drive(generations, &mut [], sink)
}

fn drive(generations: &mut [Generation], groups: &mut [Lockstep], sink: Sink) -> Result<()> {
    of_one_model(generations)?;
    while !generations.iter().all(Generation::is_finished) {
        let all = generations.iter().enumerate();
        let turn: Vec<usize> = all.filter(|(_, g)| g.runs()).map(|(index, _)| index).collect();
        round(generations, &turn, &mut [], groups, sink);
    }
    Ok(())
}

/// One pass over the next chunks of these generations, and a token for each whose prompt is through; an answer of a group
/// waits for the others' logits.
///
/// What [`run`] does again and again. They must be of one model and have something to run. Reads run in the same pass.
pub(crate) fn round(
    generations: &mut [Generation],
    who: &[usize],
    reads: &mut [ReadTask],
    groups: &mut [Lockstep],
    sink: Sink,
) {
    for (index, readouts) in forward(generations, who, reads, sink) {
        let Some(generation) = generations.get_mut(index) else { continue };
        let emit = &mut |event| sink(index, event);
        let taken = match groups.iter().any(|group| group.has(index)) {
            true => take_in(generation, readouts, emit),
            false => step(generation, readouts, emit),
        };
        if let Err(error) = taken {
            generation.fail(error, emit);
        }
    }
    for group in groups {
        group.advance(generations, sink);
    }
}

/// Takes in what a pass gave: the logits of the next token, or what a monitor was waiting for.
fn take_in(
    generation: &mut Generation,
    mut readouts: Vec<Readout>,
    emit: &mut dyn FnMut(Event) -> Flow,
) -> Result<()> {
    if generation.is_asking() {
        return generation.hear(readouts.into_iter().map(|readout| readout.row).collect(), emit);
    }
    readouts.pop().map_or(Ok(()), |readout| generation.score(readout))
}

fn step(
    generation: &mut Generation,
    readouts: Vec<Readout>,
    emit: &mut dyn FnMut(Event) -> Flow,
) -> Result<()> {
    take_in(generation, readouts, emit)?;
    match generation.candidate(0).map(|own| own.own_choice()) {
        Some(token) => generation.accept(token?, emit),
        None => Ok(()),
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
    reads: &mut [ReadTask],
    sink: Sink,
) -> Vec<(usize, Vec<Readout>)> {
    let mut due = Vec::with_capacity(indices.len());
    for (index, readouts) in isolated(generations, indices, reads, sink) {
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

/// One pass; where it fails as a whole, each generation and each read has a pass of its own, which gives it the bits it
/// would have had in the batch, and the one at fault is found.
fn isolated(
    generations: &mut [Generation],
    indices: &[usize],
    reads: &mut [ReadTask],
    sink: Sink,
) -> Vec<Results> {
    let together = indices.len() + reads.len() > 1;
    let saved = if together { save(generations, indices) } else { Vec::new() };
    let states: Vec<_> = reads.iter().filter(|_| together).map(ReadTask::checkpoints).collect();
    let error = match pass(generations, indices, reads) {
        Ok(all) => return all,
        Err(error) => error,
    };
    if !together {
        match (indices.first(), reads.first_mut()) {
            (Some(index), _) => return vec![(*index, Err(error))],
            (None, Some(read)) => read.fail(error),
            (None, None) => {}
        }
        return Vec::new();
    }
    restore(generations, &saved, sink);
    for (read, state) in reads.iter_mut().zip(&states) {
        read.restore(state);
        if let Err(error) = pass(&mut [], &[], std::slice::from_mut(read)) {
            read.fail(error);
        }
    }
    let alone = |index: &usize| {
        let one = pass(generations, &[*index], &mut []);
        one.unwrap_or_else(|error| vec![(*index, Err(error))])
    };
    indices.iter().flat_map(alone).collect()
}

/// The rows of these generations in one pass, and of reads behind them; those that need no pass give what they have.
fn pass(
    generations: &mut [Generation],
    indices: &[usize],
    reads: &mut [ReadTask],
) -> Result<Vec<Results>> {
    let first = indices.first().and_then(|i| generations.get(*i));
    let decoder = first.map(|g| g.session().decoder());
    let Some(decoder) = decoder.or_else(|| reads.first()?.decoder()).cloned() else {
        return Ok(Vec::new());
    };
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
    let answers = rows.len();
    let due: Vec<Due> = reads.iter().map(ReadTask::due).collect();
    rows.extend(reads.iter_mut().flat_map(ReadTask::rows));
    let mut output = match rows.is_empty() {
        true => None,
        false => Some(decoder.forward_each(&mut rows)?),
    };
    drop(rows);
    let mut own = Vec::new();
    if let Some(output) = &mut output {
        output.fetch()?;
        own = readouts(output, answers)?;
        reduce(reads, due, output, answers);
    }
    let mut own = own.into_iter();
    let mut results = Vec::with_capacity(counts.len());
    for (index, count, tokens) in counts {
        let rows: Vec<Result<Readout>> = own.by_ref().take(count).collect();
        let rows = rows.into_iter().chain(ready.remove(&index).map(Ok)).collect();
        if let Some(generation) = generations.get_mut(index) {
            generation.count(tokens);
        }
        results.push((index, rows));
    }
    Ok(results)
}

/// Hands reads their rows of a pass, which begin at row `first`.
fn reduce(reads: &mut [ReadTask], due: Vec<Due>, output: &mut Output, mut first: usize) {
    for (read, due) in reads.iter_mut().zip(due) {
        let count = due.len();
        read.take(due, output, first);
        first += count;
    }
}

/// What a pass gave its first rows, those of answers.
fn readouts(output: &mut Output, answers: usize) -> Result<Vec<Result<Readout>>> {
    let readout = |index| {
        if let Some(error) = output.take_failure(index) {
            return Ok(Err(error));
        }
        let row = RowOutput::new(output, index).readout();
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
    (0..answers).map(readout).collect()
}

/// Hooks run even in a pass that fails, so sessions that have any are remembered.
fn save(generations: &[Generation], indices: &[usize]) -> Vec<(usize, Checkpoint)> {
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
