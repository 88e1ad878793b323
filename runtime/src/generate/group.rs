//! Answers in lockstep: a sampler chooses every answer's next token together.

use super::{Generation, Sink, drive};
use crate::error::{Error, Result, contain};
use crate::group_sampling::{Candidate, GroupSampler};
use std::sync::Arc;

/// Answers whose tokens a sampler chooses together, still to be run.
pub struct Group {
    pub(crate) generations: Vec<Generation>,
    pub(crate) sampler: Box<dyn GroupSampler>,
}

impl Group {
    /// The sampler knows the answers by their place in this list.
    pub fn new(generations: Vec<Generation>, sampler: impl GroupSampler + 'static) -> Group {
        Group { generations, sampler: Box::new(sampler) }
    }
}

/// Runs generations in lockstep: each step, the sampler chooses every unfinished answer's token.
///
/// A generation that fails, or that its sink or a monitor ends, leaves the group; the others go on. An error of the sampler
/// ends them all as [`Error::Shared`].
pub fn run_group(
    generations: &mut [Generation],
    sampler: &mut dyn GroupSampler,
    sink: Sink,
) -> Result<()> {
    let all = 0..generations.len();
    let mut group = Lockstep::new(0, all.len(), Box::new(sampler));
    group.members = all.map(|index| (index, index)).collect();
    drive(generations, &mut [group], sink)
}

/// The sampler of answers that run, and what it knows of them.
pub(crate) struct Lockstep<'a> {
    /// Which of several groups it is.
    pub(crate) job: u64,
    sampler: Box<dyn GroupSampler + 'a>,
    /// The answers whose end it has not been told.
    live: Vec<usize>,
    /// The answers that run: which of the group each is, and its place among the generations of a round.
    pub(crate) members: Vec<(usize, usize)>,
}

impl<'a> Lockstep<'a> {
    pub(crate) fn new(job: u64, answers: usize, sampler: Box<dyn GroupSampler + 'a>) -> Self {
        Lockstep { job, sampler, live: (0..answers).collect(), members: Vec::new() }
    }

    pub(crate) fn has(&self, place: usize) -> bool {
        self.members.iter().any(|(_, other)| *other == place)
    }

    /// Chooses a token for each answer once the logits of all are there. What goes wrong ends them and no others.
    pub(super) fn advance(&mut self, generations: &mut [Generation], sink: Sink) {
        let places = self.members.iter().map(|(_, place)| *place);
        let unfinished = |place: &usize| generations.get(*place).is_some_and(|g| !g.is_finished());
        let mut places: Vec<usize> = places.filter(unfinished).collect();
        let scored = |place: &usize| generations.get(*place).is_some_and(Generation::is_scored);
        if places.is_empty() || !places.iter().all(scored) {
            return;
        }
        // Logits that leave no choice end their own row, before the sampler meets them.
        for place in &places {
            let Some(generation) = generations.get_mut(*place) else { continue };
            if let Some(error) = generation.check_choice().err() {
                generation.fail(error, &mut |event| sink(*place, event));
            }
        }
        places.retain(|place| generations.get(*place).is_some_and(|g| !g.is_finished()));
        if places.is_empty() {
            return;
        }
        let tokens =
            contain("group sampler", || self.choose(generations)).and_then(|tokens| tokens);
        let tokens = tokens.map_err(Arc::new);
        if tokens.is_err() {
            self.live.clear();
        }
        for (i, place) in places.into_iter().enumerate() {
            let Some(generation) = generations.get_mut(place) else { continue };
            let emit = &mut |event| sink(place, event);
            let accepted = match &tokens {
                Ok(tokens) => tokens.get(i).map_or(Ok(()), |token| generation.accept(*token, emit)),
                Err(error) => Err(Error::Shared(error.clone())),
            };
            if let Err(error) = accepted {
                generation.fail(error, emit);
            }
        }
    }

    /// Tells the sampler what has happened, and has it choose for those that are left.
    fn choose(&mut self, generations: &[Generation]) -> Result<Vec<u32>> {
        let Lockstep { sampler, live, members, .. } = self;
        let running = |index: usize| {
            let (_, place) = members.iter().find(|(member, _)| *member == index)?;
            generations.get(*place).filter(|generation| !generation.is_finished())
        };
        live.retain(|index| {
            match running(*index) {
                None => sampler.end(*index),
                Some(generation) => {
                    generation.rewound().into_iter().for_each(|len| sampler.rewind(*index, len));
                }
            }
            running(*index).is_some()
        });
        let candidates = live.iter().filter_map(|index| running(*index)?.candidate(*index));
        let candidates: Vec<Candidate> = candidates.collect();
        let tokens = sampler.choose(&candidates)?;
        match tokens.len() == candidates.len() {
            true => Ok(tokens),
            false => Err(Error::Misuse("a group's sampler must choose one token per answer")),
        }
    }
}

/// However the answers have ended, also before they ran, the sampler is told.
impl Drop for Lockstep<'_> {
    fn drop(&mut self) {
        let Lockstep { sampler, live, .. } = self;
        // No answer is left that a panic could end.
        contain("group sampler", || live.drain(..).for_each(|index| sampler.end(index))).ok();
    }
}
