//! Hooks that draw and report: reproducible in any batch, and undone by a rewind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use trimtab_runtime::engine::{Engine, EngineOptions, Notice, Terms};
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::generate::{Answer, Flow, Generation, Request, complete, run};
use trimtab_runtime::hook::{Bound, Edit, Hook, Intervention, Pass, Readings};
use trimtab_runtime::logits::Bias;
use trimtab_runtime::model::spec::ModelSpec;
use trimtab_runtime::monitor::{Monitor, Stage, Unfolding, Verdict};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Draw, Purpose, SamplingParams};
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::{laws, tiny};
use trimtab_runtime::{Error, Result, Tensor};
use trimtab_tests::rig::{Rig, push};

const PROMPT: [u32; 6] = [3, 1, 4, 1, 5, 9];

/// Doubles each position with probability one half, and reports what it drew.
#[derive(Debug, Clone)]
struct Coin;

#[derive(Clone, Default)]
struct CoinHook {
    drawn: Vec<f32>,
}

impl Intervention for Coin {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::builder("test.coin").finish()
    }
    fn sites(&self) -> Vec<Site> {
        vec![Site::ResidPost(0)]
    }
    fn bind(&self, _: &ModelSpec) -> Result<Bound> {
        Ok(Bound::Hook(Box::new(CoinHook::default())))
    }
}

impl Hook for CoinHook {
    // stream [time, d_model] -> the same, some rows doubled
    fn apply(&mut self, _: Site, stream: &Tensor, pass: &Pass) -> Result<Edit> {
        let draws: Vec<f32> =
            pass.positions().map(|at| pass.draw("coin", at).uniform() as f32).collect();
        let factors = draws.iter().map(|u| if *u < 0.5 { 2f32 } else { 1.0 }).collect();
        self.drawn.extend(&draws);
        let scaled = Tensor::from_vec(factors, (draws.len(), 1), stream.device())
            .and_then(|factors| stream.broadcast_mul(&factors));
        let stream = scaled.map_err(Error::tensor("coin"))?;
        Ok(Edit::Replace { stream, positions: draws.len() })
    }
    fn fork(&self) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
    fn readings(&self) -> Option<Vec<f32>> {
        Some(self.drawn.clone())
    }
}

/// The coin is the second intervention.
fn plan() -> Plan {
    Plan::of(push(Site::ResidPost(1), 2)).then(Coin)
}

fn generation(rig: &Rig, seed: u64, tokens: usize) -> Generation {
    let session = rig.session(&PROMPT, plan()).unwrap();
    let request = Request {
        sampling: SamplingParams { temperature: 0.8, ..SamplingParams::default() }.check().unwrap(),
        seed,
        max_tokens: Some(tokens),
        processors: vec![Arc::new(Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap())],
        ..Request::default()
    };
    Generation::new(session, tiny::tokenizer().unwrap(), request).unwrap()
}

fn draws(seed: u64, attempt: u32, positions: std::ops::Range<usize>) -> Vec<f32> {
    let draw =
        |position| Draw { seed, choice: 0, purpose: Purpose::Named("coin"), attempt, position };
    positions.map(|position| draw(position).uniform() as f32).collect()
}

/// Rewinds once, from one length to another, and keeps the readings of every token that was chosen.
struct Once {
    at: usize,
    from: usize,
    seen: Arc<Mutex<Vec<Readings>>>,
}

impl Monitor for Once {
    fn watch(&mut self, answer: &Unfolding) -> Result<Verdict> {
        if let Some(sensed) = answer.sensed.filter(|_| answer.stage == Stage::Unfolding) {
            self.seen.lock().unwrap().push(sensed.readings.clone());
        }
        if answer.tokens.len() == self.at && answer.attempt == 0 {
            return Ok(Verdict::retry(self.from));
        }
        Ok(Verdict::Continue { release: answer.text.len(), ask_after: 1 })
    }
    fn rewind(&mut self, _: usize) {}
}

fn once(at: usize, from: usize) -> Once {
    Once { at, from, seen: Arc::default() }
}

#[test]
fn a_hook_that_draws_keeps_the_laws() {
    laws::check_intervention(Arc::new(Coin)).unwrap();
}

