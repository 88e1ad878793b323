//! What `extract` and `merge` are to do.

use super::args::{ExtractArgs, Weights};
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use crate::flags::model::bytes;
use crate::flags::sites;
use std::path::{Path, PathBuf};
use trimtab_runtime::site::Site;
use trimtab_steering::estimate::ETA;
use trimtab_steering::extract::{Position, Recipe, STATE_BYTES, Shard, Wording};
use trimtab_steering::file::card::MethodName;
use trimtab_steering::pairs::{BadPairs, Names};

/// An extraction.
#[derive(Debug, PartialEq)]
pub struct Extract {
    /// The model.
    pub opening: Opening,
    /// The examples.
    pub data: Examples,
    /// What happens to pairs of no use.
    pub bad: BadPairs,
    /// Where states are read; none for the usual sites.
    pub sites: Vec<Site>,
    /// How the vector is made. What its card says of the data is empty where it is to be filled in from the data.
    pub recipe: Recipe,
    /// The part that is run; `None` for all of it, and a vector in the end.
    pub shard: Option<Shard>,
    /// Whether an interrupted run is gone on with.
    pub start: Start,
    /// Bytes that states may take.
    pub memory: usize,
    /// The file that is written.
    pub out: PathBuf,
    /// Where the candidates are drawn.
    pub plot: Option<PathBuf>,
}

/// Where the examples are.
#[derive(Debug, PartialEq, Eq)]
pub enum Examples {
    /// Records in a file, and what their fields are called.
    Records(PathBuf, Names),
    /// Prompts on the lines of two files.
    Prompts {
        /// The positive ones.
        positive: PathBuf,
        /// The negative ones.
        negative: PathBuf,
    },
}

impl Examples {
    /// The file that names a shard's vector.
    fn path(&self) -> &Path {
        match self {
            Examples::Records(path, _) | Examples::Prompts { positive: path, .. } => path,
        }
    }
}

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With nothing.
    Anew,
    /// With what was read before it was interrupted.
    Resumed,
}

pub fn extract(args: ExtractArgs) -> Result<Extract> {
    let data = examples(&args)?;
    let Some(out) = args.out.clone() else {
        return Err(Error::usage("--out", "is needed"));
    };
    if args.plot.is_some() && args.shard.is_some() {
        return Err(Error::usage("--plot", "is not drawn of a shard; give it without --shard"));
    }
    let auto = args.sites.iter().all(|site| site.trim() == "auto");
    let sites = if auto { Vec::new() } else { sites::parse(&args.sites)? };
    Ok(Extract {
        recipe: recipe(&args, data.path(), &out)?,
        bad: args.bad_pairs,
        shard: args.shard.as_deref().map(shard).transpose()?,
        start: if args.resume { Start::Resumed } else { Start::Anew },
        opening: Opening::of(args.model)?,
        memory: args.state_memory.as_deref().map_or(Ok(STATE_BYTES), memory)?,
        data,
        sites,
        out,
        plot: args.plot,
    })
}

/// Where an interrupted run keeps what it has read.
pub fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn examples(args: &ExtractArgs) -> Result<Examples> {
    match (&args.data, &args.positive_file, &args.negative_file) {
        (Some(path), None, None) => {
            let names = Names::parse(args.fields.iter().map(String::as_str))?;
            Ok(Examples::Records(path.clone(), names))
        }
        (None, Some(positive), Some(negative)) => {
            Ok(Examples::Prompts { positive: positive.clone(), negative: negative.clone() })
        }
        _ => Err(Error::usage("--data", "is needed, or --positive-file and --negative-file")),
    }
}

fn memory(text: &str) -> Result<usize> {
    bytes(text)
        .ok_or_else(|| Error::usage("--state-memory", format!("{text:?} is no size such as 512M")))
}

fn recipe(args: &ExtractArgs, data: &Path, out: &Path) -> Result<Recipe> {
    let [fit, select, test] = args.split[..] else {
        let problem = format!("has {} shares, expected three: fit, select, test", args.split.len());
        return Err(Error::usage("--split", problem));
    };
    if args.shard.is_some() && data == Path::new("-") && args.name.is_none() {
        let problem = "is needed with --shard and --data -: every shard must give the same";
        return Err(Error::usage("--name", problem));
    }
    // Shards of one job are written to several files, and must agree on everything.
    let named = if args.shard.is_some() { data } else { out };
    let stem = named.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or(stem).unwrap_or_default();
    let method = args.method;
    let eta = match (args.weights, args.eta) {
        (Weights::Robust, eta) => Some(eta.unwrap_or(ETA)),
        (Weights::Uniform, None) => None,
        (Weights::Uniform, Some(_)) => {
            return Err(Error::usage("--eta", "is for --weights robust; give both or neither"));
        }
    };
    if args.alpha.is_some() && method != MethodName::Palrs {
        return Err(Error::usage(
            "--alpha",
            "is for --method palrs; scale others when they are used",
        ));
    }
    let usual = Recipe::new(method, &name);
    let position = args.position.as_deref().filter(|text| *text != "auto");
    let position = position.map(str::parse::<Position>).transpose();
    Ok(Recipe {
        position: position.map_err(trimtab_steering::Error::from)?,
        keep: args.select,
        rule: args.rule,
        shares: [fit, select, test],
        seed: args.seed,
        min_pairs: args.min_pairs,
        long: args.long,
        wording: if args.raw { Wording::Raw } else { Wording::Chat },
        eta,
        alpha: args.alpha.unwrap_or(usual.alpha),
        system: args.system.clone(),
        summary: args.summary.clone().unwrap_or_default(),
        licence: args.licence.clone(),
        contrast: args.contrast.clone().unwrap_or_default(),
        ..usual
    })
}

fn shard(text: &str) -> Result<Shard> {
    let parts = text.split_once('/');
    let shard = parts.and_then(|(index, of)| {
        Some(Shard { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? })
    });
    let sound = shard.filter(|shard| (1..=shard.of).contains(&shard.index));
    sound.ok_or_else(|| Error::usage("--shard", format!("{text:?} is not I/N with I from 1 to N")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("2/4").unwrap(), Shard { index: 2, of: 4 });
        for bad in ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/2"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }
}
