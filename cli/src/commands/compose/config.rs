//! What `compose` is to do.

use super::args::ComposeArgs;
use crate::error::{Error, Result};
use crate::flags::model::{Opening, is_named};
use crate::flags::vectors;
use trimtab_steering::compose::dose::Standing;
use trimtab_steering::compose::{Lost, Mode, Settings};
use trimtab_steering::steer::NullVectors;

/// Random directions where nothing else is asked for.
const RANDOM: usize = 20;

/// A composition: its flags, and what they come to.
#[derive(Debug)]
pub struct Compose {
    pub args: ComposeArgs,
    /// The name on the card of the result.
    pub name: String,
    /// How vectors are composed.
    pub settings: Settings,
    /// The model, where one is needed.
    pub opening: Option<Opening>,
}

impl Compose {
    pub fn of(args: ComposeArgs) -> Result<Compose> {
        if args.mode == Mode::Sigma {
            let problem = "sigma is not to be had here: it needs the stream's covariance, which no file carries; \
                           use subspace";
            return Err(Error::usage("--mode", problem));
        }
        let (pairs, files) = (args.pairs.len(), args.files.len());
        if pairs > 0 && pairs != files {
            let problem = format!("is given {pairs} times, expected {files}: one per vector");
            return Err(Error::usage("--pairs", problem));
        }
        if args.random.is_some() && pairs == 0 {
            return Err(Error::usage(
                "--random",
                "needs --pairs: nothing is measured without them",
            ));
        }
        if let Some(number) = args.protect.iter().find(|n| !(1..=files).contains(*n)) {
            let problem = format!("is {number}, expected 1 to {files}: the place of a vector");
            return Err(Error::usage("--protect", problem));
        }
        let settings = settings(&args)?;
        let stem = args.out.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = args.name.clone().or(stem).unwrap_or_else(|| "composed".to_owned());
        let needed = is_named(&args.model) || pairs > 0;
        let opening = needed.then(|| Opening::of(args.model.clone())).transpose()?;
        Ok(Compose { args, name, settings, opening })
    }

    /// Random directions beside the measured matrix.
    pub fn random(&self) -> usize {
        self.args.random.unwrap_or(RANDOM)
    }

    /// Whether the vector at a place may be changed.
    pub fn standing(&self, at: usize) -> Standing {
        if self.args.protect.contains(&(at + 1)) { Standing::Protected } else { Standing::Free }
    }
}

fn settings(args: &ComposeArgs) -> Result<Settings> {
    let mode = args.mode;
    if mode == Mode::Sum && args.renormalise {
        let problem = "has nothing to stretch: mode sum takes nothing away";
        return Err(Error::usage("--renormalise", problem));
    }
    Ok(Settings {
        mode,
        m: protected(args.m, mode)?,
        lost: if args.renormalise { Lost::Renormalised } else { Lost::Shown },
        null: if args.allow_null { NullVectors::Allow } else { NullVectors::Refuse },
        dose: vectors::dose(Some(args.dose_limit), Some(args.dose_policy))?,
        ..Settings::default()
    })
}

/// Directions that are protected per vector. Files hold one, so more would never take effect.
fn protected(asked: Option<usize>, mode: Mode) -> Result<usize> {
    let problem = match (asked, mode) {
        (None, Mode::Sum) => return Ok(0),
        (None, _) | (Some(1), Mode::Subspace | Mode::Sigma) => return Ok(1),
        (Some(_), Mode::Sum | Mode::GramSchmidt) => {
            format!("is for mode subspace, and the mode is {}", mode.name())
        }
        (Some(m), Mode::Subspace | Mode::Sigma) => format!(
            "is {m}, expected 1: more needs the differences a vector was made from, which no file carries"
        ),
    };
    Err(Error::usage("--m", problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Command};
    use std::path::Path;

    fn planned(words: &str) -> Result<Compose> {
        let argv: Vec<_> = words.split_whitespace().map(Into::into).collect();
        let refused = |e: clap::Error| Error::usage("FILE", e.to_string());
        match args::parse(&argv).map_err(refused)?.command {
            Some(Command::Compose(args)) => Compose::of(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_have_scales_places_and_pairs() {
        let plan = planned(
            "trimtab compose a.st:0.5 dir:1/b.st c.st:-2 -o out/both.st --protect 2 --pairs p --pairs q --pairs r",
        )
        .unwrap();
        let scales: Vec<Option<f32>> = plan.args.files.iter().map(|v| v.scale).collect();
        assert_eq!(scales, [Some(0.5), None, Some(-2.0)]);
        assert_eq!(plan.args.files[1].path, Path::new("dir:1/b.st"));
        assert_eq!([0, 1].map(|at| plan.standing(at)), [Standing::Free, Standing::Protected]);
        assert_eq!(plan.args.pairs[2], Path::new("r"));
        assert_eq!((plan.name.as_str(), plan.settings.mode), ("both", Mode::Subspace));
        // Pairs are measured on a model; without them none is opened unless it is named.
        assert_eq!((plan.settings.m, plan.random()), (1, 20));
        let effective = |words: &str| planned(&format!("trimtab compose a -o b {words}")).unwrap();
        assert_eq!(effective("--mode gram_schmidt").settings.m, 1);
        assert_eq!(effective("--mode sum").settings.m, 0);
        assert_eq!(effective("--m 1").settings.m, 1);
        assert_eq!(effective("--pairs p --random 3").random(), 3);
        assert!(plan.opening.is_some());
        assert!(planned("trimtab compose a -o b").unwrap().opening.is_none());
        assert!(
            planned("trimtab compose a -o b -m smollm2-135m-instruct").unwrap().opening.is_some()
        );
    }

    #[test]
    fn what_cannot_be_composed_is_refused() {
        for (flags, named) in [
            ("--mode sigma", "--mode"),
            ("--protect 3", "--protect"),
            ("--protect 0", "--protect"),
            ("--pairs p", "--pairs"),
            ("--dose-limit 0", "--dose-limit"),
            ("--m 2", "--m"),
            ("--m 0", "--m"),
            ("--m 1 --mode gram_schmidt", "--m"),
            ("--m 1 --mode sum", "--m"),
            ("--renormalise --mode sum", "--renormalise"),
            ("--random 5", "--random"),
            ("c:strong", "FILE"),
            ("c:inf", "FILE"),
        ] {
            let error = planned(&format!("trimtab compose a b -o out {flags}")).unwrap_err();
            assert!(
                matches!(error, Error::Usage { flag, .. } if flag == named),
                "{flags}: {error}"
            );
        }
    }
}
