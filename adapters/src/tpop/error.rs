//! What stops a learner of tastes.

use trimtab_runtime::Kind;

/// Error of the learner of tastes. The state it happened to is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TpopError {
    /// A key outside its range.
    #[error("{key} is {value}, not between {low} and {high}")]
    Range {
        /// The key.
        key: &'static str,
        /// What was given.
        value: f64,
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// A vector of another width.
    #[error("{what} has {found} values, expected {expected}")]
    Width {
        /// The vector.
        what: &'static str,
        /// Its values.
        found: usize,
        /// The values there should be.
        expected: usize,
    },
    /// A number that is NaN or infinite.
    #[error("{what} is not finite")]
    NotFinite {
        /// The number or vector.
        what: &'static str,
    },
    /// Too little to estimate from.
    #[error("{what}: {found}, at least {least} are needed")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// A setting that the arms do not have.
    #[error("setting {setting} is not one of {settings}")]
    NoSetting {
        /// The setting's number, from 0.
        setting: usize,
        /// How many there are.
        settings: usize,
    },
    /// Keys that cannot be had together.
    #[error("{what} needs {needs}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// The model's output matrix could not be read.
    #[error("output matrix cannot be read: {reason}")]
    Head {
        /// What the runtime said.
        reason: String,
    },
    /// A matrix that should be positive definite and is not.
    #[error("{what} is not positive definite")]
    NotPositive {
        /// The matrix.
        what: &'static str,
    },
    /// A matrix whose eigenvectors were not found.
    #[error("{what} has no eigenvectors: {reason}")]
    NotSolved {
        /// The matrix.
        what: &'static str,
        /// What the solver said.
        reason: String,
    },
    /// A fit that did not reach its gradient.
    #[error("fit ends after {steps} steps with a gradient of {gradient:e}")]
    NotConverged {
        /// Newton's steps.
        steps: usize,
        /// The largest entry of the gradient.
        gradient: f64,
    },
    /// A judgement of a pair that has another one.
    #[error("pair {id} has another judgement")]
    PairExists {
        /// The pair.
        id: u64,
    },
    /// A state or extractor that another extractor's features are in.
    #[error("features are those of extractor {found}, expected {expected}")]
    OtherExtractor {
        /// The extractor in the file.
        found: String,
        /// The extractor at hand.
        expected: String,
    },
    /// Bytes that are no state or extractor, or a damaged one.
    #[error("{what} cannot be read: {problem}")]
    Unreadable {
        /// What the bytes should be.
        what: &'static str,
        /// What was found.
        problem: String,
    },
    /// A state whose weights do not follow from its pairs.
    #[error("{what} differs by {difference:e} from what the pairs give")]
    NotReproduced {
        /// The part that differs.
        what: &'static str,
        /// By how much, at most.
        difference: f64,
    },
}

impl TpopError {
    /// The name of the refusal on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            TpopError::Range { .. } | TpopError::Width { .. } | TpopError::NoSetting { .. } => {
                "invalid_value"
            }
            TpopError::Unsupported { .. } => "unsupported",
            TpopError::Head { .. } => "internal",
            TpopError::TooFew { .. } => "too_few_pairs",
            TpopError::PairExists { .. } => "feedback_exists",
            TpopError::OtherExtractor { .. } => "extractor_mismatch",
            TpopError::Unreadable { .. } | TpopError::NotReproduced { .. } => "state_damaged",
            TpopError::NotFinite { .. }
            | TpopError::NotPositive { .. }
            | TpopError::NotSolved { .. }
            | TpopError::NotConverged { .. } => "update_failed",
        }
    }

    /// What has to change before it works.
    pub fn kind(&self) -> Kind {
        match self {
            TpopError::Range { .. }
            | TpopError::Width { .. }
            | TpopError::NoSetting { .. }
            | TpopError::TooFew { .. }
            | TpopError::Unsupported { .. }
            | TpopError::Unreadable { .. }
            | TpopError::OtherExtractor { .. } => Kind::Input,
            TpopError::PairExists { .. } => Kind::Refused,
            TpopError::Head { .. }
            | TpopError::NotFinite { .. }
            | TpopError::NotPositive { .. }
            | TpopError::NotSolved { .. }
            | TpopError::NotConverged { .. }
            | TpopError::NotReproduced { .. } => Kind::Internal,
        }
    }
}
