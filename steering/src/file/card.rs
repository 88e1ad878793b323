//! The card: everything a file says about its directions.
//!
//! Fields are public, because a card is filled in by whoever made the directions. It becomes part of a file only
//! through [`VectorFile::new`](super::VectorFile::new), which checks it. Fields stand in the order of their names,
//! because that is the order they are written in, and equal cards must give equal bytes.
//!
//! Numbers are f32: their shortest decimal form reads back to the same bits.

use super::json::{hash, nullable, nullable_hash};
use crate::scope::Scope;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// What a vector file says beside its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Where the pairs came from.
    pub data: Option<DataCard>,
    /// What was measured.
    pub evaluation: Option<Evaluation>,
    /// Private notes, never read by the runtime.
    pub extra: BTreeMap<String, String>,
    /// How the directions were made.
    pub method: Method,
    /// The model they were made on; `None` after an import that named none.
    pub model: Option<ModelPin>,
    /// Label, at most 64 characters.
    pub name: String,
    /// What is done with the directions.
    pub operation: Operation,
    /// Whether they steer or only detect.
    pub role: Role,
    /// How strongly.
    pub scale: Scale,
    /// Where it was evaluated, and acts unless told otherwise.
    pub scope: Scope,
    /// One entry per direction.
    pub sites: BTreeMap<Site, SiteCard>,
    /// Whether an effect was measured.
    pub status: Status,
    /// One sentence, at most 400 characters.
    pub summary: String,
    /// The program that wrote it first.
    pub writer: String,
}

impl Card {
    /// A card of an unmeasured vector at scale 1 on every position, without sites.
    pub fn unmeasured(name: &str, summary: &str, operation: Operation, method: Method) -> Card {
        Card {
            data: None,
            evaluation: None,
            extra: BTreeMap::new(),
            method,
            model: None,
            name: name.to_owned(),
            operation,
            role: Role::Steer,
            scale: Scale { default: 1.0, safe: None },
            scope: Scope::default(),
            sites: BTreeMap::new(),
            status: Status::Unmeasured,
            summary: summary.to_owned(),
            writer: WRITER.to_owned(),
        }
    }
}

/// This program, as files name it.
pub const WRITER: &str = concat!("trimtab ", env!("CARGO_PKG_VERSION"));

/// Whether directions may be added to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// They change the stream.
    Steer,
    /// They detect, and must not be added.
    Read,
}

/// Whether an effect was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Measured, with an effect.
    Measured,
    /// Not measured.
    Unmeasured,
    /// Measured, and none found.
    Null,
}

/// What is done with a token's vector `x`, unit row `v`, magnitude `m` and scale `s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// `x + s·m·v`
    Add,
    /// `x − s·Σ (x·v) v`
    Project,
    /// The class coordinate is put into a range.
    Clamp {
        /// Lower end.
        min: Option<f32>,
        /// Upper end.
        max: Option<f32>,
    },
    /// `x` is turned toward `v`, its length kept.
    Rotate {
        /// The angle at scale 1.
        degrees: f32,
    },
}

/// What is done with a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Op))]
pub enum OperationKind {
    /// It is added.
    Add,
    /// It is taken out.
    Project,
    /// The class coordinate is put into a range.
    Clamp,
    /// The token is turned toward it.
    Rotate,
}

impl OperationKind {
    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationKind::Add => "add",
            OperationKind::Project => "project",
            OperationKind::Clamp => "clamp",
            OperationKind::Rotate => "rotate",
        }
    }
}

impl From<Operation> for OperationKind {
    fn from(operation: Operation) -> OperationKind {
        match operation {
            Operation::Add => OperationKind::Add,
            Operation::Project => OperationKind::Project,
            Operation::Clamp { .. } => OperationKind::Clamp,
            Operation::Rotate { .. } => OperationKind::Rotate,
        }
    }
}

impl Operation {
    /// Its name in files.
    pub fn kind(self) -> &'static str {
        OperationKind::from(self).as_str()
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Operation::Rotate { degrees } = self {
            map.serialize_entry("degrees", degrees)?;
        }
        map.serialize_entry("kind", self.kind())?;
        if let Operation::Clamp { min, max } = self {
            map.serialize_entry("max", max)?;
            map.serialize_entry("min", min)?;
        }
        map.end()
    }
}

/// What is known about one site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteCard {
    /// Mean projection of the negatives.
    pub anchor: Option<f32>,
    /// Held-out separation of the classes by projection.
    pub auc: Option<f32>,
    /// Where the direction was measured.
    #[serde(serialize_with = "text")]
    pub derived_at: Site,
    /// Class gap: how long the addition at scale 1 is.
    pub magnitude: Option<f32>,
    /// Multiplier of each row of a projection; empty for all 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub row_scale: Vec<f32>,
    /// Median length of the stream there.
    pub stream_norm: Option<f32>,
    /// Its 95th percentile.
    pub stream_norm_p95: Option<f32>,
}

impl SiteCard {
    /// A site of which only the class gap is known.
    pub fn of(derived_at: Site, magnitude: Option<f32>) -> SiteCard {
        SiteCard {
            anchor: None,
            auc: None,
            derived_at,
            magnitude,
            row_scale: Vec::new(),
            stream_norm: None,
            stream_norm_p95: None,
        }
    }
}

fn text<S: Serializer>(site: &Site, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(site)
}

