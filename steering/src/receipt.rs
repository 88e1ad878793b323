//! The receipt: what was done to an answer.
//!
//! Whatever gives answers, a server or a command, gives this receipt: the same request has the same fingerprints, doses and
//! warnings everywhere. Doses in it are the predicted ones; tokens were counted.

use crate::file::card::OperationKind;
use crate::monitor::Record;
use crate::monitor::record::{Intervention, Outcome};
use crate::stack::Applied;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trimtab_runtime::Model;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::generate::Usage;
use trimtab_runtime::plan::Plan;

/// Version of the receipt's shape.
const SPEC: u32 = 1;
/// Digits of a fingerprint that a receipt shows.
const DIGITS: usize = 16;

/// What was done to one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Version of this shape.
    pub spec: u32,
    /// The request; left out of an answer that no server gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Of every draw.
    pub seed: u64,
    /// How often the answer was begun, rewinds included.
    pub attempts: u32,
    /// First 16 digits of the plan's fingerprint.
    pub plan: String,
    /// First 16 digits of the fingerprint of what can touch the prompt's keys and values.
    pub kv: String,
    /// Of the model.
    pub weights_sha256: String,
    /// Of the chat template; `null` without one.
    pub template_sha256: Option<String>,
    /// Variables of the chat template, those of the model's own settings included; left out where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub chat_template_kwargs: BTreeMap<String, serde_json::Value>,
    /// Whether the answer is the same whoever else is served.
    pub batch_invariant: bool,
    /// Vectors in order of application.
    pub vectors: Vec<VectorReceipt>,
    /// What watched the answer, and what it did; left out where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<MonitorReceipt>,
    /// Tokens that were computed.
    pub cost: Cost,
    /// Fields of the request that nothing was done with.
    pub ignored: Vec<String>,
    /// What is to be known about the vectors.
    pub warnings: Vec<String>,
}

/// What one vector did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VectorReceipt {
    /// Its id or source; `inline` for one that came with the request.
    pub id: String,
    /// Of its file.
    pub sha256: String,
    /// What was done with it.
    pub op: OperationKind,
    /// The scale in force.
    pub scale: f32,
    /// Where.
    pub sites: Vec<SiteReceipt>,
}

/// What one vector did at one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteReceipt {
    /// The site.
    pub site: String,
    /// How many tokens it changed.
    pub tokens: u64,
    /// The dose that was predicted; left out where it depends on the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose: Option<f64>,
    /// Mean dose; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose_mean: Option<f64>,
    /// Largest dose; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose_max: Option<f64>,
    /// Mean class coordinate before it acted; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// Mean class coordinate behind it; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
}

/// What monitors found and did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MonitorReceipt {
    /// `clean`, `recovered`, `stopped`, `exhausted` or `flagged`.
    pub outcome: String,
    /// How often the answer was looked at.
    pub checks: u64,
    /// Checks that found something.
    pub hits: u64,
    /// The most tokens that were held back at once.
    pub held: u64,
    /// Rewinds, in their order.
    pub rewinds: Vec<RewindReceipt>,
    /// Why the answer was ended, where a monitor ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One rewind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RewindReceipt {
    /// Which attempt it began.
    pub attempt: u32,
    /// The watch that asked for it.
    pub watch: String,
    /// How many of the answer's tokens stayed.
    pub from: u64,
    /// How many there were.
    pub at: u64,
    /// How many were taken back.
    pub discarded: u64,
    /// What the watch had found; `null` where it could not tell.
    pub score: Option<f64>,
    /// `retry`.
    pub action: String,
    /// By which rule the point was found.
    pub rule: String,
    /// What was said to the model.
    pub guidance: String,
    /// How hard guidance pushed, where it was a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Safety, altruism, egoism, where they were judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<[i8; 3]>,
    /// `recovered`, `repeated`, `exhausted` or `open`.
    pub outcome: String,
}

/// Tokens that were computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cost {
    /// For the answer.
    pub forward_tokens: u64,
    /// Of them taken back.
    pub discarded_tokens: u64,
    /// For monitors.
    pub monitor_tokens: u64,
}

/// What receipts say about the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptModel {
    /// Of the weights, in hexadecimal.
    pub weights_sha256: String,
    /// Of the chat template, in hexadecimal; `None` without one.
    pub template_sha256: Option<String>,
    /// Whether an answer is the same whatever else is computed beside it.
    pub batch_invariant: bool,
}

