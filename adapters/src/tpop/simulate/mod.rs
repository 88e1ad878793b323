//! Simulation: duels with users whose taste is known, so that regret can be counted.
//!
//! The state, the choice of arms and the fit are those that serve; only the user, and where asked for one of the
//! defective rules, are made up. What it shows is about these users and no others. In fresh contexts a runner-up explores
//! by itself, and 400 rounds are too few to tell √T from T.

mod arm;
#[cfg(test)]
mod tests;
mod user;

pub use arm::SimulatedArm;
pub use user::{LabelControl, SimulatedUser, TrueUtility};

use super::choose::{Duel, DuelCandidate, DuelTurn, JudgedAt, TpopChoice};
use super::error::TpopError;
use super::matrix::wide;
use super::params::TpopParams;
use super::second::largest;
use super::state::{TpopScope, TpopState};
use super::stream::Stream;
use trimtab_runtime::fingerprint::Fingerprint;
use user::{Chooser, direction};

/// Where arms come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmContexts {
    /// The same arms in every round.
    Fixed,
    /// New arms in every round.
    Fresh,
}

/// How arms are chosen in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedRule {
    /// As they are when serving, by `params.second`.
    Served,
    /// Arm b by a bonus that grows with repetition, as in the released code: a control.
    Growing,
    /// Both arms at random: a control.
    BothRandom,
}

/// The most duels of one simulation: so many may be asked for without their being worth it.
const MOST_DUELS: usize = 1000;

/// Duels to simulate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DuelSimulation {
    /// How many duels, 1 to 1000.
    pub rounds: usize,
    /// d: values of an arm's features, 1 to 512. Arms lie on the unit sphere.
    pub width: usize,
    /// How many arms there are in a round, 2 to 1000.
    pub arms: usize,
    /// Where they come from.
    pub contexts: ArmContexts,
    /// The user.
    pub user: SimulatedUser,
    /// How arms are chosen.
    pub rule: SimulatedRule,
    /// The learner's keys. Asking is not limited, whatever they say.
    pub params: TpopParams,
}

impl Default for DuelSimulation {
    /// A linear user, 100 fixed arms of 20 values, 400 rounds.
    fn default() -> Self {
        DuelSimulation {
            rounds: 400,
            width: 20,
            arms: 100,
            contexts: ArmContexts::Fixed,
            user: SimulatedUser::default(),
            rule: SimulatedRule::Served,
            params: TpopParams::default(),
        }
    }
}

impl DuelSimulation {
    /// Whether it can be run.
    ///
    /// # Errors
    ///
    /// [`TpopError::Range`] with the first number that is out of its range.
    pub fn check(&self) -> Result<(), TpopError> {
        let counts = [
            ("rounds", self.rounds, 1, MOST_DUELS),
            ("width", self.width, 1, 512),
            ("arms", self.arms, 2, 1000),
        ];
        let floats = [
            ("strength", self.user.strength, 0.0, 100.0),
            ("temperature", self.user.temperature, 0.01, 100.0),
            ("flips", self.user.flips, 0.0, 1.0),
            ("left_bias", self.user.left_bias, -20.0, 20.0),
        ];
        let counts =
            counts.map(|(key, value, low, high)| (key, value as f64, low as f64, high as f64));
        for (key, value, low, high) in counts.into_iter().chain(floats) {
            if !(low..=high).contains(&value) {
                return Err(TpopError::Range { key, value, low, high });
            }
        }
        self.params.check().map(drop)
    }
}

/// What came of a simulation, round by round.
#[derive(Debug, Clone, PartialEq)]
pub struct DuelRun {
    /// The best utility minus the mean of both arms'.
    pub average_regret: Vec<f64>,
    /// The best utility minus arm a's.
    pub first_regret: Vec<f64>,
    /// κ of the last state.
    pub kappa: f64,
}

impl DuelRun {
    /// Average regret summed over all rounds.
    pub fn total(&self) -> f64 {
        self.average_regret.iter().sum()
    }

    /// The sums of average regret up to each round.
    pub fn growth(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let up_to = |regret: &f64| {
            sum += regret;
            sum
        };
        self.average_regret.iter().map(up_to).collect()
    }

    /// Mean regret of arm a over the last rounds.
    pub fn late_first(&self, rounds: usize) -> f64 {
        let late = self.first_regret.iter().rev().take(rounds);
        let count = late.len().max(1);
        late.sum::<f64>() / count as f64
    }

    /// The exponent of the second half: ln of total regret over regret at half time, over ln 2. 1 for regret that does not
    /// shrink, ½ for √T.
    pub fn exponent(&self) -> f64 {
        let half: f64 = self.average_regret.iter().take(self.average_regret.len() / 2).sum();
        (self.total() / half).log2()
    }
}