#[test]
fn a_seed_draws_the_same_alone_and_among_others() {
    let rig = Rig::tiny(1024);
    let alone: Vec<Answer> =
        [7, 8, 9].iter().map(|seed| complete(generation(&rig, *seed, 12)).unwrap()).collect();
    let mut together: Vec<Generation> =
        [7, 8, 9].iter().map(|seed| generation(&rig, *seed, 12)).collect();
    run(&mut together, &mut |_, _| Flow::Continue).unwrap();
    for (seed, (answer, alone)) in (7..).zip(together.into_iter().zip(&alone)) {
        let answer = answer.into_answer().unwrap();
        assert_eq!(answer, *alone);
        // The prompt and every token but the last, which no pass has run.
        let expected = BTreeMap::from([(1, draws(seed, 0, 0..PROMPT.len() + 11))]);
        assert_eq!(answer.readings, expected);
    }
}

#[test]
fn a_rewind_draws_anew_behind_what_is_kept() {
    let rig = Rig::tiny(1024);
    for (at, from) in [(9, 4), (1, 0), (40, 2)] {
        let watched = generation(&rig, 7, 45).watched_by(once(at, from));
        let answer = complete(watched).unwrap();
        let kept = PROMPT.len() + from;
        let mut expected = draws(7, 0, 0..kept);
        expected.extend(draws(7, 1, kept..PROMPT.len() + 44));
        assert_eq!(answer.readings[&1], expected, "{at} to {from}");
    }
}

#[test]
fn readings_are_a_part_of_what_a_rollback_and_a_fork_bring_back() {
    let rig = Rig::tiny(1024);
    let mut session: Session = rig.session(&PROMPT, plan()).unwrap();
    session.run().unwrap();
    let (place, before) = (session.checkpoint(), session.readings().unwrap());
    assert_eq!(before[&1].len(), PROMPT.len());
    let mut fork = session.fork();
    session.advance(&[2, 3]).unwrap();
    assert_eq!(fork.readings().unwrap(), before);
    let after = session.readings().unwrap();
    assert_ne!(after, before);
    session.rollback(&place).unwrap();
    assert_eq!(session.readings().unwrap(), before);
    for session in [&mut session, &mut fork] {
        session.advance(&[2, 3]).unwrap();
        assert_eq!(session.readings().unwrap(), after);
    }
}

#[test]
fn a_monitor_reads_what_hooks_report_behind_each_pass() {
    let rig = Rig::tiny(1024);
    let monitor = once(6, 3);
    let seen = monitor.seen.clone();
    complete(generation(&rig, 7, 8).watched_by(monitor)).unwrap();
    let lengths = |token: usize| PROMPT.len() + token;
    let expected: Vec<usize> = (0..6).chain(3..8).map(lengths).collect();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(|r| r[&1].len()).collect::<Vec<_>>(), expected);
    // Where a rewind needs no pass, the stored ones stand again.
    assert_eq!(seen[3], seen[6]);
}

#[test]
fn keys_and_values_that_are_made_again_are_those_of_the_first_draws() {
    let rig = Rig::tiny(12 * trimtab_runtime::kv::BLOCK_LEN);
    let options = EngineOptions { parallel: 4, queue: 8, chunk: 16 };
    let engine = Engine::start(rig.decoder.clone(), rig.pool.clone(), options).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let tickets: Vec<_> = (0..4)
        .map(|seed| {
            let (tell, watched) = (tell.clone(), generation(&rig, seed, 70).watched_by(once(9, 4)));
            let sink = move |notice| {
                if let Notice::Ended { result, .. } = notice {
                    tell.send((seed, result)).unwrap();
                }
                Flow::Continue
            };
            engine.submit(vec![watched], Terms::default(), sink).unwrap()
        })
        .collect();
    for _ in 0..4 {
        let (seed, answer) = told.recv().unwrap();
        let alone = complete(generation(&Rig::tiny(1024), seed, 70).watched_by(once(9, 4)));
        let (answer, alone) = (answer.unwrap(), alone.unwrap());
        assert_eq!((answer.tokens, answer.readings), (alone.tokens, alone.readings), "{seed}");
    }
    assert!(engine.load().preempted > 0, "the pool was never too small");
    drop(tickets);
}