impl ReceiptModel {
    /// Of an opened model. Only on the CPU it is proven that other work does not change an answer.
    pub fn of(model: &Model) -> ReceiptModel {
        ReceiptModel {
            weights_sha256: model.identity().weights_sha256.clone(),
            template_sha256: model.template().ok().map(|template| template.sha256().to_owned()),
            batch_invariant: model.decoder().device().kind() == "cpu",
        }
    }
}

/// The fingerprints of what an answer was made under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanPrints {
    /// Of the plan.
    pub plan: Fingerprint,
    /// Of what can touch the prompt's keys and values.
    pub kv: Fingerprint,
}

impl PlanPrints {
    /// Of a plan on a prompt of so many tokens.
    pub fn of(plan: &Plan, prompt: usize, n_layers: usize) -> PlanPrints {
        PlanPrints {
            plan: plan.fingerprint(),
            kv: plan.kv_fingerprint(0..prompt, prompt, n_layers),
        }
    }
}

/// What is known of an answer that has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerFacts<'a> {
    /// Keys its draws.
    pub seed: u64,
    /// How often it was rewound.
    pub rewinds: u32,
    /// Counts.
    pub usage: Usage,
    /// Positions that each item of the plan has changed.
    pub fired: &'a [u64],
    /// What its guard found and did.
    pub record: Option<&'a Record>,
}

impl Receipt {
    /// The receipt of an answer: `applied` are the vectors of its last attempt, and `warnings` what is to be known about them
    /// before there is an answer.
    pub fn new(
        model: &ReceiptModel,
        prints: &PlanPrints,
        (applied, warnings): (&[Applied], &[String]),
        facts: &AnswerFacts<'_>,
    ) -> Receipt {
        let idle = applied.iter().any(|vector| vector.is_idle(facts.fired));
        let idle = idle.then(|| "idle".to_owned());
        Receipt {
            spec: SPEC,
            request_id: None,
            seed: facts.seed,
            attempts: facts.rewinds + 1,
            plan: short(&prints.plan),
            kv: short(&prints.kv),
            weights_sha256: model.weights_sha256.clone(),
            template_sha256: model.template_sha256.clone(),
            chat_template_kwargs: BTreeMap::new(),
            batch_invariant: model.batch_invariant,
            vectors: applied.iter().map(|vector| vector.receipt(facts.fired)).collect(),
            monitor: facts.record.map(MonitorReceipt::from),
            cost: Cost {
                forward_tokens: facts.usage.forward_tokens as u64,
                discarded_tokens: facts.usage.discarded_tokens as u64,
                monitor_tokens: facts.usage.monitor_tokens as u64,
            },
            ignored: Vec::new(),
            warnings: warnings.iter().cloned().chain(idle).collect(),
        }
    }
}

/// A fingerprint as receipts show it.
pub fn short(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().chars().take(DIGITS).collect()
}

impl From<&Record> for MonitorReceipt {
    fn from(record: &Record) -> MonitorReceipt {
        let ended =
            matches!(record.outcome, Outcome::Stopped | Outcome::Exhausted | Outcome::Flagged);
        MonitorReceipt {
            outcome: record.outcome.name().to_owned(),
            checks: record.checks.len() as u64,
            hits: record.hits as u64,
            held: record.held as u64,
            rewinds: record.rewinds().map(|rewind| self::rewind(record, rewind)).collect(),
            reason: record.why.clone().filter(|_| ended),
        }
    }
}

fn rewind(record: &Record, rewind: &Intervention) -> RewindReceipt {
    RewindReceipt {
        attempt: rewind.attempt,
        watch: record.watches.get(rewind.watch).cloned().unwrap_or_default(),
        from: rewind.from as u64,
        at: rewind.at as u64,
        discarded: rewind.span.len() as u64,
        score: Some(rewind.score).filter(|score| score.is_finite()),
        action: "retry".to_owned(),
        rule: rewind.rule.to_owned(),
        guidance: rewind.guidance.clone(),
        beta: rewind.beta,
        state: rewind.state.map(|state| state.0),
        outcome: rewind.sequel.name().to_owned(),
    }
}
