//! What `extract` and `merge` are to do.

use super::args::{ExtractArgs, Weights};
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use crate::flags::sites;
use std::path::{Path, PathBuf};
use trimtab_runtime::site::Site;
use trimtab_steering::estimate::ETA;
use trimtab_steering::extract::{Position, Recipe, STATE_BYTES, Wording};
use trimtab_steering::file::card::MethodName;
use trimtab_steering::pairs::Names;

/// An extraction: its flags, and what they come to.
#[derive(Debug)]
pub struct Extract {
    pub args: ExtractArgs,
    pub opening: Opening,
    pub data: Examples,
    /// Where states are read; none for the usual sites.
    pub sites: Vec<Site>,
    /// How the vector is made. What its card says of the data is empty where it is to be filled in from the data.
    pub recipe: Recipe,
    /// The file that is written.
    pub out: PathBuf,
}

/// Where the examples are.
#[derive(Debug, PartialEq, Eq)]
pub enum Examples {
    /// Records in a file, and what their fields are called.
    Records(PathBuf, Names),
    /// Prompts on the lines of two files.
    Prompts { positive: PathBuf, negative: PathBuf },
}

impl Examples {
    /// The file that names a shard's vector.
    fn path(&self) -> &Path {
        match self {
            Examples::Records(path, _) | Examples::Prompts { positive: path, .. } => path,
        }
    }
}

impl Extract {
    pub fn of(args: ExtractArgs) -> Result<Extract> {
        let data = examples(&args)?;
        let Some(out) = args.out.clone() else {
            return Err(Error::usage("--out", "is needed"));
        };
        if args.plot.is_some() && args.shard.is_some() {
            return Err(Error::usage("--plot", "is not drawn of a shard; give it without --shard"));
        }
        let auto = args.sites.iter().all(|site| site.trim() == "auto");
        let sites = if auto { Vec::new() } else { sites::parse(&args.sites)? };
        let recipe = recipe(&args, data.path(), &out)?;
        let opening = Opening::of(args.model.clone())?;
        Ok(Extract { args, opening, data, sites, recipe, out })
    }

    /// Bytes that states may take.
    pub fn memory(&self) -> usize {
        self.args.state_memory.unwrap_or(STATE_BYTES)
    }

    /// Where an interrupted run keeps what it has read.
    pub fn partial(&self) -> PathBuf {
        let mut name = self.out.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    }
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
