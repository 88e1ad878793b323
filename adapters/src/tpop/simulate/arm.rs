//! The learners that a simulation is run with: those that serve, and controls that must do worse.

use super::super::params::{SecondRule, TpopParams};
use super::user::{LabelControl, SimulatedUser};
use super::{DuelSimulation, SimulatedRule};

/// How arms are chosen and what arrives of choices, under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuelArm {
    /// Arm b by its reward and its bonus, as served by default.
    Ucb,
    /// Arm b by drawn weights.
    Thompson,
    /// Arm b at random.
    Random,
    /// Arm b by its reward alone.
    RunnerUp,
    /// Arm b by a bonus that grows where it should shrink, as in the released code.
    Growing,
    /// Both arms at random.
    BothRandom,
    /// `Ucb` on the opposite of every choice, as in the released code: it must do harm.
    Inverted,
    /// `Ucb` on the fall of a coin: it must learn nothing.
    RandomLabels,
}

impl DuelArm {
    /// Every arm, those that serve first.
    pub const ALL: [DuelArm; 8] = [
        DuelArm::Ucb,
        DuelArm::Thompson,
        DuelArm::Random,
        DuelArm::RunnerUp,
        DuelArm::Growing,
        DuelArm::BothRandom,
        DuelArm::Inverted,
        DuelArm::RandomLabels,
    ];

    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            DuelArm::Ucb => "ucb",
            DuelArm::Thompson => "thompson",
            DuelArm::Random => "random",
            DuelArm::RunnerUp => "runner_up",
            DuelArm::Growing => "growing_matrix",
            DuelArm::BothRandom => "both_random",
            DuelArm::Inverted => "inverted_label",
            DuelArm::RandomLabels => "random_labels",
        }
    }

    /// A simulation with this learner in it, the rest as it was.
    pub fn of(self, simulation: DuelSimulation) -> DuelSimulation {
        let (second, rule, labels) = match self {
            DuelArm::Ucb => (SecondRule::Ucb, SimulatedRule::Served, LabelControl::Honest),
            DuelArm::Thompson => {
                (SecondRule::Thompson, SimulatedRule::Served, LabelControl::Honest)
            }
            DuelArm::Random => (SecondRule::Random, SimulatedRule::Served, LabelControl::Honest),
            DuelArm::RunnerUp => {
                (SecondRule::RunnerUp, SimulatedRule::Served, LabelControl::Honest)
            }
            DuelArm::Growing => (SecondRule::Ucb, SimulatedRule::Growing, LabelControl::Honest),
            DuelArm::BothRandom => {
                (SecondRule::Random, SimulatedRule::BothRandom, LabelControl::Honest)
            }
            DuelArm::Inverted => (SecondRule::Ucb, SimulatedRule::Served, LabelControl::Inverted),
            DuelArm::RandomLabels => (SecondRule::Ucb, SimulatedRule::Served, LabelControl::Random),
        };
        DuelSimulation {
            user: SimulatedUser { labels, ..simulation.user },
            rule,
            params: TpopParams { second, ..simulation.params },
            ..simulation
        }
    }
}
