//! Which vectors act, how strongly and where: the flags, and what they come to without reading a file.

use super::{Parsed, words};
use crate::error::{Error, Result};
use clap::Args;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::neutral::WINDOW;
use trimtab_steering::scope::Scope;
use trimtab_steering::steer::NullVectors;

/// What is done about a push above the limit.
pub const POLICIES: [(&str, DosePolicy); 3] =
    [("refuse", DosePolicy::Refuse), ("clamp", DosePolicy::Clamp), ("warn", DosePolicy::Warn)];

/// The tokens that can be steered.
fn scopes() -> [(&'static str, Scope); 5] {
    [
        ("all", Scope::all()),
        ("prompt", Scope::prompt()),
        ("generated", Scope::generated()),
        ("last", Scope::last()),
        ("answering", Scope::answering()),
    ]
}

/// Which vectors act, how strongly and where. Order of application: `--steer`, `--control-vector`,
/// `--control-vector-scaled`, each in the order given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Vectors")]
pub struct VectorArgs {
    /// Steer with a vector file, at its own default scale or at SCALE; may be given again.
    #[arg(long, value_name = "FILE[:SCALE]", value_parser = native)]
    pub steer: Vec<Asked>,
    /// The same for files of several formats (GGUF, .svec), at their default scale.
    #[arg(long, value_name = "FNAME,…", value_delimiter = ',', value_parser = unscaled)]
    pub control_vector: Vec<Asked>,
    /// The same with a scale each; the last colon separates.
    #[arg(
        long,
        value_name = "FNAME:SCALE,…",
        value_delimiter = ',',
        // llama.cpp's older form has the scale as a second word; it is read to say how it is written today.
        num_args = 1..=2,
        allow_negative_numbers = true,
        value_parser = scaled
    )]
    pub control_vector_scaled: Vec<Asked>,
    /// Only the blocks from START to END, both included.
    #[arg(long, num_args = 2, value_delimiter = ',', value_names = ["START", "END"])]
    pub control_vector_layer_range: Vec<usize>,
    /// Added to every layer number of a file whose numbers have two readings.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub layer_shift: Option<i64>,
    /// Use a vector of another model all the same: the beginning of its weights hash, or unpinned.
    #[arg(long, value_name = "HEX|unpinned", value_delimiter = ',')]
    pub accept_model: Vec<String>,
    /// Use a vector that was measured and has no effect.
    #[arg(long)]
    pub allow_null: bool,
    /// The most that all vectors may push at one site, as a share of the stream's length; one alone may push
    /// half of it [default: 1].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub dose_limit: Option<f64>,
    /// What is done about a push above the limit: refuse it, lower all scales, or warn [default: refuse].
    #[arg(
        long,
        value_name = "refuse|clamp|warn", value_parser = words(POLICIES), hide_possible_values = true
    )]
    pub dose_policy: Option<DosePolicy>,
    /// The tokens that are steered: all, prompt, generated, last for the prompt's last one, or answering for that one and
    /// all generated ones [default: what the file says].
    #[arg(
        long,
        value_name = "all|prompt|generated|last|answering", value_parser = words(scopes()), hide_possible_values = true
    )]
    pub scope: Option<Scope>,
}

/// Vectors that act together, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    pub files: Vec<Asked>,
    pub blocks: Option<RangeInclusive<usize>>,
    /// Added to layer numbers that have two readings.
    pub layer_shift: Option<i64>,
    /// What is written to use a vector of another model.
    pub accept: Vec<String>,
    /// Whether a vector without effect is used.
    pub null: NullVectors,
    /// How hard they may push.
    pub dose: DoseLimit,
    /// The tokens they act on; `None` for what the files say.
    pub reach: Option<Scope>,
}

/// A vector file and its scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub path: PathBuf,
    /// The scale; `None` for the file's own.
    pub scale: Option<f32>,
    /// What the file may be.
    pub form: FileForm,
}

/// What a vector file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    Native,
    /// One of ours, or one that can be imported.
    Any,
}

/// One of our files, with its scale behind a colon.
pub fn native(text: &str) -> Parsed<Asked> {
    Ok(Asked { form: FileForm::Native, ..asked(text)? })
}

/// A file of any format, whose whole name this is.
fn unscaled(text: &str) -> Parsed<Asked> {
    Ok(Asked { path: file(text)?, scale: None, form: FileForm::Any })
}

/// A file that may be of any format, with a scale that must stand behind a colon.
fn scaled(text: &str) -> Parsed<Asked> {
    let asked = asked(text)?;
    let missing = || format!("{text:?} has no scale, expected FNAME:SCALE such as {text}:0.8");
    asked.scale.is_some().then_some(asked).ok_or_else(missing)
}

impl Vectors {
    /// Understands the vector flags.
    pub fn of(args: VectorArgs) -> Result<Vectors> {
        let vectors = Vectors {
            files: [args.steer, args.control_vector, args.control_vector_scaled].concat(),
            blocks: blocks(&args.control_vector_layer_range)?,
            layer_shift: args.layer_shift,
            null: if args.allow_null { NullVectors::Allow } else { NullVectors::Refuse },
            dose: dose(args.dose_limit, args.dose_policy)?,
            reach: args.scope,
            accept: args.accept_model,
        };
        vectors.needs_files()
    }

