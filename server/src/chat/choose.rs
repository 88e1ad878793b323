//! How the tokens of an answer are chosen, as a request says it.

use crate::adapt::Adapted;
use crate::app::App;
use crate::error::ApiError;
use crate::request_context::random;
use crate::wire::sampling::GenerationFields;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::generate::Request;
use trimtab_runtime::logits::{Bias, LogitsProcessor, Penalties};
use trimtab_runtime::sample::SamplingParams;

/// Answers to one prompt.
const MOST_CHOICES: i64 = 8;
/// Tokens listed beside each.
const MOST_TOP: u64 = 20;
/// Stop texts of one request.
const MOST_STOPS: usize = 16;
/// Bytes of one of them: each is looked for after every token.
const LONGEST_STOP: usize = 1024;
/// The largest change of a logit.
const MOST_BIAS: f32 = 100.0;

/// What was asked for, and the model's defaults for the rest.
pub(super) fn sampling(app: &App, fields: &GenerationFields) -> SamplingParams {
    let model = app.model.sampling();
    SamplingParams {
        temperature: fields.temperature.unwrap_or(model.temperature),
        // -1 is no limit, as 0 is.
        top_k: fields.top_k.map_or(model.top_k, |k| usize::try_from(k).unwrap_or_default()),
        top_p: fields.top_p.unwrap_or(model.top_p),
        min_p: fields.min_p.unwrap_or(model.min_p),
    }
}

/// How the tokens of an answer are chosen.
pub(super) fn request(
    app: &App,
    fields: &GenerationFields,
    limits: &[(&str, Option<i64>)],
) -> Result<Request, ApiError> {
    top_k(fields.top_k)?;
    Ok(Request {
        sampling: sampling(app, fields).check()?,
        seed: seed(fields.seed)?,
        max_tokens: max_tokens(limits)?,
        processors: processors(app, fields)?,
        stop: stops(fields)?,
        ..Request::default()
    })
}

fn seed(given: Option<i64>) -> Result<u64, ApiError> {
    match given {
        // 53 bits, so that every JSON reader keeps them.
        None | Some(-1) => Ok(random() >> 11),
        Some(seed) => u64::try_from(seed).map_err(|_| {
            ApiError::invalid("seed", format!("is {seed}, not 0 or more; -1 draws one"))
        }),
    }
}

/// The most tokens of an answer; -1 is no limit, as other servers have it.
fn max_tokens(limits: &[(&str, Option<i64>)]) -> Result<Option<usize>, ApiError> {
    let mut given: Option<i64> = None;
    for (name, limit) in limits {
        match (limit, given) {
            (None | Some(-1), _) => {}
            (Some(limit @ ..=0), _) => {
                let problem = format!("is {limit}, expected 1 or more, or -1 for no limit");
                return Err(ApiError::invalid(*name, problem));
            }
            (Some(limit), Some(other)) if *limit != other => {
                let problem = format!("is {limit} and max_tokens is {other}; give one of them");
                return Err(ApiError::invalid(*name, problem));
            }
            (Some(limit), _) => given = Some(*limit),
        }
    }
    Ok(given.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)))
}

fn top_k(given: Option<i64>) -> Result<(), ApiError> {
    match given {
        Some(k @ ..=-2) => {
            Err(ApiError::invalid("top_k", format!("is {k}, expected 0 or more, or -1 for all")))
        }
        _ => Ok(()),
    }
}

fn stops(fields: &GenerationFields) -> Result<Vec<String>, ApiError> {
    let stops = fields.stop.clone().unwrap_or_default().0;
    if stops.len() > MOST_STOPS {
        let problem = format!("has {} texts, at most {MOST_STOPS}", stops.len());
        return Err(ApiError::invalid("stop", problem));
    }
    for (index, stop) in stops.iter().enumerate() {
        let at = || if stops.len() == 1 { "stop".to_owned() } else { format!("stop[{index}]") };
        if stop.is_empty() {
            return Err(ApiError::invalid(at(), "is empty, which would end every answer"));
        }
        if stop.len() > LONGEST_STOP {
            let problem = format!("has {} bytes, at most {LONGEST_STOP}", stop.len());
            return Err(ApiError::invalid(at(), problem));
        }
    }
    Ok(stops)
}

fn processors(
    app: &App,
    fields: &GenerationFields,
) -> Result<Vec<Arc<dyn LogitsProcessor>>, ApiError> {
    let none = Penalties::default();
    let penalties = Penalties {
        repeat: fields.repeat_penalty.unwrap_or(none.repeat),
        presence: fields.presence_penalty.unwrap_or(none.presence),
        frequency: fields.frequency_penalty.unwrap_or(none.frequency),
    }
    .check()?;
    let mut processors: Vec<Arc<dyn LogitsProcessor>> = Vec::new();
    if !penalties.is_none() {
        processors.push(Arc::new(penalties));
    }
    if let Some(bias) = fields.logit_bias.as_ref().filter(|bias| !bias.is_empty()) {
        processors.push(Arc::new(Bias::new(biases(app, bias)?)?));
    }
    Ok(processors)
}

fn biases(app: &App, given: &BTreeMap<String, f32>) -> Result<BTreeMap<u32, f32>, ApiError> {
    let known = app.model.decoder().spec().vocab_size;
    let mut biases = BTreeMap::new();
    for (id, bias) in given {
        let at = || format!("logit_bias.{id}");
        let token = id.parse::<u32>().ok().filter(|token| (*token as usize) < known);
        let Some(token) = token else {
            let problem = format!("is no token id; the vocabulary has {known} tokens");
            return Err(ApiError::invalid(at(), problem));
        };
        if bias.abs() > MOST_BIAS {
            let problem = format!("is {bias}, not between -{MOST_BIAS} and {MOST_BIAS}");
            return Err(ApiError::invalid(at(), problem));
        }
        biases.insert(token, *bias);
    }
    Ok(biases)
}

/// How many answers to a prompt are made: as many as are asked for, or as many as an adapter chooses from.
pub(super) fn choices(n: Option<i64>, adapted: Option<&Adapted>) -> Result<u32, ApiError> {
    if let Some(adapted) = adapted.filter(|adapted| adapted.is_alone()) {
        if n.is_some_and(|n| n != 1) {
            let why = "the adapter chooses one answer itself; leave it out";
            return Err(ApiError::unsupported("n", why));
        }
        return Ok(u32::try_from(adapted.candidates().unwrap_or(1)).unwrap_or(1));
    }
    match n {
        None => Ok(1),
        Some(n @ 1..=MOST_CHOICES) => Ok(n as u32),
        Some(n) => Err(ApiError::invalid("n", format!("is {n}, not 1 to {MOST_CHOICES}"))),
    }
}

/// How many likely tokens are listed beside each.
pub(super) fn top(count: Option<u64>, at: &str) -> Result<Option<usize>, ApiError> {
    match count {
        None => Ok(None),
        Some(count @ 0..=MOST_TOP) => Ok(Some(count as usize)),
        Some(count) => Err(ApiError::invalid(at, format!("is {count}, at most {MOST_TOP}"))),
    }
}
