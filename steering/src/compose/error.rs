//! What can be wrong with vectors that are each in order on their own.

use trimtab_runtime::site::Site;

/// Error of putting vectors together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A push above its limit, and what would fit.
    #[error(
        "{what} has dose {}, at most {limit:.3} is allowed; unprotected scales times {} fit, \
         and dose policy clamp uses them",
        short(*dose),
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
        "{what} has dose {} from protected vectors alone, at most {limit:.3} is allowed; \
         lower a protected scale or raise the limit",
        short(*dose)
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
    /// No vector, or none that acts anywhere.
    #[error("there is no vector to compose")]
    Empty,
    /// Vectors that were made on different models.
    #[error(
        "vector {name} has {field} {found}, vector {other} has {expected}; compose vectors of one model"
    )]
    Models {
        /// The vector that differs.
        name: String,
        /// From this one.
        other: String,
        /// In this.
        field: &'static str,
        /// What it has.
        found: String,
        /// What the other has.
        expected: String,
    },
    /// Two protected vectors that push against each other.
    #[error(
        "protected vectors {first} and {second} have cosine {cosine:.2} at {site}, at least -0.5 is needed; \
         choose one of them"
    )]
    ProtectedConflict {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// Where.
        site: Site,
        /// Of their pushes.
        cosine: f64,
    },
    /// So many protected directions that little is left.
    #[error(
        "{rank} directions are protected at {site} of {width}, fewer than a quarter may be; lower m"
    )]
    TooMuchProtected {
        /// Where.
        site: Site,
        /// Protected directions.
        rank: usize,
        /// Width of the stream.
        width: usize,
    },
    /// A vector of which too little is left.
    #[error(
        "vector {name} keeps {kept:.2} of its length at {site}, at least {least:.2} is needed; \
         kept elsewhere: {}",
        table(neighbours)
    )]
    NotSeparable {
        /// The vector.
        name: String,
        /// Where.
        site: Site,
        /// What is left, as a share.
        kept: f64,
        /// The least that is accepted.
        least: f64,
        /// What it keeps at its other sites, the nearest first.
        neighbours: Vec<(Site, f64)>,
    },
    /// Mode sigma without the covariance it needs.
    #[error(
        "mode sigma needs the covariance of the stream at {site}, and none was given; use mode subspace"
    )]
    NoCovariance {
        /// Where.
        site: Site,
    },
    /// A covariance that cannot be used.
    #[error("the covariance {problem}")]
    Covariance {
        /// What is wrong with it.
        problem: String,
    },
    /// Differences of another shape than the vector.
    #[error("the differences of vector {name} at {site} {problem}")]
    Differences {
        /// The vector.
        name: String,
        /// Where.
        site: Site,
        /// What is wrong with them.
        problem: String,
    },
    /// A projection that would remove much of what another vector adds.
    #[error(
        "vector {projecting} projects out {share:.2} of what {adding} adds at {site}, at most 0.25 is accepted; \
         use one of them, or keep either to other blocks"
    )]
    Cancels {
        /// The projection.
        projecting: String,
        /// The addition.
        adding: String,
        /// Where.
        site: Site,
        /// Squared cosine of the direction and the subspace.
        share: f64,
    },
    /// Pushes that sum to nothing.
    #[error("the pushes cancel at every site, so there is nothing to write")]
    Cancelled,
    /// A score that cannot be compared with itself.
    #[error("a score {problem}")]
    Score {
        /// What is wrong with it.
        problem: String,
    },
    /// A decomposition that failed.
    #[error("the {what} cannot be decomposed: {reason}")]
    Numerics {
        /// What was decomposed.
        what: &'static str,
        /// What the routine said.
        reason: String,
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
            Error::Setting { .. } | Error::Empty => "invalid_value",
            Error::Models { .. } => "model_mismatch",
            Error::ProtectedConflict { .. } => "protected_conflict",
            Error::TooMuchProtected { .. } => "too_much_protected",
            Error::NotSeparable { .. } => "not_separable",
            Error::NoCovariance { .. } => "sigma_missing",
            Error::Covariance { .. } => "sigma_invalid",
            Error::Differences { .. } => "differences_invalid",
            Error::Cancels { .. } => "operations_cancel",
            Error::Cancelled => "push_zero",
            Error::Score { .. } => "score_invalid",
            Error::Numerics { .. } => "numerics",
        }
    }

    pub(super) fn numerics(what: &'static str, reason: impl ToString) -> Error {
        Error::Numerics { what, reason: reason.to_string() }
    }
}

/// Four digits that are never more than the number: what the message names must fit.
pub(super) fn rounded_down(factor: f32) -> String {
    let factor = f64::from(factor);
    let (least, digits) = (1e-3, 1e4);
    if factor == 0.0 || factor >= least {
        return format!("{:.4}", (factor * digits).floor() / digits);
    }
    // Of a smaller one the first digits count, wherever they are.
    let exponent = factor.abs().log10().floor();
    let unit = 10f64.powf(exponent - 1.0);
    format!("{:.1e}", (factor / unit).floor() * unit)
}

/// A number in three digits behind the point; one that this would make nothing, or very long, by its size.
pub fn short(dose: f64) -> String {
    let plain = dose == 0.0 || (1e-3..1e6).contains(&dose.abs());
    if plain { format!("{dose:.3}") } else { format!("{dose:.2e}") }
}

/// Sites with the share that is kept there.
pub(super) fn table(neighbours: &[(Site, f64)]) -> String {
    if neighbours.is_empty() {
        return "no other site in the file".to_owned();
    }
    let cells = neighbours.iter().map(|(site, kept)| format!("{site} {kept:.2}"));
    cells.collect::<Vec<_>>().join(", ")
}
