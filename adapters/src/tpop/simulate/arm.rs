//! The learners that a simulation is run with: those that serve, and controls that must do worse.

use super::super::params::{SecondRule, TpopParams};
use super::user::{LabelControl, SimulatedUser};
use super::{DuelSimulation, SimulatedRule};

/// How arms are chosen and what arrives of choices, under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedArm {
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

impl SimulatedArm {
    /// Every arm, those that serve first.
    pub const ALL: [SimulatedArm; 8] = [
        SimulatedArm::Ucb,
        SimulatedArm::Thompson,
        SimulatedArm::Random,
        SimulatedArm::RunnerUp,
        SimulatedArm::Growing,
        SimulatedArm::BothRandom,
        SimulatedArm::Inverted,
        SimulatedArm::RandomLabels,
    ];

    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SimulatedArm::Ucb => "ucb",
            SimulatedArm::Thompson => "thompson",
            SimulatedArm::Random => "random",
            SimulatedArm::RunnerUp => "runner_up",
            SimulatedArm::Growing => "growing_matrix",
            SimulatedArm::BothRandom => "both_random",
            SimulatedArm::Inverted => "inverted_label",
            SimulatedArm::RandomLabels => "random_labels",
        }
    }

    /// A simulation with this learner in it, the rest as it was.
    pub fn of(self, simulation: DuelSimulation) -> DuelSimulation {
        let (second, rule, labels) = match self {
            SimulatedArm::Ucb => (SecondRule::Ucb, SimulatedRule::Served, LabelControl::Honest),
            SimulatedArm::Thompson => {
                (SecondRule::Thompson, SimulatedRule::Served, LabelControl::Honest)
            }
            SimulatedArm::Random => {
                (SecondRule::Random, SimulatedRule::Served, LabelControl::Honest)
            }
            SimulatedArm::RunnerUp => {
                (SecondRule::RunnerUp, SimulatedRule::Served, LabelControl::Honest)
            }
            SimulatedArm::Growing => {
                (SecondRule::Ucb, SimulatedRule::Growing, LabelControl::Honest)
            }
            SimulatedArm::BothRandom => {
                (SecondRule::Random, SimulatedRule::BothRandom, LabelControl::Honest)
            }
            SimulatedArm::Inverted => {
                (SecondRule::Ucb, SimulatedRule::Served, LabelControl::Inverted)
            }
            SimulatedArm::RandomLabels => {
                (SecondRule::Ucb, SimulatedRule::Served, LabelControl::Random)
            }
        };
        DuelSimulation {
            user: SimulatedUser { labels, ..simulation.user },
            rule,
            params: TpopParams { second, ..simulation.params },
            ..simulation
        }
    }
}
