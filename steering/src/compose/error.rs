//! What can be wrong with vectors that are each in order on their own.

use trimtab_runtime::site::Site;

/// Error of putting vectors together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A push above its limit, and what would fit.
    #[error(
        "{what} has dose {dose:.3}, at most {limit:.3} is allowed; unprotected scales times {} fit, \
         and dose policy clamp uses them",
        rounded_down(*factor)
    )]
    DoseExceeded {
        /// The vector or site.
        what: String,
        /// Length of its push as a share of the stream's.
        dose: f64,
        /// The most that is allowed.
        limit: f64,
        /// What all scales that may be changed must be multiplied by.
        factor: f32,
    },
    /// Protected vectors that exceed a limit without any other.
    #[error(
        "{what} has dose {dose:.3} from protected vectors alone, at most {limit:.3} is allowed; \
         lower a protected scale or raise the limit"
    )]
    ProtectedDose {
        /// The vector or site.
        what: String,
        /// Length of its push as a share of the stream's.
        dose: f64,
        /// The most that is allowed.
        limit: f64,
    },
    /// A dose that cannot be computed.
    #[error(
        "vector {name} has no stream_norm at {site}, so its dose is unknown; measure it on a model (-m)"
    )]
    NoStreamNorm {
        /// The vector.
        name: String,
        /// The site.
        site: Site,
    },
    /// A setting outside its range.
    #[error("{field} is {value}, expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What can be given.
        expected: &'static str,
    },
}

impl Error {
    /// The name of the refusal on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Error::DoseExceeded { .. } | Error::ProtectedDose { .. } => "dose_exceeded",
            Error::NoStreamNorm { .. } => "stream_norm_missing",
            Error::Setting { .. } => "invalid_value",
        }
    }
}

/// Four digits that are never more than the number: what the message names must fit.
fn rounded_down(factor: f32) -> String {
    format!("{:.4}", (f64::from(factor) * 1e4).floor() / 1e4)
}