/// The scale that is used unless another is asked for, and the range that was found safe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Used unless another is asked for.
    pub default: f32,
    /// Lowest and highest tested scale that did no harm; `None` if that was not measured.
    #[serde(deserialize_with = "nullable")]
    pub safe: Option<[f32; 2]>,
}

/// How directions were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// The estimator.
    pub name: MethodName,
    /// How many pairs it saw; `None` when the origin does not say.
    #[serde(deserialize_with = "nullable")]
    pub pairs: Option<usize>,
    /// Its settings.
    pub params: BTreeMap<String, Param>,
    /// Which tokens it read; `None` when the origin does not say.
    #[serde(deserialize_with = "nullable")]
    pub position: Option<Reading>,
    /// Its seed; `None` when it draws nothing or the origin does not say.
    #[serde(deserialize_with = "nullable")]
    pub seed: Option<u64>,
}

impl Method {
    /// A method of which only the name is known.
    pub fn named(name: MethodName) -> Method {
        Method { name, pairs: None, params: BTreeMap::new(), position: None, seed: None }
    }
}

/// The estimators and other origins of directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodName {
    /// Difference of class means, chosen by alignment (arXiv 2509.23982).
    Palrs,
    /// Difference of class means.
    MeanDifference,
    /// First component of the differences.
    PcaDifference,
    /// First component of all states about their mean.
    PcaCentred,
    /// Linear discriminant.
    LinearProbe,
    /// Logistic regression.
    LogisticProbe,
    /// Made of several files.
    Composed,
    /// By gradient.
    Trained,
    /// Another program's file.
    Imported,
    /// Files merged elsewhere.
    Merged,
    /// Control: a random direction.
    Random,
    /// Control: labels shuffled.
    Shuffled,
}

impl MethodName {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            MethodName::Palrs => "palrs",
            MethodName::MeanDifference => "mean_difference",
            MethodName::PcaDifference => "pca_difference",
            MethodName::PcaCentred => "pca_centred",
            MethodName::LinearProbe => "linear_probe",
            MethodName::LogisticProbe => "logistic_probe",
            MethodName::Composed => "composed",
            MethodName::Trained => "trained",
            MethodName::Imported => "imported",
            MethodName::Merged => "merged",
            MethodName::Random => "random",
            MethodName::Shuffled => "shuffled",
        }
    }
}

/// Which tokens' states an estimator read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// The prompt's last token.
    LastPrompt,
    /// The last token.
    Last,
    /// The mean over the response.
    MeanResponse,
    /// The template's tokens after the text.
    TemplateSuffix,
    /// Every token.
    All,
}

/// A setting of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number or a string")]
pub enum Param {
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f32),
    /// A word.
    Text(String),
}

/// The examples directions were made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataCard {
    /// What is set against what.
    pub contrast: String,
    /// Its licence.
    pub licence: String,
    /// How many pairs the file has.
    pub pairs: usize,
    /// Of the file's bytes.
    #[serde(deserialize_with = "hash")]
    pub sha256: String,
}

/// What was measured, with its controls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The program that measured.
    pub build: String,
    /// Change of the share of valid JSON; `None` if not measured.
    #[serde(deserialize_with = "nullable")]
    pub json_valid_delta: Option<f32>,
    /// How many items.
    pub n: usize,
    /// 95th percentile of the effect of random directions of equal length.
    pub random_p95: f32,
    /// Change of the share of refusals; `None` if not measured.
    #[serde(deserialize_with = "nullable")]
    pub refusal_delta: Option<f32>,
    /// One entry per tested scale.
    pub response: Vec<Response>,
    /// Of the test items.
    #[serde(deserialize_with = "hash")]
    pub set_sha256: String,
    /// 95th percentile of the effect of shuffled labels, pushed as far; `None` if not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffled_p95: Option<f32>,
}

impl Evaluation {
    /// What an effect must exceed to count: the larger of what random directions and shuffled labels do.
    pub fn chance(&self) -> f32 {
        self.shuffled_p95.map_or(self.random_p95, |shuffled| shuffled.max(self.random_p95))
    }
}

/// What one scale did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Change of the log-probability margin per token against scale 0.
    pub concept: f32,
    /// Mean divergence from the plain model per neutral token, in nats.
    pub kl: f32,
    /// Perplexity on neutral text, divided by that of the plain model.
    pub ppl_ratio: f32,
    /// The scale.
    pub scale: f32,
}

/// The model directions belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPin {
    /// Architecture, as GGUF names it.
    pub arch: String,
    /// Width of the stream.
    pub d_model: usize,
    /// Of the numbers of the architecture: equal for all fine-tunes of one shape.
    #[serde(deserialize_with = "hash")]
    pub family_sha256: String,
    /// Blocks.
    pub n_layers: usize,
    /// Hub id or file name; shown, never trusted.
    pub name: String,
    /// How the model came to stand here.
    pub pinned: Pinned,
    /// Stored type of most weights.
    pub quantization: String,
    /// Commit, if known.
    #[serde(deserialize_with = "nullable")]
    pub revision: Option<String>,
    /// Of the chat template in force; `None` for raw text.
    #[serde(deserialize_with = "nullable_hash")]
    pub template_sha256: Option<String>,
    /// Of the tokenizer.
    #[serde(deserialize_with = "hash")]
    pub tokenizer_sha256: String,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Of the weights; tells builds apart.
    #[serde(deserialize_with = "hash")]
    pub weights_sha256: String,
}

/// How a model came to stand on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pinned {
    /// The directions were measured on it.
    Extract,
    /// The caller of an import said so.
    Import,
}