    /// Whether nothing is steered.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Tokens that must fit the context and the pool for the stream's length to be measured.
    pub fn measured(&self) -> usize {
        if self.is_empty() { 0 } else { WINDOW }
    }

    /// Refuses flags that would act on vectors where there is none.
    fn needs_files(self) -> Result<Vectors> {
        let flags = [
            ("--control-vector-layer-range", self.blocks.is_some()),
            ("--layer-shift", self.layer_shift.is_some()),
            ("--scope", self.reach.is_some()),
            ("--accept-model", !self.accept.is_empty()),
            ("--allow-null", self.null == NullVectors::Allow),
            ("--dose-limit", self.dose != DoseLimit::default()),
        ];
        match flags.into_iter().find(|(_, is_given)| *is_given && self.is_empty()) {
            None => Ok(self),
            Some((flag, _)) => {
                Err(Error::usage(flag, "needs a vector: --steer FILE or --control-vector FILE"))
            }
        }
    }
}

/// A file that may be of any format, and the scale behind the last colon. A colon that belongs to the path (a drive letter,
/// or one with a separator behind it) separates nothing.
pub fn asked(text: &str) -> Parsed<Asked> {
    let (name, number) = match text.rsplit_once(':') {
        Some((_, rest)) if rest.contains(['/', '\\']) => (text, None),
        Some((name, number)) => (name, Some(number)),
        None => (text, None),
    };
    let path = file(name)?;
    let scale = match number.map(|number| (number, number.parse::<f32>())) {
        None => None,
        Some((_, Ok(scale))) if scale.is_finite() => Some(scale),
        Some(("", _)) => return Err(format!("{text:?} has a colon and no scale behind it")),
        Some((_, Ok(_))) => return Err(format!("{text:?} has a scale that is not finite")),
        Some((number, Err(_))) => {
            return Err(format!(
                "{text:?} has {number:?} behind its last colon, which is no scale"
            ));
        }
    };
    Ok(Asked { path, scale, form: FileForm::Any })
}

fn file(name: &str) -> Parsed<PathBuf> {
    if name.is_empty() { Err("names no file".to_owned()) } else { Ok(PathBuf::from(name)) }
}

fn blocks(range: &[usize]) -> Result<Option<RangeInclusive<usize>>> {
    match range {
        [] => Ok(None),
        [start, end] if start <= end => Ok(Some(*start..=*end)),
        _ => {
            let range: Vec<String> = range.iter().map(usize::to_string).collect();
            let problem = format!("is {}, expected START END with no smaller END", range.join(" "));
            Err(Error::usage("--control-vector-layer-range", problem))
        }
    }
}

/// The dose limit of the flags.
pub fn dose(limit: Option<f64>, policy: Option<DosePolicy>) -> Result<DoseLimit> {
    let site = limit.unwrap_or(DoseLimit::default().site);
    if !(site > 0.0 && site <= 8.0) {
        return Err(Error::usage(
            "--dose-limit",
            format!("is {site}, expected above 0, at most 8"),
        ));
    }
    let policy = policy.unwrap_or(DosePolicy::Refuse);
    Ok(DoseLimit { policy, ..DoseLimit::at_site(site) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Option<f32>) {
        let asked = native(text).unwrap();
        (asked.path.display().to_string(), asked.scale)
    }

    #[test]
    fn the_last_colon_separates() {
        for (text, path, scale) in [
            ("calm.safetensors", "calm.safetensors", None),
            ("calm.safetensors:0.8", "calm.safetensors", Some(0.8)),
            ("calm.safetensors:-2", "calm.safetensors", Some(-2.0)),
            ("a:b:1e-1", "a:b", Some(0.1)),
            (r"C:\vectors\calm.safetensors", r"C:\vectors\calm.safetensors", None),
            (r"C:\vectors\calm.safetensors:0.5", r"C:\vectors\calm.safetensors", Some(0.5)),
            ("C:/calm", "C:/calm", None),
            ("host:80/calm", "host:80/calm", None),
        ] {
            assert_eq!(parts(text), (path.to_owned(), scale), "{text}");
        }
    }

    #[test]
    fn scales_that_are_none_are_named() {
        for (text, expected) in [
            ("calm:", "no scale behind it"),
            ("calm:strong", "\"strong\" behind its last colon"),
            ("calm:nan", "not finite"),
            ("calm:-inf", "not finite"),
            ("calm:1e39", "not finite"),
            (":0.8", "names no file"),
            ("", "names no file"),
        ] {
            let text = native(text).unwrap_err();
            assert!(text.contains(expected), "{text}");
        }
        let text = scaled("calm.gguf").unwrap_err();
        assert!(text.contains("expected FNAME:SCALE such as calm.gguf:0.8"), "{text}");
        assert!(scaled(r"C:\calm.gguf").is_err() && scaled(r"C:\calm.gguf:1").is_ok());
    }
}
