//! The one error enum of this crate. A message says what was found, what was expected and what to do.
//!
//! [`Error::code`] is the name of the refusal on the wire and in `--json` output; the table is that of the vector-file
//! specification. The edges turn it into an exit code or a status.

use std::path::PathBuf;
use trimtab_runtime::Kind;
use trimtab_runtime::site::{Site, SiteError};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong with the content of a file.
    #[error("{path}: {source}")]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Error>,
    },
    /// The system cannot read or write a file.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file, or a part of one, above its limit.
    #[error("{what} is {bytes} bytes long, at most {limit} are read")]
    TooLarge {
        /// The file or its part.
        what: &'static str,
        /// The size it has or claims.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A container that is not the expected one, or is broken.
    #[error("not a vector file: {reason}")]
    NotAVectorFile {
        /// What was found and what was expected.
        reason: String,
    },
    /// A format that can carry code, or arrays without names.
    #[error(
        "{format} files are never opened, because they can carry code or name no site; load it where you trust it \
         (torch.load with weights_only=True) and save each row as resid_post.N with safetensors"
    )]
    Pickle {
        /// What the content is.
        format: &'static str,
    },
    /// A GGUF file that breaks a rule of its format.
    #[error(transparent)]
    Gguf(Box<trimtab_runtime::decoder::weights::Error>),
    /// A version of the header this program does not know.
    #[error("/spec is {found}, this program reads 1; use a newer trimtab")]
    SpecUnsupported {
        /// What the file says.
        found: String,
    },
    /// A field that is missing, unknown, or has a value it cannot have.
    #[error("{pointer} {problem}")]
    Header {
        /// JSON pointer of the field.
        pointer: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// An operation this program does not know.
    #[error(
        "{pointer} is {found}, expected add, project, clamp or rotate; a file is never applied in another way than it says"
    )]
    OperationUnknown {
        /// Where the operation is named.
        pointer: String,
        /// What the file says.
        found: String,
    },
    /// A name that is no site.
    #[error("{pointer}: {source}")]
    SiteUnknown {
        /// Where the site is named.
        pointer: String,
        /// Why it is none.
        source: SiteError,
    },
    /// A tensor that does not fit the header, the others, or the format.
    #[error("tensor {name} {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// NaN or an infinity.
    #[error("{name} has a value that is not finite at index {index}; make the file again")]
    NotFinite {
        /// The tensor or field.
        name: String,
        /// Where in it, from 0.
        index: usize,
    },
    /// A row whose length is not 1.
    #[error("{name} row {row} has length {norm}, expected 1; strength belongs in its magnitude")]
    NotUnit {
        /// The site.
        name: String,
        /// The row, from 0.
        row: usize,
        /// Its length.
        norm: f64,
    },
    /// Data that is not what its hash says.
    #[error(
        "{field} is {stated}, but the tensors hash to {computed}: the file was changed or damaged"
    )]
    ContentHash {
        /// Where the hash is stated.
        field: &'static str,
        /// What the file says.
        stated: String,
        /// What its data gives.
        computed: String,
    },
    /// A vector that was measured and did nothing.
    #[error(
        "vector {name} was measured and has no effect (/status is null); say allow_null to use it"
    )]
    StatusNull {
        /// Its name.
        name: String,
    },
    /// A direction that detects and must not be added.
    #[error("vector {name} is for reading (/role is read); steer with the file written beside it")]
    RoleRead {
        /// Its name.
        name: String,
    },
    /// A vector for a model of another shape.
    #[error("vector has {field} {found}, the model has {expected}; use the model it was made on")]
    ModelShape {
        /// The field of `/model`.
        field: &'static str,
        /// What the file says.
        found: usize,
        /// What the model has.
        expected: usize,
    },
    /// A vector for another model of the same shape, or for none in particular.
    #[error(
        "vector was made on {made_on}, not on this model; accept_model = {accept:?} uses it all the same"
    )]
    ModelMismatch {
        /// What the file says it was made on.
        made_on: String,
        /// The text that accepts it.
        accept: String,
    },
    /// A file whose layer numbers have two readings.
    #[error(
        "{evidence}: direction.N may mean block N or block N-1; --layer-shift -1 puts each direction where it was \
         measured, --layer-shift 0 does what llama.cpp does with the file"
    )]
    LayerBase {
        /// What the file looks like.
        evidence: &'static str,
    },
    /// A block the model does not have.
    #[error("{name} is block {block} but {} 0..{last}; {advice}", having(*last))]
    LayerRange {
        /// The tensor.
        name: String,
        /// The block it would act on.
        block: i64,
        /// The model's last block, or the largest block number there is.
        last: usize,
        /// What would fit.
        advice: String,
    },
    /// Something that cannot be done with this operation or file.
    #[error("{what} is refused: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
    /// A site that was asked for and is not in the file.
    #[error("no site of {name} is in blocks {first} to {last}; it has {sites}")]
    NoSite {
        /// The vector's name.
        name: String,
        /// First block asked for.
        first: usize,
        /// Last block asked for.
        last: usize,
        /// The sites it has.
        sites: String,
    },
    /// A picture that cannot be drawn.
    #[error("picture cannot be drawn: {reason}")]
    Picture {
        /// Why not.
        reason: String,
    },
    /// The runtime refuses.
    #[error(transparent)]
    Runtime(#[from] trimtab_runtime::Error),
    /// Vectors that cannot be put together, or push too hard.
    #[error(transparent)]
    Compose(Box<crate::compose::Error>),
    /// A text that is no rule.
    #[error("rule {text} is refused: {problem}")]
    Rule {
        /// The text, or the part of it that is wrong.
        text: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// A line of a task file.
    #[error("line {line} {problem}")]
    Task {
        /// From 1.
        line: usize,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// Prompts without anything that judges answers.
    #[error("prompts alone need a rule, such as exclaims or words:2-20")]
    NoRule,
    /// A rule where the items themselves say what is right.
    #[error(
        "a rule judges answers to prompts and to pairs, and the items are {kind}; leave it out"
    )]
    RuleUnused {
        /// What the items are.
        kind: &'static str,
    },
    /// An evaluation without a scale to judge.
    #[error(
        "an evaluation needs a scale above 0; a default of 0 means that none was found to work"
    )]
    NoScale,
    /// The caller's progress function ended the work.
    #[error("cancelled before there was a result")]
    Cancelled,
    /// Too few items to estimate from.
    #[error("{what} number {found}, at least {least} are needed")]
    TooFewPairs {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// Class means that differ by no more than rounding.
    #[error(
        "both classes have the same mean at {candidates} of {candidates} candidates; read where their texts have differed"
    )]
    NoDifference {
        /// How many candidates were tried.
        candidates: usize,
    },
    /// A component on which the classes lie alike.
    #[error(
        "component has mean projection {mean} with standard error {error}, so its sign is not identified; use more pairs \
         or another estimator"
    )]
    SignNotIdentified {
        /// Mean projection, positives minus negatives.
        mean: f64,
        /// Its standard error.
        error: f64,
    },
    /// Pair weights the data cannot carry.
    #[error("robust weights are not identified: {reason}; use uniform weights")]
    WeightsUnidentified {
        /// What was found and what is needed.
        reason: String,
    },
    /// A system of equations that has no answer, or whose answer was not reached.
    #[error("{what} cannot be solved: {reason}")]
    NotSolved {
        /// The system.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// States or settings an estimator cannot take.
    #[error("{what} {problem}")]
    Estimate {
        /// The setting or the data.
        what: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// Examples that cannot be learnt from.
    #[error(transparent)]
    Data(Box<crate::pairs::PairError>),
    /// An extraction that cannot be done.
    #[error(transparent)]
    Extract(Box<crate::extract::ExtractError>),
    /// A scope in which no token can ever be.
    #[error("scope selects nothing: {reason}")]
    EmptySelection {
        /// Why, and what to do.
        reason: String,
    },
    /// A setting that has a value it cannot have.
    #[error("{field} {problem}")]
    Setting {
        /// The setting as users write it.
        field: &'static str,
        /// The value, and what is expected.
        problem: String,
    },
    /// A key of a policy file that is missing, unknown, or has a value it cannot have.
    #[error("policy: {key} {problem}")]
    Policy {
        /// The key, or where it stands.
        key: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// A direction without the numbers that make a projection on it a class coordinate.
    #[error(
        "vector {name} has no {field} at {site}; extract it again to know how far apart the classes are"
    )]
    AnchorMissing {
        /// The vector's name.
        name: String,
        /// Where it is read.
        site: Site,
        /// `magnitude` or `anchor`.
        field: &'static str,
    },
    /// A gate that would be known only after what it gates.
    #[error(
        "gate reads {gate}, which a pass reaches after {acts}, where the vector acts already; read the condition at {acts} \
         or before, or keep only later blocks of the vector"
    )]
    GateTooLate {
        /// Where the condition is read.
        gate: Site,
        /// The first site that the vector changes.
        acts: Site,
    },
}

