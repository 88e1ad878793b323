//! What `eval` is to do.

use super::args::EvalArgs;
use crate::error::{Error, Result};
use crate::flags::model::{Opening, at_least_one};
use std::path::PathBuf;
use trimtab_steering::eval::RANDOM_DIRECTIONS;

/// The most tokens of an answer.
const ANSWER: i64 = 48;

/// An evaluation: its flags, and what they come to.
#[derive(Debug)]
pub struct Eval {
    pub args: EvalArgs,
    pub opening: Opening,
    pub data: PathBuf,
    pub purpose: Purpose,
}

/// How strongly a vector is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strengths<'a> {
    /// As its card says.
    OfFile,
    Scales(&'a [f32]),
    /// At these shares of the stream's length.
    Doses(&'a [f64]),
}

/// What a vector is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be held against controls, so many random directions among them.
    Compare { random: u64 },
    /// To find a scale.
    Calibrate,
}

impl Eval {
    pub fn of(mut args: EvalArgs) -> Result<Eval> {
        let Some(data) = args.data.clone() else {
            return Err(Error::usage("--data", "is needed"));
        };
        let purpose = match args.calibrate {
            true => Purpose::Calibrate,
            false => Purpose::Compare { random: args.random },
        };
        together(&args, purpose)?;
        strengths(&args)?;
        // A comparison must not depend on draws or on how long a model goes on, unless that is asked for.
        args.sampling.temperature.get_or_insert(0.0);
        args.sampling.seed.get_or_insert(0);
        args.sampling.n_predict.get_or_insert(ANSWER);
        args.sampling = args.sampling.check()?;
        Ok(Eval { opening: Opening::of(args.model.clone())?, data, purpose, args })
    }

    /// How strongly the vector is measured.
    pub fn strengths(&self) -> Strengths<'_> {
        match (self.args.scales.as_slice(), self.args.doses.as_slice()) {
            ([], []) => Strengths::OfFile,
            ([], doses) => Strengths::Doses(doses),
            (scales, _) => Strengths::Scales(scales),
        }
    }

    /// The rule as it is written.
    pub fn rule(&self) -> Option<String> {
        self.args.rule.as_ref().map(ToString::to_string)
    }
}

/// Refuses flags that are of no use together.
fn together(args: &EvalArgs, purpose: Purpose) -> Result<()> {
    if let (true, Purpose::Compare { random }) = (args.write, purpose)
        && random < RANDOM_DIRECTIONS
    {
        let problem = format!("is {random}, --write needs {RANDOM_DIRECTIONS} or more");
        return Err(Error::usage("--random", problem));
    }
    if purpose == Purpose::Calibrate && !args.shuffled.is_empty() {
        return Err(Error::usage("--shuffled", "is a control, and --calibrate measures none"));
    }
    if args.check && purpose == (Purpose::Compare { random: 0 }) {
        return Err(Error::usage("--random", "is 0, and --check holds the vector against them"));
    }
    at_least_one("--items", args.items)?;
    at_least_one("--random-items", args.random_items)
}

/// Refuses scales and doses that are none.
fn strengths(args: &EvalArgs) -> Result<()> {
    let scales = args.scales.iter().map(|s| f64::from(*s));
    let mut numbers = scales.chain(args.doses.iter().copied()).peekable();
    let flag = if args.doses.is_empty() { "--scales" } else { "--doses" };
    if numbers.peek().is_some() && !numbers.clone().any(|n| n > 0.0) {
        return Err(Error::usage(flag, "has no number above 0"));
    }
    if numbers.any(|n| n == 0.0 || !n.is_finite()) {
        let problem = "has a 0 or no number; no steering is always measured";
        return Err(Error::usage(flag, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};
    use std::ffi::OsString;

    fn planned(words: &str) -> Result<Eval> {
        let argv: Vec<OsString> = format!("trimtab eval calm.safetensors {words}")
            .split_whitespace()
            .map(OsString::from)
            .collect();
        let refused = |e: clap::Error| Error::usage("argument", e.to_string());
        match args::parse(&argv).map_err(refused)?.command {
            Some(Command::Eval(args)) => Eval::of(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_greedy_short_and_beside_twenty() {
        let plan = planned("--data a.jsonl").unwrap();
        assert_eq!(plan.purpose, Purpose::Compare { random: 20 });
        assert_eq!(plan.strengths(), Strengths::OfFile);
        assert!(!plan.args.write && !plan.args.check);
        let usual = plan.args.sampling;
        assert_eq!(
            (usual.temperature, usual.n_predict, usual.seed),
            (Some(0.0), Some(48), Some(0))
        );
        let typed = planned("--data a.jsonl --temp 0.7 -n 8 -s 3").unwrap().args.sampling;
        assert_eq!((typed.temperature, typed.n_predict), (Some(0.7), Some(8)));
    }

    #[test]
    fn strengths_are_scales_or_doses() {
        let of = |words: &str| planned(&format!("--data a {words}"));
        let scales = of("--scales -2,0.5").unwrap();
        assert_eq!(scales.strengths(), Strengths::Scales(&[-2.0, 0.5]));
        assert_eq!(of("--doses .02,-.1").unwrap().strengths(), Strengths::Doses(&[0.02, -0.1]));
        for bad in ["--scales 0,1", "--scales -1", "--doses -0.1", "--doses NaN,1", "--doses inf"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_before_a_model_is_opened() {
        let bad = [
            "",
            "--data a --check --random 0",
            "--data a --rule wrong",
            "--data a --write --random 19",
            "--data a --items 0",
            "--data a --calibrate --shuffled b",
            "--data a --beside b:nan",
            "--data a --beside b:inf",
            "--data a --beside b:strong",
            "--data a --beside b:1e39",
        ];
        for words in bad {
            assert!(planned(words.trim()).is_err(), "{words}");
        }
        assert!(planned("--data a --write --random 5 --calibrate").is_ok());
    }
}
