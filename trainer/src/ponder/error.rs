//! What stops a controller from being built, read or trained.

/// Error of the ponder module. What it happened to is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PonderError {
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
    /// A number that has to be positive and finite.
    #[error("{key} is {value}, not a finite number above 0")]
    NotPositive {
        /// The key.
        key: &'static str,
        /// What was given.
        value: f64,
    },
    /// A vector of another length.
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
    /// Too little to work with.
    #[error("{what}: {found}, at least {least} are needed")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// A controller with too many weights.
    #[error("controller has {found} weights, expected fewer than {limit}")]
    TooLarge {
        /// Its weights.
        found: usize,
        /// The first number that is refused.
        limit: usize,
    },
    /// A word that names nothing.
    #[error("{key} is {found:?}, expected one of {expected}")]
    NoName {
        /// The key.
        key: &'static str,
        /// The word that was given.
        found: String,
        /// The words there are.
        expected: &'static str,
    },
    /// A number of steps that the ladder does not have.
    #[error("strength {found} is not one of 0 to {steps}")]
    NoStrength {
        /// The number of steps asked for.
        found: usize,
        /// K, the largest one.
        steps: usize,
    },
    /// A number for a random choice outside [0, 1).
    #[error("random number is {value}, expected one in [0, 1)")]
    NotUniform {
        /// The number that was given.
        value: f64,
    },
    /// An item of a reward table that is not as the others.
    #[error("item {id}: {problem}")]
    Item {
        /// The item.
        id: String,
        /// What is wrong with it.
        #[source]
        problem: Box<PonderError>,
    },
    /// An update of a run that has ended.
    #[error("run ended after {updates} updates")]
    Ended {
        /// The updates it made.
        updates: usize,
    },
}

impl PonderError {
    /// The same error, said of an item of a table.
    pub(crate) fn of_item(self, id: &str) -> PonderError {
        PonderError::Item { id: id.to_owned(), problem: Box::new(self) }
    }
}

/// Refuses a number outside `[low, high]`; NaN is outside.
pub(crate) fn within(
    key: &'static str,
    value: f64,
    [low, high]: [f64; 2],
) -> Result<(), PonderError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(PonderError::Range { key, value, low, high })
}

/// Refuses a number that is not finite or not above 0.
pub(crate) fn positive(key: &'static str, value: f64) -> Result<(), PonderError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(PonderError::NotPositive { key, value })
}

/// Refuses a vector of another length.
pub(crate) fn width(what: &'static str, found: usize, expected: usize) -> Result<(), PonderError> {
    if found == expected {
        return Ok(());
    }
    Err(PonderError::Width { what, found, expected })
}