impl Error {
    /// The name of the refusal on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Error::In { source, .. } => source.code(),
            Error::Io { .. } => "io",
            Error::TooLarge { .. } => "file_too_large",
            Error::NotAVectorFile { .. } | Error::Gguf(_) => "not_a_vector_file",
            Error::Pickle { .. } => "pickle_refused",
            Error::SpecUnsupported { .. } => "spec_unsupported",
            Error::Header { .. } => "header_invalid",
            Error::OperationUnknown { .. } => "operation_unknown",
            Error::SiteUnknown { .. } => "site_unknown",
            Error::Tensor { .. } => "tensor_mismatch",
            Error::NotFinite { .. } => "not_finite",
            Error::NotUnit { .. } => "not_unit_norm",
            Error::ContentHash { .. } => "content_hash_mismatch",
            Error::StatusNull { .. } => "status_null",
            Error::RoleRead { .. } => "role_read",
            Error::ModelShape { .. } => "model_shape_mismatch",
            Error::ModelMismatch { .. } => "model_mismatch",
            Error::LayerBase { .. } => "layer_base_ambiguous",
            Error::LayerRange { .. } => "layer_out_of_range",
            Error::Refused { .. } => "operation_refused",
            Error::NoSite { .. } => "site_not_in_vector",
            Error::Picture { .. } => "picture",
            Error::Runtime(_) => "runtime",
            Error::Compose(error) => error.code(),
            Error::Rule { .. } | Error::RuleUnused { .. } | Error::NoRule => "rule_invalid",
            Error::NoScale => "scale_missing",
            Error::Task { .. } => "task_invalid",
            Error::Cancelled => "cancelled",
            Error::TooFewPairs { .. } => "too_few_pairs",
            Error::NoDifference { .. } => "no_difference",
            Error::SignNotIdentified { .. } => "sign_not_identified",
            Error::WeightsUnidentified { .. } => "weights_unidentified",
            Error::NotSolved { .. } => "not_solved",
            Error::Estimate { .. } => "estimate_invalid",
            Error::Data(_) => "data_refused",
            Error::Extract(refusal) => refusal.code(),
            Error::EmptySelection { .. } => "empty_selection",
            Error::Setting { .. } | Error::Policy { .. } => "invalid_value",
            Error::AnchorMissing { .. } => "anchor_missing",
            Error::GateTooLate { .. } => "gate_too_late",
        }
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        match self {
            Error::In { source, .. } => source.kind(),
            Error::Io { .. } | Error::Picture { .. } => Kind::Internal,
            Error::Runtime(error) => error.kind(),
            Error::StatusNull { .. }
            | Error::RoleRead { .. }
            | Error::ModelShape { .. }
            | Error::ModelMismatch { .. }
            | Error::Refused { .. }
            | Error::Compose(_)
            | Error::GateTooLate { .. } => Kind::Refused,
            _ => Kind::Input,
        }
    }

    pub(crate) fn tensor(name: impl ToString, problem: impl Into<String>) -> Error {
        Error::Tensor { name: name.to_string(), problem: problem.into() }
    }

    pub(crate) fn estimate(what: &'static str, problem: impl Into<String>) -> Error {
        Error::Estimate { what, problem: problem.into() }
    }

    pub(crate) fn site(pointer: impl Into<String>, source: SiteError) -> Error {
        Error::SiteUnknown { pointer: pointer.into(), source }
    }

    /// Something wrong with a field; the pointer may be given without its first slash.
    pub(crate) fn header(pointer: impl AsRef<str>, problem: impl Into<String>) -> Error {
        let pointer = format!("/{}", pointer.as_ref().trim_start_matches('/'));
        Error::Header { pointer, problem: problem.into() }
    }

    /// The field `name` of a site's card.
    pub(crate) fn at_site(site: Site, name: &str, problem: impl Into<String>) -> Error {
        Error::header(format!("sites/{site}/{name}"), problem)
    }

    pub(crate) fn empty_selection(reason: impl Into<String>) -> Error {
        Error::EmptySelection { reason: reason.into() }
    }

    pub(crate) fn setting(field: &'static str, problem: impl Into<String>) -> Error {
        Error::Setting { field, problem: problem.into() }
    }

    pub(crate) fn not_a_vector(reason: impl Into<String>) -> Error {
        Error::NotAVectorFile { reason: reason.into() }
    }

    /// The same error with the file it was found in, unless it names one.
    pub(crate) fn within(self, path: &std::path::Path) -> Error {
        match self {
            Error::Io { .. } | Error::In { .. } | Error::Gguf(_) => self,
            other => Error::In { path: path.to_owned(), source: Box::new(other) },
        }
    }
}

impl From<trimtab_runtime::decoder::weights::Error> for Error {
    fn from(error: trimtab_runtime::decoder::weights::Error) -> Self {
        Error::Gguf(Box::new(error))
    }
}

impl From<crate::compose::Error> for Error {
    fn from(error: crate::compose::Error) -> Self {
        Error::Compose(Box::new(error))
    }
}

impl From<crate::pairs::PairError> for Error {
    fn from(flaw: crate::pairs::PairError) -> Self {
        Error::Data(Box::new(flaw))
    }
}

impl From<crate::extract::ExtractError> for Error {
    fn from(refusal: crate::extract::ExtractError) -> Self {
        Error::Extract(Box::new(refusal))
    }
}

/// Whose blocks a range is: the model's, or those that any site can name.
fn having(last: usize) -> &'static str {
    if last == usize::from(u16::MAX) { "sites name blocks" } else { "the model has blocks" }
}
