//! A toy with a known optimum: a softmax policy over some answers, of which a set is preferred.
//!
//! Each turn one answer is drawn and judged, right or wrong, some judgements flipped, and the arm learns from it. An
//! answer is one deciding token among wording that is nearly certain and innocent. What is measured is how far the
//! deciding policy is from the exact optimum `π_0·exp(r/β)/Z` of the untaught policy. It is a simulation: it shows that
//! the update does what it says, not what it is worth on a language model.

use super::guards::Canary;
use super::head::{DenseHead, HeadFacts, OutputHead};
use super::history::RosaHistory;
use super::journal::JournalOutcome;
use super::judgement::Judgement;
use super::logits;
use super::params::{CreditMask, Rosa, RosaParams, Signs, StepDirection};
use super::state::{BlockState, RosaState};
use super::trace::AnswerTrace;
use super::update::FrozenModel;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use trimtab_runtime::sample::{Draw, Purpose, SamplingParams};
use trimtab_steering::estimate::gaussian;

/// Features of an answer that say nothing of whether it is preferred.
const FEATURES: usize = 8;
/// Tokens of wording, in front of the deciding token and behind it.
const WORDING: usize = 7;
/// Where the deciding token stands.
const DECIDING: usize = 4;
/// The logit of a wording token at its own position; the others have 0 there.
const CERTAIN: f32 = 9.0;

/// What learns, and what from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToyArm {
    /// Nothing: every turn is a fresh draw.
    Still,
    /// Answers that were called wrong are never drawn again.
    Ban,
    /// The update.
    Rosa,
    /// One plain gradient step of equal predicted divergence.
    Gradient,
    /// A random direction of equal predicted divergence.
    Random,
    /// The update, on judgements that a coin makes.
    Shuffled,
    /// The update, on the opposite of every judgement: it must do harm.
    Inverted,
}

impl ToyArm {
    /// Every arm.
    pub const ALL: [ToyArm; 7] = [
        ToyArm::Still,
        ToyArm::Ban,
        ToyArm::Rosa,
        ToyArm::Gradient,
        ToyArm::Random,
        ToyArm::Shuffled,
        ToyArm::Inverted,
    ];

    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ToyArm::Still => "still",
            ToyArm::Ban => "ban",
            ToyArm::Rosa => "rosa",
            ToyArm::Gradient => "gradient",
            ToyArm::Random => "random",
            ToyArm::Shuffled => "shuffled",
            ToyArm::Inverted => "inverted",
        }
    }

    fn learns(self) -> bool {
        !matches!(self, ToyArm::Still | ToyArm::Ban)
    }

    fn direction(self, seed: u64, turn: usize) -> StepDirection {
        match self {
            ToyArm::Gradient => StepDirection::Gradient,
            // The low numbers of a seed are the world's.
            ToyArm::Random => StepDirection::Random { seed: (seed << 20) + 1000 + turn as u64 },
            ToyArm::Still | ToyArm::Ban | ToyArm::Rosa | ToyArm::Shuffled | ToyArm::Inverted => {
                StepDirection::Solved
            }
        }
    }
}

/// Whether the answers' features say which are preferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToyFeatures {
    /// One of them does: an offset can express the optimum.
    #[default]
    Telling,
    /// None does.
    Blind,
}

/// A toy as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToyParams {
    /// How many answers there are, 2 to 1000.
    pub answers: usize,
    /// How many of them are preferred, at least 1 and fewer than all.
    pub preferred: usize,
    /// Turns of one run, 1 to 1000.
    pub turns: usize,
    /// Runs of each arm, 1 to 1000; run k has seed k.
    pub seeds: u64,
    /// Share of judgements that are flipped, 0 to 1.
    pub flipped: f64,
    /// Whether the features can express the preference.
    pub features: ToyFeatures,
    /// `β` of the optimum that policies are compared with, 0.05 to 4; many turns in one direction go further than one.
    pub optimum_beta: f64,
    /// The update's configuration.
    pub rosa: RosaParams,
}

impl Default for ToyParams {
    fn default() -> Self {
        ToyParams {
            answers: 50,
            preferred: 10,
            turns: 30,
            seeds: 20,
            flipped: 0.0,
            features: ToyFeatures::Telling,
            optimum_beta: 0.25,
            rosa: RosaParams { signs: Signs::Both, max_updates: 1000, ..RosaParams::default() },
        }
    }
}

