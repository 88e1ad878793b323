//! Simulated users: a true utility, and choices with noise and habits.

use crate::tpop::matrix::{dot, sigmoid};
use crate::tpop::pair::{DuelOrder, PairLabel};
use crate::tpop::stream::Stream;

/// The shape of the true utility.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrueUtility {
    /// `θ*ᵀx`.
    Linear,
    /// `‖θ*‖·(1 − d·(xᵀθ*/‖θ*‖)²)/√(2d)` on the unit sphere: arms across the taste are best, which no line can say. Its
    /// spread over arms is that of the linear one.
    Squared,
}

/// What becomes of a choice on its way to the learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelControl {
    /// It arrives.
    Honest,
    /// The other one arrives; learning from it must hurt.
    Inverted,
    /// A coin arrives; learning from it must give nothing.
    Random,
}

/// How a simulated user chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulatedUser {
    /// The shape of its utility.
    pub utility: TrueUtility,
    /// ‖θ*‖, in log-odds, 0 to 100.
    pub strength: f64,
    /// Divides the log-odds of its choices, 0.01 to 100.
    pub temperature: f64,
    /// The share of choices that are turned round, 0 to 1.
    pub flips: f64,
    /// Log-odds that the left answer gets for being on the left, -20 to 20.
    pub left_bias: f64,
    /// The round from which its taste is another one.
    pub changes_at: Option<usize>,
    /// What arrives.
    pub labels: LabelControl,
}

impl Default for SimulatedUser {
    /// The user of the toy check: a linear utility of strength 3 over arms on the unit sphere.
    fn default() -> Self {
        SimulatedUser {
            utility: TrueUtility::Linear,
            strength: 3.0,
            temperature: 1.0,
            flips: 0.0,
            left_bias: 0.0,
            changes_at: None,
            labels: LabelControl::Honest,
        }
    }
}

/// A user with its tastes and its chances.
pub(super) struct Chooser {
    user: SimulatedUser,
    tastes: [Vec<f64>; 2],
    stream: Stream,
}

impl Chooser {
    pub(super) fn new(user: SimulatedUser, width: usize, seed: u64) -> Chooser {
        let mut stream = Stream::of(seed, "simulate.user", 0);
        let mut taste = || direction(&mut stream, width, user.strength);
        Chooser { user, tastes: [taste(), taste()], stream }
    }

    // [width] -> []
    pub(super) fn utility(&self, round: usize, features: &[f64]) -> f64 {
        let is_late = self.user.changes_at.is_some_and(|change| round >= change);
        let [early, late] = &self.tastes;
        let along = dot(if is_late { late } else { early }, features);
        match self.user.utility {
            TrueUtility::Linear => along,
            TrueUtility::Squared => {
                let strength = self.user.strength;
                let unit = if strength > 0.0 { along / strength } else { 0.0 };
                strength * (1.0 - features.len() as f64 * unit * unit)
                    / (2.0 * features.len() as f64).sqrt()
            }
        }
    }

    /// What arrives of the choice between arms of these utilities.
    pub(super) fn judge(&mut self, [a, b]: [f64; 2], order: DuelOrder) -> PairLabel {
        let user = self.user;
        let odds = (a - b) / user.temperature + user.left_bias * order.sign();
        let chance = self.stream.uniform();
        let is_flipped = self.stream.uniform() < user.flips;
        let coin = self.stream.uniform() < 0.5;
        let picks_a = (chance < sigmoid(odds)) != is_flipped;
        let arrives = match user.labels {
            LabelControl::Honest => picks_a,
            LabelControl::Inverted => !picks_a,
            LabelControl::Random => coin,
        };
        if arrives { PairLabel::A } else { PairLabel::B }
    }
}

/// A vector of this length in a random direction.
// [] -> [width]
pub(super) fn direction(stream: &mut Stream, width: usize, length: f64) -> Vec<f64> {
    let normals = stream.normals(width);
    let norm = dot(&normals, &normals).sqrt().max(f64::MIN_POSITIVE);
    normals.iter().map(|x| x / norm * length).collect()
}
