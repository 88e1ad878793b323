//! What the vectors did to one answer: a line for people, an object for programs.
//!
//! The object is the summary receipt of the HTTP API. Doses in it are the predicted ones; tokens were counted.

use super::Steering;
use crate::commands::answer::Reply;
use crate::commands::opened::Opened;
use serde::Serialize;
use trimtab_runtime::session::Session;
use trimtab_runtime::text::Variables;
use trimtab_steering::compose::dose::Note;
use trimtab_steering::file::Warning;

/// The version of the receipt.
const SPEC: usize = 1;
/// Hexadecimal digits of a fingerprint that are shown.
const DIGITS: usize = 16;

/// What the vectors did to one answer.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    spec: usize,
    request_id: Option<()>,
    seed: u64,
    attempts: u32,
    plan: String,
    kv: String,
    weights_sha256: String,
    template_sha256: Option<String>,
    #[serde(skip_serializing_if = "Variables::is_empty")]
    chat_template_kwargs: Variables,
    batch_invariant: bool,
    vectors: Vec<Vector>,
    monitor: Option<()>,
    adapter: Option<()>,
    ponder: Option<()>,
    forecast: Option<()>,
    cost: Cost,
    ignored: Vec<String>,
    warnings: Vec<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
struct Vector {
    id: String,
    sha256: String,
    op: &'static str,
    scale: f32,
    sites: Vec<Place>,
}

#[derive(Debug, Clone, Serialize)]
struct Place {
    site: String,
    tokens: u64,
    dose: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
struct Cost {
    forward_tokens: usize,
    discarded_tokens: usize,
    monitor_tokens: usize,
}

impl Steering {
    /// What was done to an answer; `None` where nothing steers.
    pub fn receipt(&self, reply: &Reply, seed: u64, opened: &Opened) -> Option<Receipt> {
        if self.is_empty() {
            return None;
        }
        let (session, usage) = (&reply.session, &reply.answer.usage);
        let fed = session.len() - session.pending();
        Some(Receipt {
            spec: SPEC,
            request_id: None,
            seed,
            attempts: reply.answer.rewinds + 1,
            plan: short(&self.plan().fingerprint().to_string()),
            kv: short(&kv(session)),
            weights_sha256: opened.model.identity().weights_sha256.clone(),
            template_sha256: opened.model.template().ok().map(|t| t.sha256().to_owned()),
            chat_template_kwargs: opened
                .model
                .template()
                .map(|template| template.variables().clone())
                .unwrap_or_default(),
            batch_invariant: (opened.model.decoder().device().kind() == "cpu").into(),
            vectors: self.of_vectors(session.fired()),
            monitor: None,
            adapter: None,
            ponder: None,
            forecast: None,
            cost: Cost {
                forward_tokens: fed.saturating_sub(usage.cached_tokens) + usage.discarded_tokens,
                discarded_tokens: usage.discarded_tokens,
                monitor_tokens: 0,
            },
            ignored: Vec::new(),
            warnings: self.codes(session.fired()),
        })
    }

    /// The plan in force, as its fingerprint is shown.
    pub fn plan_digits(&self) -> String {
        short(&self.plan().fingerprint().to_string())
    }

    fn of_vectors(&self, fired: &[u64]) -> Vec<Vector> {
        let place = |index: usize, tokens: u64| {
            move |site: &trimtab_runtime::site::Site| Place {
                site: site.to_string(),
                tokens,
                dose: self.dose(index, *site),
            }
        };
        let each = self.vectors.iter().enumerate();
        let vector = |(index, vector): (usize, &super::Applied)| Vector {
            id: vector.name.clone(),
            sha256: vector.sha256.clone(),
            op: vector.file.card().operation.kind(),
            scale: vector.scale,
            sites: vector.sites.iter().map(place(index, self.tokens(index, fired))).collect(),
        };
        each.map(vector).collect()
    }

    /// Tokens that a vector touched at each of its sites. A vector is one item of the plan, which counts all sites.
    fn tokens(&self, index: usize, fired: &[u64]) -> u64 {
        let sites = self.vectors.get(index).map_or(1, |v| v.sites.len().max(1)) as u64;
        fired.get(index).map_or(0, |count| count.div_ceil(sites))
    }

    fn codes(&self, fired: &[u64]) -> Vec<&'static str> {
        let warnings = self.vectors.iter().flat_map(|v| &v.warnings).map(|warning| match warning {
            Warning::ModelDiffers { .. } => "model_differs",
            Warning::TemplateDiffers => "template_differs",
            Warning::TokenizerDiffers => "tokenizer_differs",
        });
        let notes = self.notes().iter().map(|note| match note {
            Note::Clamped { .. } => "dose_clamped",
            Note::Over { .. } => "dose_exceeded",
            Note::Total { .. } => "dose_total",
            Note::OutsideSafe { .. } => "scale_outside_safe",
            Note::Unpredicted { .. } => "dose_unpredicted",
            Note::NormDrift { .. } => "stream_norm_drift",
        });
        let idle = self.idle(fired).into_iter().map(|_| "idle");
        let mut codes: Vec<&'static str> = warnings.chain(notes).chain(idle).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// The receipt on one line; `None` where nothing steers.
    pub fn line(&self, fired: &[u64]) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let each = self.of_vectors(fired).into_iter().map(|vector| {
            let Vector { id, op, scale, sites, .. } = vector;
            let tokens = sites.first().map_or(0, |place| place.tokens);
            let doses = sites.iter().filter_map(|place| place.dose);
            let dose = doses.reduce(f64::max).map(|dose| format!(" dose {dose:.2}"));
            format!(
                "{id} ×{scale} {op} {}{}, {tokens} tokens",
                span(&sites),
                dose.unwrap_or_default()
            )
        });
        Some(format!("steering: {}", each.collect::<Vec<_>>().join("; ")))
    }

    /// Vectors that were meant to act and touched no token of a finished answer.
    pub fn idle(&self, fired: &[u64]) -> Vec<&str> {
        let acts = |(index, vector): &(usize, &super::Applied)| {
            vector.scale != 0.0 && self.tokens(*index, fired) == 0
        };
        let each = self.vectors.iter().enumerate().filter(acts);
        each.map(|(_, vector)| vector.name.as_str()).collect()
    }
}

/// A site, or the first and the last of several.
fn span(sites: &[Place]) -> String {
    match sites {
        [] => "nowhere".to_owned(),
        [one] => one.site.clone(),
        [first, .., last] => format!("{} to {} ({} sites)", first.site, last.site, sites.len()),
    }
}

fn kv(session: &Session) -> String {
    let n_layers = session.decoder().spec().n_layers();
    session.plan().kv_fingerprint(0..session.len(), session.prompt_len(), n_layers).to_string()
}

fn short(digits: &str) -> String {
    digits.chars().take(DIGITS).collect()
}
