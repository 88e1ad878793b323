//! Answers in lockstep: a sampler chooses every answer's next token together.

use super::unfold::Scored;
use super::{Event, Flow, Generation, Sink, forward, of_one_model, take_in, unfinished};
use crate::error::{Error, Result};
use crate::group_sampling::{Candidate, GroupSampler};
use std::collections::BTreeMap;

/// Runs generations in lockstep: each step, the sampler chooses every unfinished answer's token.
///
/// A generation that fails, or that its sink or a monitor ends, leaves the group; the others go on. An error of the sampler
/// ends the run.
pub fn run_group(
    generations: &mut [Generation],
    sampler: &mut dyn GroupSampler,
    sink: Sink,
) -> Result<()> {
    of_one_model(generations)?;
    let mut scored: BTreeMap<usize, Scored> = BTreeMap::new();
    loop {
        let unfinished = unfinished(generations);
        if unfinished.is_empty() {
            return Ok(());
        }
        scored.retain(|index, _| unfinished.contains(index));
        let waiting: Vec<usize> =
            unfinished.into_iter().filter(|index| !scored.contains_key(index)).collect();
        if waiting.is_empty() {
            choose(generations, std::mem::take(&mut scored), sampler, sink)?;
            continue;
        }
        let tell = &mut |index, event| tell(sampler, sink, index, event);
        for (index, readouts) in forward(generations, &waiting, &mut [], tell) {
            let Some(generation) = generations.get_mut(index) else { continue };
            let emit = &mut |event| tell(index, event);
            match take_in(generation, readouts, emit) {
                Ok(found) => scored.extend(found.map(|found| (index, found))),
                Err(error) => generation.fail(error, emit),
            }
        }
    }
}

/// One token for each answer of a group whose logits are all there.
fn choose(
    generations: &mut [Generation],
    scored: BTreeMap<usize, Scored>,
    sampler: &mut dyn GroupSampler,
    sink: Sink,
) -> Result<()> {
    let tokens = {
        let rows = scored.iter().filter_map(|(index, scored)| {
            Some(candidate(*index, generations.get(*index)?, scored))
        });
        sampler.choose(&rows.collect::<Vec<Candidate>>())?
    };
    if tokens.len() != scored.len() {
        return Err(Error::Misuse("a group's sampler must choose one token per answer"));
    }
    for ((index, scored), token) in scored.into_iter().zip(tokens) {
        let Some(generation) = generations.get_mut(index) else { continue };
        let emit = &mut |event| tell(sampler, sink, index, event);
        if let Err(error) = generation.accept(token, scored, emit) {
            generation.fail(error, emit);
        }
    }
    Ok(())
}

/// Tells the sampler what it must know of an event, and the sink all of it.
fn tell(sampler: &mut dyn GroupSampler, sink: Sink, index: usize, event: Event) -> Flow {
    match &event {
        Event::Rewound { from, .. } => sampler.rewind(index, *from),
        Event::Done(_) => sampler.end(index),
        _ => {}
    }
    sink(index, event)
}

fn candidate<'a>(index: usize, generation: &'a Generation, scored: &'a Scored) -> Candidate<'a> {
    Candidate {
        index,
        logits: &scored.logits,
        tokens: generation.session().tokens(),
        reading: scored.reading.as_deref(),
        draw: generation.draw(),
    }
}
