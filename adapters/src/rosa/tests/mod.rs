//! What an update must do, on heads small enough to check by hand; `m01` to `m13` are the mechanics' numbers.

mod failures;
mod journal;
mod last_block;
mod operators;
mod real_head;
mod simulation;
mod steps;

use super::guards::Canary;
use super::head::{DenseHead, HeadFacts, OutputHead};
use super::judgement::Judgement;
use super::lesson::{Lesson, Seen, served};
use super::logits;
use super::params::{BlockKind, Rosa, RosaParams, Signs};
use super::policy::Policy;
use super::problem::Problem;
use super::reach::Reach;
use super::state::{BlockState, RosaState};
use super::support::SupportRows;
use super::trace::{AnswerTrace, LastBlock};
use super::update::{FrozenModel, Update};
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_steering::estimate::gaussian;

/// How peaked policies are: the spread of their logits.
const DIFFUSE: f32 = 1.0;
const PEAKED: f32 = 5.0;

/// A random model and an answer sampled from it.
struct Scene {
    head: DenseHead,
    facts: HeadFacts,
    canary: Canary,
    trace: AnswerTrace,
    rosa: Rosa,
    state: RosaState,
    seed: u64,
}

fn normal(seed: u64, n: usize, scale: f32) -> Vec<f32> {
    gaussian(seed, n).into_iter().map(|x| x as f32 * scale).collect()
}

fn uniform(seed: u64, position: usize) -> f64 {
    let purpose = Purpose::Named("rosa.test");
    Draw { seed, choice: 0, purpose, attempt: 0, position }.uniform()
}

/// A token of a row of logits.
fn sampled(row: &[f32], draw: f64) -> u32 {
    let lse = logits::facts(row).lse;
    let mut left = draw;
    for (id, z) in row.iter().enumerate() {
        left -= (f64::from(*z) - lse).exp();
        if left < 0.0 {
            return id as u32;
        }
    }
    row.len() as u32 - 1
}

/// Both signs, limits that let steps through.
fn open_params() -> RosaParams {
    RosaParams {
        signs: Signs::Both,
        canary_step: 10.0,
        canary_mean: 10.0,
        canary_max: 10.0,
        ..RosaParams::default()
    }
}

impl Scene {
    fn new(seed: u64, (vocabulary, width): (usize, usize), peak: f32) -> Scene {
        Scene::with(seed, (vocabulary, width), peak, open_params())
    }

    fn with(
        seed: u64,
        (vocabulary, width): (usize, usize),
        peak: f32,
        params: RosaParams,
    ) -> Scene {
        let time = 6;
        let head = DenseHead::new(normal(10 * seed, vocabulary * width, 1.0), width).unwrap();
        let weight = normal(10 * seed + 1, width, 0.1).iter().map(|x| 1.0 + x).collect();
        let head = head.with_norm(weight, 1e-5).unwrap();
        let rosa = params.check().unwrap();
        let state = RosaState::untaught(rosa.params(), width, [7; 32], seed).unwrap();
        let scale = peak / (width as f32).sqrt();
        let block = |seed: u64, rows: usize| {
            let resid_mid = normal(seed, rows * width, 1.5);
            let added = normal(seed + 1, rows * width, 0.7);
            let resid_post = resid_mid.iter().zip(added).map(|(x, y)| x + y).collect();
            LastBlock { resid_mid, resid_post }
        };
        let (last, far) = (block(10 * seed + 2, time), block(10 * seed + 4, 4));
        let lora = rosa.params().block == BlockKind::LastMlpLora;
        let states = match lora {
            true => head.norm().apply(&last.resid_post),
            false => normal(10 * seed + 6, time * width, scale),
        };
        let canary = match lora {
            true => Canary::new(&head, &head.norm().apply(&far.resid_post), Some(far)),
            false => Canary::new(&head, &normal(10 * seed + 7, 4 * width, scale), None),
        };
        let mut trace = AnswerTrace { id: "a".to_owned(), states, ..AnswerTrace::default() };
        trace.last_block = lora.then_some(last);
        for (at, row) in head.scores(&trace.states).unwrap().chunks(vocabulary).enumerate() {
            trace.lse.push(logits::facts(row).lse);
            trace.tokens.push(sampled(row, uniform(seed, at)));
        }
        let facts = HeadFacts::measure(&head).unwrap();
        Scene { facts, canary: canary.unwrap(), head, trace, rosa, state, seed }
    }

    /// The same answer as the state in force would have served it.
    fn served(&self) -> AnswerTrace {
        let rows = served(&self.trace, &self.state.block);
        let all = self.head.scores(&rows).unwrap();
        let lse = all.chunks(self.head.vocabulary()).map(|row| logits::facts(row).lse).collect();
        let id = format!("{}", self.state.version);
        AnswerTrace { id, lse, version: self.state.version, ..self.trace.clone() }
    }

    fn model(&self) -> FrozenModel<'_> {
        let Scene { head, facts, canary, .. } = self;
        FrozenModel { head, facts, canary, stream_norm: 100.0, pause: &|| () }
    }

    fn update(&self, trace: &AnswerTrace, reward: f64) -> Update {
        let judgement = Judgement::value(reward);
        self.rosa.update(&self.model(), &self.state, trace, &judgement).unwrap()
    }

    fn lesson(&self) -> Lesson {
        let trace = self.served();
        let states = served(&trace, &self.state.block);
        let seen =
            Seen::of(&trace, &states, &self.head, self.rosa.params().top_k, &|| ()).ok().unwrap();
        Lesson::new(&trace, states, &seen.entropy, self.rosa.params(), None).ok().unwrap()
    }

    /// A look at the parts of an update, on the rows given.
    fn look<T>(&self, rows: SupportRows, reward: f64, see: impl FnOnce(&Problem) -> T) -> T {
        let lesson = self.lesson();
        let policy = Policy::new(rows, &lesson).ok().unwrap();
        let reach = Reach::new(&policy, &lesson, &self.state.block, &self.head).unwrap();
        see(&Problem {
            rosa: &self.rosa,
            facts: &self.facts,
            policy: &policy,
            reach: &reach,
            lesson: &lesson,
            reward,
            pause: &|| (),
        })
    }

    /// Every token of the vocabulary, gathered.
    fn all(&self) -> SupportRows<'static> {
        self.some((0..self.head.vocabulary() as u32).collect())
    }

    fn some(&self, ids: Vec<u32>) -> SupportRows<'static> {
        SupportRows::gather(&self.head, &self.facts, ids).unwrap()
    }

    fn values(&self) -> usize {
        self.state.block.values().len()
    }

    fn probe(&self, number: u64) -> Vec<f64> {
        gaussian(9_000_000 + 100 * self.seed + number, self.values())
    }
}

/// Scenes of both blocks.
fn both_blocks(seed: u64, shape: (usize, usize), peak: f32) -> [Scene; 2] {
    [BlockKind::FinalOffset, BlockKind::LastMlpLora]
        .map(|block| Scene::with(seed, shape, peak, RosaParams { block, rank: 2, ..open_params() }))
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The largest difference as a share of the largest value.
fn gap(a: &[f64], b: &[f64]) -> f64 {
    let most = b.iter().fold(0f64, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0f64, |gap, (a, b)| gap.max((a - b).abs())) / most
}