impl ToyParams {
    /// The checked form.
    ///
    /// # Errors
    ///
    /// A number out of its range, or a block other than `final_offset`.
    pub fn check(self) -> Result<Toy> {
        let ranges = [
            ("answers", self.answers, 2, 1000),
            ("preferred", self.preferred, 1, self.answers.saturating_sub(1)),
            ("turns", self.turns, 1, 1000),
            ("seeds", usize::try_from(self.seeds).unwrap_or(usize::MAX), 1, 1000),
        ];
        if let Some((field, value, low, high)) =
            ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value))
        {
            let problem = format!("is {value}, not between {low} and {high}");
            return Err(Error::invalid(field, problem));
        }
        let ranges =
            [("flipped", self.flipped, 0.0, 1.0), ("optimum_beta", self.optimum_beta, 0.05, 4.0)];
        if let Some((field, value, low, high)) =
            ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value))
        {
            let problem = format!("is {value}, not between {low} and {high}");
            return Err(Error::invalid(field, problem));
        }
        if self.rosa.block != super::BlockKind::FinalOffset {
            return Err(Error::invalid("rosa.block", "of a simulation is final_offset"));
        }
        let rosa = self.rosa.clone().check()?;
        Ok(Toy { params: self, rosa })
    }
}

/// One turn of one run, measured before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToyTurn {
    /// KL of the exact optimum from the policy, nats.
    pub distance: f64,
    /// Mass of the preferred answers.
    pub preferred: f64,
    /// KL of the untaught policy from the policy, nats.
    pub drift: f64,
    /// Whether the drawn answer is preferred.
    pub right: bool,
    /// Whether it was called wrong before.
    pub repeated: bool,
    /// Whether the judgement led to a new version.
    pub applied: bool,
}

/// One run of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToyRun {
    /// The learner.
    pub arm: ToyArm,
    /// What it was drawn with.
    pub seed: u64,
    /// Its turns, in order.
    pub turns: Vec<ToyTurn>,
}

/// A checked toy.
///
/// ```
/// use trimtab_adapters::rosa::simulate::{ToyArm, ToyParams};
///
/// let toy = ToyParams { turns: 2, seeds: 1, ..ToyParams::default() }.check().unwrap();
/// let runs = toy.run(&[ToyArm::Still, ToyArm::Rosa]).unwrap();
/// assert_eq!(runs.iter().map(|run| run.turns.len()).collect::<Vec<_>>(), [2, 2]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Toy {
    params: ToyParams,
    rosa: Rosa,
}

/// The frozen policy of one seed.
struct World {
    head: DenseHead,
    facts: HeadFacts,
    canary: Canary,
    /// `[WORDING + 1, d]`
    states: Vec<f32>,
    /// Which answers are preferred.
    preferred: Vec<bool>,
    /// Logits of the answers in the untaught policy and in the optimum.
    base: Vec<f32>,
    optimum: Vec<f32>,
}

/// The rows of the answers and of the wording: features, what tells the preferred apart, one place for each wording token.
/// What tells has a mean of 0 over the answers, so that pushing wording down moves it little.
// noise [answers · (FEATURES + 1)] -> [answers + WORDING, width]
fn rows(params: &ToyParams, noise: &[f32]) -> Vec<f32> {
    let share = params.preferred as f32 / params.answers as f32;
    let mut rows = Vec::new();
    for (at, noise) in noise.chunks(FEATURES + 1).take(params.answers).enumerate() {
        rows.extend(noise.iter().take(FEATURES).map(|x| 0.7 * x));
        rows.push(match params.features {
            ToyFeatures::Telling if at < params.preferred => 2.0 * (1.0 - share),
            ToyFeatures::Telling => -2.0 * share,
            ToyFeatures::Blind => 0.7 * noise.last().copied().unwrap_or_default(),
        });
        rows.extend([0.0; WORDING]);
    }
    let words = (0..WORDING).flat_map(|word| wording(word, 1.0));
    rows.into_iter().chain(words).collect()
}

/// The width of the toy's stream.
const WIDTH: usize = FEATURES + 1 + WORDING;

/// A state or row of one wording token.
// -> [width]
fn wording(word: usize, value: f32) -> Vec<f32> {
    (0..WIDTH).map(|at| if at == FEATURES + 1 + word { value } else { 0.0 }).collect()
}

