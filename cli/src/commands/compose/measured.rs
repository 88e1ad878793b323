//! The measured matrix: margins of every vector's pairs under every other vector.

use super::config::Compose;
use crate::commands::opened::Opened;
use crate::console::Console;
use crate::error::{Error, Result, read_data};
use crate::progress::Work;
use trimtab_runtime::plan::Plan;
use trimtab_steering::compose::dose::Dosed;
use trimtab_steering::compose::interference::{Behaviour, Interference, Probe, measure};
use trimtab_steering::compose::{Composed, Part, Stream};
use trimtab_steering::eval::{Subject, Task, margins};

/// Everything that matrices are measured with.
pub struct Matrices<'a> {
    subject: Subject<'a>,
    tasks: Vec<Task>,
    random: usize,
    console: &'a Console,
}

impl<'a> Matrices<'a> {
    /// Reads the pairs; `None` if there are none.
    pub fn new(plan: &Compose, opened: &'a Opened, console: &'a Console) -> Result<Option<Self>> {
        let task = |path: &std::path::PathBuf| {
            let wrong = |e| Error::Data { path: path.clone(), source: Box::new(e) };
            Task::parse(&read_data(path)?).map_err(wrong)
        };
        let tasks = plan.args.pairs.iter().map(task).collect::<Result<Vec<Task>>>()?;
        if tasks.is_empty() {
            return Ok(None);
        }
        let subject = Subject::of(&opened.model)?;
        Ok(Some(Matrices { subject, tasks, random: plan.random(), console }))
    }

    /// Of the vectors as they are given, with the noise of random directions.
    pub fn before(&self, parts: &[Part<'_>], stream: &Stream) -> Result<Interference> {
        let vectors = parts.iter().map(|part| part.dosed.clone()).collect();
        let places: Vec<usize> = (0..parts.len()).collect();
        self.measured("measuring interference", (vectors, &places), stream, self.random)
    }

    /// Of what is left of them. `kept` are their places in the list.
    pub fn after(
        &self,
        composed: &Composed<'_>,
        kept: &[usize],
        stream: &Stream,
    ) -> Result<Interference> {
        let order = &composed.report().order;
        let mut ranked: Vec<(usize, Dosed<'_>)> =
            order.iter().copied().zip(composed.vectors()).collect();
        ranked.sort_by_key(|(at, _)| *at);
        let vectors = ranked.into_iter().map(|(_, vector)| vector).collect();
        self.measured("measuring it after separation", (vectors, kept), stream, 0)
    }

    fn measured(
        &self,
        stage: &str,
        (vectors, places): (Vec<Dosed<'_>>, &[usize]),
        stream: &Stream,
        random: usize,
    ) -> Result<Interference> {
        let work = Work::new(self.console);
        let subject = &self.subject;
        let tasks = places.iter().filter_map(|at| self.tasks.get(*at));
        let mut scores: Vec<_> = tasks
            .map(|task| {
                let work = &work;
                move |plan: &Plan| margins(subject, plan, task, &mut |_| work.done(0))
            })
            .collect();
        let mut behaviours: Vec<Behaviour<'_, '_>> = vectors
            .into_iter()
            .zip(&mut scores)
            .map(|(vector, score)| Behaviour { vector, score })
            .collect();
        let probe = Probe { random, ..Probe::default() };
        let found = measure(&mut behaviours, &stream.norms, &probe, &mut |done, total| {
            if done == 1 {
                work.stage(stage, total);
            }
            work.done(1)
        });
        Ok(found?)
    }
}
