//! What `simulate` is to do.

use super::args::{SimulateArgs, SimulateCommand};
use super::plan::SimulationPlan;
use super::{duel, rosa};
use crate::error::{Error, Result};

/// The fewest seeds that have an interval.
const FEWEST_SEEDS: u64 = 2;
const MOST_SEEDS: u64 = 1000;

/// The plan of what was typed.
pub fn plan(args: SimulateArgs) -> Result<SimulationPlan> {
    let plan = match args.command {
        SimulateCommand::Duel(args) => duel::plan(args)?,
        SimulateCommand::Rosa(args) => rosa::plan(args)?,
    };
    if !(FEWEST_SEEDS..=MOST_SEEDS).contains(&plan.seeds) {
        let problem = format!("is {}, expected 2 to 1000: one run has no interval", plan.seeds);
        return Err(Error::usage("--seeds", problem));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};

    fn planned(words: &str) -> Result<SimulationPlan> {
        let argv: Vec<_> = words.split_whitespace().map(Into::into).collect();
        match args::parse(&argv).unwrap().command {
            Some(Command::Simulate(args)) => plan(*args),
            other => panic!("{other:?}"),
        }
    }

    fn names(plan: &SimulationPlan) -> Vec<String> {
        plan.lines.iter().map(|line| line.name(plan.arms)).collect()
    }

    #[test]
    fn all_arms_are_run_unless_some_are_named() {
        let duel = planned("trimtab simulate duel").unwrap();
        assert_eq!((duel.arms, duel.rounds, duel.seeds), (8, 400, 20));
        assert_eq!(names(&duel)[..2], ["ucb", "thompson"]);
        let rosa = planned("trimtab simulate rosa").unwrap();
        assert_eq!((rosa.arms, rosa.rounds, rosa.seeds), (7, 30, 20));
        assert_eq!(names(&rosa)[0], "rosa");
        let some = planned("trimtab simulate duel --only random,ucb --flips 0,0.3").unwrap();
        let expected =
            ["random, flips 0.0", "ucb, flips 0.0", "random, flips 0.3", "ucb, flips 0.3"];
        assert_eq!(names(&some), expected);
        assert_eq!([0, 1, 2, 3].map(|at| some.reference(at)), [0, 0, 2, 2]);
        let one = planned("trimtab simulate rosa --only rosa --beta 1,4").unwrap();
        assert_eq!(names(&one), ["beta 1.0", "beta 4.0"]);
        assert_eq!([0, 1].map(|at| one.reference(at)), [0, 0]);
    }

    #[test]
    fn numbers_that_no_simulation_has_are_refused_by_their_flags() {
        for (words, flag) in [
            ("duel --seeds 1", "--seeds"),
            ("rosa --seeds 1001", "--seeds"),
            ("duel --rounds 0", "--rounds"),
            ("duel --rounds 1001", "--rounds"),
            ("rosa --rounds 0", "--rounds"),
            ("duel --candidates 1", "--candidates"),
            ("rosa --candidates 1", "--candidates"),
            ("rosa --preferred 50", "--preferred"),
            ("duel --width 0", "--width"),
            ("duel --strength 101", "--strength"),
            ("duel --flips 0,1.5", "--flips"),
            ("rosa --flips 1.5", "--flips"),
            ("duel --choice-temperature 0", "--choice-temperature"),
            ("duel --left -21", "--left"),
            ("duel --nu 6", "--nu"),
            ("duel --lambda 0", "--lambda"),
            ("duel --half-life 0,4", "--half-life"),
            ("rosa --beta 0.1", "--beta"),
            ("rosa --eps 0.3", "--eps"),
            ("rosa --damping 0", "--damping"),
            ("rosa --optimum-beta 0", "--optimum-beta"),
        ] {
            let Err(error) = planned(&format!("trimtab simulate {words}")) else {
                panic!("{words}: not refused");
            };
            let named = matches!(error, Error::Usage { flag: found, .. } if found == flag);
            assert!(named, "{words}: {error}");
        }
    }
}
