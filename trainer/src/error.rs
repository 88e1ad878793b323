//! What stops a controller from being made, read, fitted or used.

use crate::forecast::part::SplitPart;

/// Error of the trainer. What it happened to is as it was before, unless the call says otherwise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// A number outside its range.
    #[error("{field} is {value}, expected {low} to {high}")]
    Range {
        /// The field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// A number that does not divide another.
    #[error("{field} is {value}, expected a multiple of {step}")]
    Multiple {
        /// The field.
        field: &'static str,
        /// What was given.
        value: u64,
        /// What should divide it.
        step: u64,
    },
    /// An array of another length.
    #[error("{what} has {found} values, expected {expected}")]
    Width {
        /// The array.
        what: &'static str,
        /// Its values.
        found: usize,
        /// The values there should be.
        expected: usize,
    },
    /// A number that is NaN or infinite.
    #[error("{what} is not finite")]
    NotFinite {
        /// The number or array.
        what: &'static str,
    },
    /// Too little to work with.
    #[error("{what}: {found}, at least {least} expected")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// Numbers that should rise or fall and do not.
    #[error("{what} are not in order, expected {expected}")]
    Order {
        /// The numbers.
        what: &'static str,
        /// The order they should have.
        expected: &'static str,
    },
    /// A position that lies after what has been read.
    #[error("position {position} is not among the {positions} read")]
    NoPosition {
        /// What was asked for.
        position: u64,
        /// How many positions there are.
        positions: u64,
    },
    /// A number of a thing that does not exist.
    #[error("{what} {index} is not among the {count} there are")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// Its number, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A problem in two parts of a split.
    #[error("problem {problem} is in {first} and in {second}, expected in one part")]
    TwoParts {
        /// The problem's id.
        problem: u64,
        /// The first part it is in.
        first: SplitPart,
        /// The other part.
        second: SplitPart,
    },
    /// A problem that is not in the part it is used for.
    #[error("problem {problem} is not in {expected}")]
    OtherPart {
        /// The problem's id.
        problem: u64,
        /// The part it should be in.
        expected: SplitPart,
    },
    /// Targets that are all alike: there is nothing to forecast.
    #[error("targets have mean {mean} and spread {spread}, expected {low} to {high} and {least}")]
    ConstantTarget {
        /// Mean over problems.
        mean: f64,
        /// Standard deviation of problem means.
        spread: f64,
        /// The smallest mean.
        low: f64,
        /// The largest mean.
        high: f64,
        /// The smallest spread.
        least: f64,
    },
    /// A wish for fewer tokens than the rule must spend.
    #[error("mean budget {wanted} is below the {least} tokens spent at price {price}")]
    Budget {
        /// The wanted mean.
        wanted: f64,
        /// The mean at the highest price.
        least: f64,
        /// The highest price.
        price: f64,
    },
    /// An index whose equation has no root between 0 and 1.
    #[error("index of Beta({a}, {b}) at cost {c} is not between 0 and 1")]
    NoBracket {
        /// First parameter.
        a: f64,
        /// Second parameter.
        b: f64,
        /// Cost of opening, in reward.
        c: f64,
    },
    /// A report that the loop does not wait for.
    #[error("allocation was given {found}, expected {expected}")]
    OutOfTurn {
        /// What was reported.
        found: &'static str,
        /// What is waited for.
        expected: &'static str,
    },
    /// A number that has to be positive and finite.
    #[error("{field} is {value}, not a finite number above 0")]
    NotPositive {
        /// The field.
        field: &'static str,
        /// What was given.
        value: f64,
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
    #[error("{field} is {found:?}, expected one of {expected}")]
    NoName {
        /// The field.
        field: &'static str,
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
        problem: Box<TrainerError>,
    },
    /// An update of a run that has ended.
    #[error("run ended after {updates} updates")]
    Ended {
        /// The updates it made.
        updates: usize,
    },
}

impl TrainerError {
    /// The name of the failure on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            TrainerError::Range { .. }
            | TrainerError::Multiple { .. }
            | TrainerError::Width { .. }
            | TrainerError::Order { .. }
            | TrainerError::NoPosition { .. }
            | TrainerError::Unknown { .. }
            | TrainerError::NotPositive { .. }
            | TrainerError::TooLarge { .. }
            | TrainerError::NoName { .. }
            | TrainerError::NoStrength { .. }
            | TrainerError::NotUniform { .. } => "invalid_value",
            TrainerError::Item { problem, .. } => problem.code(),
            TrainerError::Ended { .. } => "run_ended",
            TrainerError::NotFinite { .. } => "not_finite",
            TrainerError::TooFew { .. } => "too_few",
            TrainerError::TwoParts { .. } | TrainerError::OtherPart { .. } => "split_leaks",
            TrainerError::ConstantTarget { .. } => "constant_target",
            TrainerError::Budget { .. } => "budget_too_small",
            TrainerError::NoBracket { .. } => "no_bracket",
            TrainerError::OutOfTurn { .. } => "out_of_turn",
        }
    }

    /// The same error, said of an item of a table.
    pub(crate) fn of_item(self, id: &str) -> TrainerError {
        TrainerError::Item { id: id.to_owned(), problem: Box::new(self) }
    }
}

/// `value`, if it lies in the range; a NaN does not.
pub(crate) fn within(
    field: &'static str,
    value: f64,
    [low, high]: [f64; 2],
) -> Result<f64, TrainerError> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(TrainerError::Range { field, value, low, high })
}

pub(crate) fn width(what: &'static str, found: usize, expected: usize) -> Result<(), TrainerError> {
    if found == expected {
        return Ok(());
    }
    Err(TrainerError::Width { what, found, expected })
}

pub(crate) fn at_least(what: &'static str, found: usize, least: usize) -> Result<(), TrainerError> {
    if found >= least {
        return Ok(());
    }
    Err(TrainerError::TooFew { what, found, least })
}

/// `value`, if it is finite and above 0.
pub(crate) fn positive(field: &'static str, value: f64) -> Result<f64, TrainerError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(TrainerError::NotPositive { field, value })
}
