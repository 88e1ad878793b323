//! What `eval` is to do.

use super::args::EvalArgs;
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use crate::flags::sampling::Sampling;
use crate::flags::vectors;
use std::path::PathBuf;
use trimtab_steering::eval::{RANDOM_DIRECTIONS, Rule};

/// The most tokens of an answer.
const ANSWER: usize = 48;

/// An evaluation.
#[derive(Debug, PartialEq)]
pub struct Eval {
    /// The model.
    pub opening: Opening,
    /// The vector.
    pub file: PathBuf,
    /// The items.
    pub data: PathBuf,
    /// The most items.
    pub items: Option<usize>,
    /// The most items that controls see.
    pub random_items: Option<usize>,
    /// What judges answers.
    pub rule: Option<Rule>,
    /// The goal in plain words.
    pub instruction: Option<String>,
    /// How strongly it is measured.
    pub strengths: Strengths,
    /// What it is measured for.
    pub purpose: Purpose,
    /// Fits to shuffled labels.
    pub shuffled: Vec<PathBuf>,
    /// Vectors beside it.
    pub beside: Vec<Beside>,
    /// Instead of the bundled prose.
    pub neutral: Option<PathBuf>,
    /// How answers are made.
    pub sampling: Sampling,
    /// What becomes of the file.
    pub card: CardChange,
    /// What a failure means.
    pub verdict: Verdict,
    /// Where answers go.
    pub answers: Option<PathBuf>,
    /// Where the picture goes.
    pub plot: Option<PathBuf>,
    /// What accepts a vector of another model.
    pub accept: Option<String>,
}

/// How strongly a vector is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Strengths {
    /// As its card says.
    OfFile,
    /// At these scales.
    Scales(Vec<f32>),
    /// At these shares of the stream's length.
    Doses(Vec<f64>),
}

/// What a vector is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be held against controls, so many random directions among them.
    Compare {
        /// Random directions.
        random: u64,
    },
    /// To find a scale.
    Calibrate,
}

/// A vector that is measured beside the one in question.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// Its file.
    pub file: PathBuf,
    /// Instead of its own scale.
    pub scale: Option<f32>,
}

/// What becomes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardChange {
    /// It stays as it is.
    Leave,
    /// What was measured goes into it.
    Write,
}

/// What it means that something did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is told.
    Tell,
    /// The program ends with 4.
    Check,
}

pub fn eval(args: EvalArgs) -> Result<Eval> {
    let Some(data) = args.data else {
        return Err(Error::usage("--data", "is needed"));
    };
    let card = if args.write { CardChange::Write } else { CardChange::Leave };
    let purpose =
        if args.calibrate { Purpose::Calibrate } else { Purpose::Compare { random: args.random } };
    if let (CardChange::Write, Purpose::Compare { random }) = (card, purpose)
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
    for (flag, items) in [("--items", args.items), ("--random-items", args.random_items)] {
        if items == Some(0) {
            return Err(Error::usage(flag, "is 0, at least 1 is needed"));
        }
    }
    let mut sampling = args.sampling;
    // A comparison must not depend on draws or on how long a model goes on, unless that is asked for.
    sampling.temperature.get_or_insert(0.0);
    sampling.seed.get_or_insert(0);
    sampling.n_predict.get_or_insert(ANSWER as i64);
    Ok(Eval {
        opening: Opening::of(args.model)?,
        file: args.file,
        data,
        items: args.items,
        random_items: args.random_items,
        rule: args.rule.as_deref().map(Rule::parse).transpose()?,
        instruction: args.instruction,
        strengths: strengths(args.scales, args.doses)?,
        purpose,
        shuffled: args.shuffled,
        beside: args.beside.iter().map(|text| beside(text)).collect::<Result<_>>()?,
        neutral: args.neutral,
        sampling: Sampling::of(sampling)?,
        card,
        verdict: if args.check { Verdict::Check } else { Verdict::Tell },
        answers: args.answers,
        plot: args.plot,
        accept: args.accept_model,
    })
}

fn strengths(scales: Vec<f32>, doses: Vec<f64>) -> Result<Strengths> {
    let numbers = scales.iter().map(|s| f64::from(*s)).chain(doses.iter().copied());
    let flag = if doses.is_empty() { "--scales" } else { "--doses" };
    let mut numbers = numbers.peekable();
    if numbers.peek().is_some() && !numbers.clone().any(|n| n > 0.0) {
        return Err(Error::usage(flag, "has no number above 0"));
    }
    if numbers.any(|n| n == 0.0 || !n.is_finite()) {
        let problem = "has a 0 or no number; no steering is always measured";
        return Err(Error::usage(flag, problem));
    }
    Ok(match (scales.is_empty(), doses.is_empty()) {
        (false, _) => Strengths::Scales(scales),
        (true, false) => Strengths::Doses(doses),
        (true, true) => Strengths::OfFile,
    })
}

/// A file and, behind the last colon, its scale.
fn beside(text: &str) -> Result<Beside> {
    let vectors::Asked { path, scale, .. } = vectors::one_native("--beside", text)?;
    Ok(Beside { file: path, scale })
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
        match args::parse(&argv).unwrap().command {
            Some(Command::Eval(args)) => eval(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_greedy_short_and_beside_twenty() {
        let plan = planned("--data a.jsonl").unwrap();
        assert_eq!(plan.purpose, Purpose::Compare { random: 20 });
        assert_eq!(plan.strengths, Strengths::OfFile);
        assert_eq!((plan.card, plan.verdict), (CardChange::Leave, Verdict::Tell));
        assert_eq!((plan.sampling.temperature, plan.sampling.most), (Some(0.0), Some(48)));
        assert_eq!(plan.sampling.seed, crate::flags::sampling::Seed::Given(0));
        let typed = planned("--data a.jsonl --temp 0.7 -n 8 -s 3").unwrap().sampling;
        assert_eq!((typed.temperature, typed.most), (Some(0.7), Some(8)));
    }

    #[test]
    fn strengths_are_scales_or_doses() {
        let of = |words: &str| planned(&format!("--data a {words}")).map(|plan| plan.strengths);
        assert_eq!(of("--scales -2,0.5").unwrap(), Strengths::Scales(vec![-2.0, 0.5]));
        assert_eq!(of("--doses .02,-.1").unwrap(), Strengths::Doses(vec![0.02, -0.1]));
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

    #[test]
    fn the_last_colon_separates_a_scale() {
        let of = |text| planned(&format!("--data a --beside {text}")).unwrap().beside.remove(0);
        assert_eq!(of("b:0.5"), Beside { file: "b".into(), scale: Some(0.5) });
        assert_eq!(of("c:/b:-2"), Beside { file: "c:/b".into(), scale: Some(-2.0) });
        assert_eq!(of("c:/b"), Beside { file: "c:/b".into(), scale: None });
    }
}
