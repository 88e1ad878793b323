//! Timing one case: sessions side by side, rewound between runs.

use super::args::Beside;
use super::arms::Arm;
use super::config::{Bench, Case};
use super::numbers::Numbers;
use crate::commands::opened::Opened;
use crate::commands::vectors::Steering;
use crate::error::{Error, Result};
use crate::progress::Work;
use std::time::{Duration, Instant};
use trimtab_runtime::decoder::{LogitsAt, Outputs};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::read;
use trimtab_runtime::session::{Checkpoint, History, Session};

/// The durations of a case's plain runs, and of what was run beside them.
#[derive(Debug)]
pub struct Timings {
    /// Plain runs: one per repetition, or where arms stand between them one more than all runs of arms.
    pub plain: Vec<Duration>,
    /// Every other arm's runs.
    pub arms: Vec<(Arm, Vec<Timed>)>,
}

/// A run between two plain ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// How long it took.
    pub duration: Duration,
    /// The plain run before it and the one after it.
    pub around: [Duration; 2],
}

impl Timed {
    /// Its speed as a share of the plain runs' around it.
    pub fn ratio(&self) -> f64 {
        let [before, after] = self.around.map(|d| d.as_secs_f64());
        (before + after) / 2.0 / self.duration.as_secs_f64()
    }
}

/// What all cases share.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub opened: &'a Opened,
    pub plan: &'a Bench,
    /// What steered runs are steered with; empty for a throw-away vector.
    pub steering: &'a Steering,
    pub work: &'a Work<'a>,
}

/// Runs a case as often as was asked, each arm between two plain runs.
pub fn case(setup: &Setup<'_>, case: &Case) -> Result<Timings> {
    let Setup { opened, plan, steering, work } = *setup;
    let mut lanes = Vec::with_capacity(case.batch);
    for row in 0..case.batch {
        lanes.push(Lane::new(opened, case, row)?);
    }
    let spec = opened.model.decoder().spec();
    let arm = |what: &Beside| match what {
        Beside::Steered if !steering.is_empty() => Ok(Arm::steered(steering, case.batch)),
        Beside::Steered | Beside::Distinct | Beside::Empty | Beside::Capture => {
            Arm::beside(*what, case.batch, spec)
        }
    };
    let arms: Vec<Arm> = plan.beside.iter().map(arm).collect::<Result<_>>()?;
    let mut bench = Lanes { lanes, case, work };
    let plain = Arm::plain(case.batch);
    if plan.warmup {
        arms.iter().chain([&plain]).try_for_each(|arm| bench.run(arm).map(drop))?;
    }
    let mut timings =
        Timings { plain: Vec::new(), arms: arms.into_iter().map(|arm| (arm, vec![])).collect() };
    if timings.arms.is_empty() {
        for _ in 0..plan.repetitions {
            timings.plain.push(bench.run(&plain)?);
        }
        return Ok(timings);
    }
    let mut before = bench.run(&plain)?;
    timings.plain.push(before);
    for _ in 0..plan.repetitions {
        for (arm, runs) in &mut timings.arms {
            let duration = bench.run(arm)?;
            let after = bench.run(&plain)?;
            runs.push(Timed { duration, around: [before, after] });
            timings.plain.push(after);
            before = after;
        }
    }
    Ok(timings)
}

/// The rows of a case.
struct Lanes<'a> {
    lanes: Vec<Lane>,
    case: &'a Case,
    work: &'a Work<'a>,
}

impl Lanes<'_> {
    /// One run from the depth on. An interrupt is an error, because what was timed is then no run.
    fn run(&mut self, arm: &Arm) -> Result<Duration> {
        for (lane, plan) in self.lanes.iter_mut().zip(&arm.plans) {
            lane.rewind(plan, arm.captures.len())?;
        }
        let want = Outputs {
            logits: LogitsAt::Last,
            captures: arm.captures.clone(),
            ..Outputs::default()
        };
        let started = Instant::now();
        match self.case.n_gen {
            0 => self.read(&want)?,
            steps => self.write(steps, &want)?,
        }
        let elapsed = started.elapsed();
        if self.work.is_stopping() {
            return Err(Error::Interrupted);
        }
        for (row, lane) in self.lanes.iter().enumerate() {
            arm.check(row, self.case.timed(), lane.acted())?;
        }
        Ok(elapsed)
    }

    /// Reads a prompt in every lane, up to the logits of its last token.
    fn read(&mut self, want: &Outputs) -> Result<()> {
        for lane in &mut self.lanes {
            let prompt = lane.take(self.case.n_prompt);
            lane.session.push_prompt(&prompt)?;
        }
        self.pass(want)
    }

    /// Adds tokens to every lane one by one, with the logits of each on the host, as sampling needs them.
    fn write(&mut self, steps: usize, want: &Outputs) -> Result<()> {
        for _ in 0..steps {
            for lane in &mut self.lanes {
                let token = lane.take(1);
                lane.session.push(&token)?;
            }
            self.pass(want)?;
        }
        Ok(())
    }

    /// Runs what is pending in every lane, with the logits on the host.
    fn pass(&mut self, want: &Outputs) -> Result<()> {
        let work = self.work;
        let lanes = self.lanes.iter_mut().map(|lane| (&mut lane.session, &mut lane.captured));
        let (mut sessions, mut captured): (Vec<_>, Vec<_>) = lanes.unzip();
        read::run(&mut sessions, want, |row, _, output| {
            std::hint::black_box(output.readout());
            let counts = captured.get_mut(row).into_iter().flat_map(|counts| counts.iter_mut());
            for (count, site) in counts.zip(&want.captures) {
                let positions = output.capture(*site).and_then(|t| t.dims().first());
                *count += positions.map_or(0, |n| *n as u64);
            }
            match work.is_stopping() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        })
    }
}

/// One row of a batch.
struct Lane {
    session: Session,
    start: Checkpoint,
    numbers: Numbers,
    vocabulary: u64,
    /// Positions captured since the last rewind, for each site.
    captured: Vec<u64>,
}

impl Lane {
    /// A session with its depth read already.
    fn new(opened: &Opened, case: &Case, row: usize) -> Result<Lane> {
        let mut session = opened.model.session(Plan::empty())?;
        session.set_chunk(opened.chunk);
        let vocabulary = session.decoder().spec().vocab_size as u64;
        let (start, numbers) = (session.checkpoint(), Numbers::new(row as u64));
        let mut lane = Lane { session, start, numbers, vocabulary, captured: Vec::new() };
        if case.n_depth > 0 {
            let depth = lane.take(case.n_depth);
            lane.session.push_prompt(&depth)?;
            lane.session.run()?;
            lane.start = lane.session.checkpoint();
        }
        Ok(lane)
    }

    /// Back to the depth, under a plan. Keys and values of the depth stay plain: time does not depend on what they are.
    fn rewind(&mut self, plan: &Plan, captures: usize) -> Result<()> {
        self.captured = vec![0; captures];
        self.session.rollback(&self.start)?;
        Ok(self.session.replan(plan.clone(), History::Keep)?)
    }

    /// Positions of each intervention since the last rewind, then of each captured site.
    fn acted(&self) -> Vec<u64> {
        [self.session.fired(), &self.captured].concat()
    }

    fn take(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.numbers.below(self.vocabulary) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_compared_with_the_plain_ones_around_it() {
        let seconds = Duration::from_secs;
        let timed = Timed { duration: seconds(4), around: [seconds(1), seconds(3)] };
        assert_eq!(timed.ratio(), 0.5);
    }
}
