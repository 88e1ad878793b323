//! Why a judgement taught nothing.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// Why no step was tried, or none was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The confidence is below the limit.
    LowConfidence,
    /// The reward is nearly 0.
    SmallReward,
    /// Rewards of this sign do not teach.
    SignNotAllowed,
    /// The answer was made under another version.
    Stale,
    /// The answer was judged before.
    Repeated,
    /// The conversation has had all its updates.
    UpdateCap,
    /// Too many updates in a row were refused by guards.
    Paused,
    /// The answer has fewer than two tokens.
    TooShort,
    /// No token of the answer gets credit.
    NoCredit,
    /// The trace does not fit the model or the version.
    TraceMismatch,
    /// A number that is not finite, or a curvature that is not positive.
    Breakdown,
    /// The objective fell at no length of the step.
    NoDescent,
    /// The step has no length.
    NoStep,
}

/// Why a calculation ended early.
#[derive(Debug)]
pub(super) enum Stop {
    Skip(SkipReason),
    Error(Box<Error>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(Box::new(error))
    }
}

impl From<SkipReason> for Stop {
    fn from(reason: SkipReason) -> Stop {
        Stop::Skip(reason)
    }
}

/// What a calculation gives, unless it ends early.
pub(super) type Tried<T> = std::result::Result<T, Stop>;

/// The numbers, if all are finite.
pub(super) fn finite(values: Vec<f64>) -> Tried<Vec<f64>> {
    match values.iter().all(|x| x.is_finite()) {
        true => Ok(values),
        false => Err(SkipReason::Breakdown.into()),
    }
}