impl World {
    fn new(params: &ToyParams, seed: u64) -> Result<World> {
        let of_rows = params.answers * (FEATURES + 1);
        let noise: Vec<f32> =
            gaussian(seed << 20, of_rows + FEATURES).into_iter().map(|x| x as f32).collect();
        let head = DenseHead::new(rows(params, &noise), WIDTH)?;
        let mut states: Vec<Vec<f32>> = (0..WORDING).map(|word| wording(word, CERTAIN)).collect();
        let canary = Canary::new(&head, &states.concat(), None)?;
        let mut deciding: Vec<f32> = noise.iter().skip(of_rows).map(|x| 0.5 * x).collect();
        // The untaught policy likes the preferred answers a little less, and no wording where an answer is due.
        deciding.push(-0.3);
        deciding.extend([-CERTAIN; WORDING]);
        let mut base = head.scores(&deciding)?;
        base.truncate(params.answers);
        states.insert(DECIDING, deciding);
        let preferred: Vec<bool> = (0..params.answers).map(|at| at < params.preferred).collect();
        let strength = 1.0 / params.optimum_beta;
        let tilt = |liked: bool| if liked { strength } else { -strength };
        let optimum = base.iter().zip(&preferred).map(|(z, liked)| z + tilt(*liked) as f32);
        Ok(World {
            facts: HeadFacts::measure(&head)?,
            canary,
            states: states.concat(),
            optimum: optimum.collect(),
            preferred,
            base,
            head,
        })
    }

    /// The logits of every position under a state, `[WORDING + 1, V]`.
    fn logits(&self, state: &RosaState) -> Result<Vec<f32>> {
        let width = self.head.width();
        let mut states = self.states.clone();
        if let BlockState::FinalOffset(offset) = &state.block {
            let rows = states.chunks_mut(width);
            rows.for_each(|row| row.iter_mut().zip(&offset.delta).for_each(|(h, d)| *h += d));
        }
        self.head.scores(&states)
    }

    fn trace(&self, state: &RosaState, answer: u32, turn: usize) -> Result<AnswerTrace> {
        let vocabulary = self.head.vocabulary();
        let lse =
            self.logits(state)?.chunks(vocabulary).map(|row| logits::facts(row).lse).collect();
        let first = self.preferred.len() as u32;
        let mut tokens: Vec<u32> = (first..first + WORDING as u32).collect();
        tokens.insert(DECIDING, answer);
        Ok(AnswerTrace {
            id: turn.to_string(),
            version: state.version,
            tokens,
            states: self.states.clone(),
            lse,
            ..AnswerTrace::default()
        })
    }
}

/// One conversation of one arm.
struct Talk<'a> {
    toy: &'a Toy,
    world: &'a World,
    arm: ToyArm,
    seed: u64,
    state: RosaState,
    history: RosaHistory,
    /// Answers that were called wrong.
    wrong: Vec<u32>,
}

impl Toy {
    /// Every seed of every arm, arms in the order given.
    ///
    /// # Errors
    ///
    /// None that a checked toy leads to.
    pub fn run(&self, arms: &[ToyArm]) -> Result<Vec<ToyRun>> {
        let seeds = || 0..self.params.seeds;
        arms.iter().flat_map(|arm| seeds().map(|seed| self.run_one(*arm, seed))).collect()
    }

    /// One run. The same seed has the same policy, draws and flips under every arm.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_one(&self, arm: ToyArm, seed: u64) -> Result<ToyRun> {
        let world = World::new(&self.params, seed)?;
        let turns = Talk::new(self, &world, arm, seed)?.run()?;
        Ok(ToyRun { arm, seed, turns })
    }
}

