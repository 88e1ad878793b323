//! What a conversation teaches: the method, its parameters, the adapter and where it is kept.

use super::{Parsed, words};
use crate::error::{Error, Result, read_data};
use clap::Args;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use trimtab_adapters::host::AdapterConfig;

/// The adapter of a conversation that names none.
const USUAL: &str = "chat";

/// Whether and how a conversation teaches an adapter.
#[derive(Debug, Args)]
#[command(next_help_heading = "Learning")]
pub struct AdaptArgs {
    /// Learn from what is said of answers: rosa from /good, /bad, /edit and remarks such as "no, that's wrong";
    /// tpop from choices between two answers, /duel.
    #[arg(
        long,
        value_name = "rosa|tpop", value_parser = words([("rosa", "rosa"), ("tpop", "tpop")]), hide_possible_values = true
    )]
    pub adapt: Option<&'static str>,
    /// The adapter that learns [default: chat].
    #[arg(long, value_name = "ID", requires = "adapt")]
    pub adapter: Option<String>,
    /// A parameter of the method, such as signs=both or block=last_mlp_lora; may be given again.
    #[arg(long, value_name = "KEY=VALUE", requires = "adapt", value_parser = param)]
    pub adapt_param: Vec<(String, Value)>,
    /// Settings that duels choose between: JSON, a list of {"name", "instruction", "steering"}; steering may
    /// name vectors of --steer and their scales.
    #[arg(long, value_name = "FILE.json", requires = "adapt")]
    pub adapt_arms: Option<PathBuf>,
    /// Keep what is learnt in this folder of state [default: in memory, for one conversation].
    #[arg(long, visible_alias = "state", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// `KEY=VALUE`; a value that is no JSON is a text.
pub fn param(text: &str) -> Parsed<(String, Value)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value =
                serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.to_owned(), value))
        }
        _ => Err(format!("is {text:?}, expected KEY=VALUE such as signs=both")),
    }
}

/// What teaches which adapter.
#[derive(Debug)]
pub struct AdaptPlan {
    /// The adapter.
    pub id: String,
    pub config: AdapterConfig,
    /// Where it is kept; `None` for memory.
    pub folder: Option<PathBuf>,
}

impl AdaptPlan {
    /// Understands the flags; `None` where nothing is to be learnt.
    pub fn of(args: AdaptArgs) -> Result<Option<AdaptPlan>> {
        let Some(method) = args.adapt else { return Ok(None) };
        let config = config(method, args.adapt_param, args.adapt_arms.as_deref())?;
        let id = args.adapter.unwrap_or_else(|| USUAL.to_owned());
        Ok(Some(AdaptPlan { id, config, folder: args.state_dir }))
    }
}

/// A method with parameters and settings, checked.
pub fn config(
    method: &str,
    params: Vec<(String, Value)>,
    arms: Option<&Path>,
) -> Result<AdapterConfig> {
    const FLAG: &str = "--adapt-param";
    let params: Map<String, Value> = params.into_iter().collect();
    let mut document = Map::new();
    document.insert("method".to_owned(), method.into());
    document.insert("params".to_owned(), params.into());
    if let Some(path) = arms {
        if method != "tpop" {
            let problem = "are settings that duels choose between: --adapt tpop";
            return Err(Error::usage("--adapt-arms", problem));
        }
        let arms: Value = serde_json::from_str(&read_data(path)?).map_err(|error| {
            let (line, problem) = (error.line().max(1), error.to_string());
            Error::Line { path: path.to_owned(), line, problem }
        })?;
        document.insert("arms".to_owned(), arms);
    }
    let refused = |problem: String| match arms {
        Some(path) => Error::within(path)(Error::usage("--adapt-arms", problem)),
        None => Error::usage(FLAG, problem),
    };
    let config: AdapterConfig = serde_json::from_value(Value::Object(document))
        .map_err(|error| refused(error.to_string()))?;
    config.check().map_err(|error| refused(error.to_string()))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_adapters::rosa::{BlockKind, Signs};

    fn params(texts: &[&str]) -> Vec<(String, Value)> {
        texts.iter().map(|text| param(text).unwrap()).collect()
    }

    #[test]
    fn parameters_are_those_of_the_method() {
        let texts = ["signs=both", "block=last_mlp_lora", "rank=2", "eps_neg=0.05"];
        let AdapterConfig::Rosa { params: read } = config("rosa", params(&texts), None).unwrap()
        else {
            panic!("another method");
        };
        assert_eq!((read.signs, read.block), (Signs::Both, BlockKind::LastMlpLora));
        assert_eq!((read.rank, read.eps_neg), (2, 0.05));
        let AdapterConfig::Tpop(taste) = config("tpop", params(&["candidates=3"]), None).unwrap()
        else {
            panic!("another method");
        };
        assert_eq!(taste.params.candidates, 3);
        for bad in ["sings=both", "rank=99", "signs=none", "candidates=3"] {
            assert!(config("rosa", params(&[bad]), None).is_err(), "{bad}");
        }
        assert!(param("signs").is_err() && param("=both").is_err());
    }
}