/// One round's arms: features for the state, and their digests.
struct Arms {
    features: Vec<Vec<f32>>,
    digests: Vec<[u8; 32]>,
}

impl Arms {
    // [] -> [arms, width]
    fn draw(simulation: &DuelSimulation, seed: u64, round: usize) -> Arms {
        let mut stream = Stream::of(seed, "simulate.arms", round);
        let one = |_| -> Vec<f32> {
            direction(&mut stream, simulation.width, 1.0).iter().map(|x| *x as f32).collect()
        };
        let features: Vec<Vec<f32>> = (0..simulation.arms).map(one).collect();
        let digest = |features: &Vec<f32>| {
            *Fingerprint::builder("trimtab.tpop.simulated").floats(features).finish().as_bytes()
        };
        let digests = features.iter().map(digest).collect();
        Arms { features, digests }
    }

    fn candidates(&self) -> Vec<DuelCandidate<'_>> {
        let both = self.features.iter().zip(&self.digests);
        both.map(|(features, answer)| DuelCandidate { features, answer: *answer }).collect()
    }
}

/// Runs one simulation. The same seed has the same arms, tastes and chances under every rule.
///
/// # Errors
///
/// What [`DuelSimulation::check`] refuses, or a state's refusal to learn.
pub fn simulate_duels(simulation: &DuelSimulation, seed: u64) -> Result<DuelRun, TpopError> {
    simulation.check()?;
    let params = TpopParams { ask_budget: MOST_DUELS, ..simulation.params };
    let (width, extractor) = (simulation.width, [0; 32]);
    let scope = TpopScope { config: params.check()?, extractor, width, seed };
    let mut state = TpopState::new(scope)?;
    let mut chooser = Chooser::new(simulation.user, width, seed);
    let mut arms = Arms::draw(simulation, seed, 0);
    let mut run = DuelRun { average_regret: Vec::new(), first_regret: Vec::new(), kappa: 0.0 };
    for round in 0..simulation.rounds {
        if simulation.contexts == ArmContexts::Fresh {
            arms = Arms::draw(simulation, seed, round);
        }
        let turn = DuelTurn { round, since_asked: None };
        let TpopChoice::Duel(mut duel) = state.choose(turn, &arms.candidates())? else { continue };
        replace(simulation.rule, &mut duel, &state, &arms);
        let worth: Vec<f64> =
            arms.features.iter().map(|x| chooser.utility(round, &wide(x))).collect();
        let best = worth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let of = duel.rows.map(|row| worth.get(row).copied().unwrap_or(best));
        run.average_regret.push(best - (of[0] + of[1]) / 2.0);
        run.first_regret.push(best - of[0]);
        let judgement = chooser.judge(of, duel.order);
        let at = JudgedAt { time_ms: round as i64, took_ms: None };
        state = state.learn(duel.judged(round as u64, judgement, at))?.state;
    }
    run.kappa = state.kappa();
    Ok(run)
}

/// Puts the arms of a control in the place of those that would be served.
fn replace(rule: SimulatedRule, duel: &mut Duel, state: &TpopState, arms: &Arms) {
    let rows = match rule {
        SimulatedRule::Served => return,
        SimulatedRule::Growing => growing(duel, state, arms),
        SimulatedRule::BothRandom => {
            let mut stream =
                Stream::of(state.scope().seed, "simulate.both", state.version() as usize);
            let a = stream.below(arms.features.len());
            let b = (a + 1 + stream.below(arms.features.len() - 1)) % arms.features.len();
            [a, b]
        }
    };
    let place = |row: usize| arms.features.get(row).zip(arms.digests.get(row));
    if let (Some(a), Some(b)) = (place(rows[0]), place(rows[1])) {
        duel.rows = rows;
        duel.features = [a.0.clone(), b.0.clone()];
        duel.answers = [*a.1, *b.1];
    }
}

/// Arm b by `r + ν‖g‖_V`, where V⁻¹ belongs.
fn growing(duel: &Duel, state: &TpopState, arms: &Arms) -> [usize; 2] {
    let params = state.scope().config.params();
    let [a, _] = duel.rows;
    let [of_a, _] = &duel.features;
    let score = |(row, b): (usize, &Vec<f32>)| {
        if row == a {
            return f64::NEG_INFINITY;
        }
        let g = state.fitted.taught.contrast(params, b, of_a);
        state.head().reward(b) + params.nu * state.confidence().growing_bonus(&g, params.lambda)
    };
    [a, largest(arms.features.iter().enumerate().map(score)).unwrap_or(a)]
}