impl<'a> Talk<'a> {
    fn new(toy: &'a Toy, world: &'a World, arm: ToyArm, seed: u64) -> Result<Talk<'a>> {
        let state = RosaState::untaught(toy.rosa.params(), world.head.width(), [0; 32], seed)?;
        let (history, wrong) = (RosaHistory::default(), Vec::new());
        Ok(Talk { toy, world, arm, seed, state, history, wrong })
    }

    fn run(mut self) -> Result<Vec<ToyTurn>> {
        (0..self.toy.params.turns).map(|turn| self.turn(turn)).collect()
    }

    fn draw(&self, turn: usize, what: &'static str) -> Draw {
        let purpose = Purpose::Named(what);
        Draw { seed: self.seed, choice: 0, purpose, attempt: 0, position: turn }
    }

    fn turn(&mut self, turn: usize) -> Result<ToyTurn> {
        let world = self.world;
        let vocabulary = world.head.vocabulary();
        let all = world.logits(&self.state)?;
        let row = all.chunks(vocabulary).nth(DECIDING).unwrap_or_default();
        let policy = row.get(..world.preferred.len()).unwrap_or_default();
        let answer = self.answer(policy, turn)?;
        let right = world.preferred.get(answer as usize).copied().unwrap_or_default();
        let lse = logits::facts(policy).lse;
        let liked = policy.iter().zip(&world.preferred).filter(|(_, liked)| **liked);
        let mut measured = ToyTurn {
            distance: logits::divergences(&world.optimum, policy)[0],
            preferred: liked.map(|(z, _)| (f64::from(*z) - lse).exp()).sum(),
            drift: logits::divergences(&world.base, policy)[0],
            right,
            repeated: self.wrong.contains(&answer),
            applied: false,
        };
        let said = self.judged(if right { 1.0 } else { -1.0 }, turn);
        if said < 0.0 {
            self.wrong.push(answer);
        }
        measured.applied = self.arm.learns() && self.learn(answer, said, turn)?;
        Ok(measured)
    }

    /// A draw from the policy, and for the ban from what was not called wrong.
    // policy [answers] -> []
    fn answer(&self, policy: &[f32], turn: usize) -> Result<u32> {
        let mut policy = policy.to_vec();
        let all_wrong = (0..policy.len() as u32).all(|answer| self.wrong.contains(&answer));
        if self.arm == ToyArm::Ban && !all_wrong {
            for (at, z) in policy.iter_mut().enumerate() {
                if self.wrong.contains(&(at as u32)) {
                    *z = f32::NEG_INFINITY;
                }
            }
        }
        let sampling = SamplingParams::default().check()?;
        Ok(sampling.choose(&policy, &self.draw(turn, "rosa.toy.answer"))?)
    }

    /// What is said of an answer whose reward is the truth.
    fn judged(&self, truth: f64, turn: usize) -> f64 {
        let flips = self.draw(turn, "rosa.toy.flip").uniform() < self.toy.params.flipped;
        let said = if flips { -truth } else { truth };
        match self.arm {
            ToyArm::Inverted => -said,
            ToyArm::Shuffled if self.draw(turn, "rosa.toy.coin").uniform() < 0.5 => 1.0,
            ToyArm::Shuffled => -1.0,
            ToyArm::Still | ToyArm::Ban | ToyArm::Rosa | ToyArm::Gradient | ToyArm::Random => said,
        }
    }

    fn learn(&mut self, answer: u32, said: f64, turn: usize) -> Result<bool> {
        let world = self.world;
        let model = FrozenModel {
            head: &world.head,
            facts: &world.facts,
            canary: &world.canary,
            stream_norm: f64::from(CERTAIN),
            pause: &|| (),
        };
        let trace = world.trace(&self.state, answer, turn)?;
        let judgement = match self.toy.params.rosa.mask {
            CreditMask::AnswerSpan => Judgement::value(said).about(Some(DECIDING..DECIDING + 1)),
            CreditMask::Entropy | CreditMask::Uniform => Judgement::value(said),
        };
        let rosa = self.toy.rosa.clone().with_direction(self.arm.direction(self.seed, turn));
        let update = rosa.learn(&mut self.history, &model, &self.state, (&trace, &judgement))?;
        if let Some(state) = update.state {
            self.state = state;
        }
        Ok(matches!(update.entry.outcome, JournalOutcome::Applied { .. }))
    }
}

/// One number of every turn over the runs of an arm: its mean, and the standard error of that.
pub fn curve(runs: &[ToyRun], arm: ToyArm, value: impl Fn(&ToyTurn) -> f64) -> Vec<[f64; 2]> {
    let runs: Vec<&ToyRun> = runs.iter().filter(|run| run.arm == arm).collect();
    let turns = runs.first().map_or(0, |run| run.turns.len());
    let at = |turn: usize| {
        let values: Vec<f64> =
            runs.iter().filter_map(|run| run.turns.get(turn)).map(&value).collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let spread: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        [mean, (spread / (n - 1.0).max(1.0) / n).sqrt()]
    };
    (0..turns).map(at).collect()
}
