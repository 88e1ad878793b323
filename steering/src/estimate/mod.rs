//! Directions from states of two classes, in f64 and without a model.
//!
//! Every estimator takes the states of both classes at one candidate (a site and a position) and gives a unit
//! direction whose sign is positive minus negative by construction. What it is worth is measured on other items:
//! [`Score`] and [`select`].

pub(crate) mod algebra;
mod classes;
mod folds;
mod moments;

mod component;
mod control;
mod mean;
mod probe;
mod weights;

mod estimator;
mod halves;
mod score;

pub use algebra::{cosine, dot, gaussian, norm, project, random, sigmoid, softplus};
pub use classes::{Classes, Pairing};
pub use control::Residue;
pub use estimator::{Estimator, SHRINKAGE};
pub use halves::split_half;
pub(crate) use halves::{Deal, Halves};
pub use mean::{Estimate, mean_difference, palrs};
pub use moments::Moments;
pub use score::{
    Place, Score, Selection, TOP_SHARE_LIMIT, auroc, auroc_margin, cohens_d, require_difference,
    select, tied, top_share,
};
pub(crate) use weights::enough;
pub use weights::{ETA, ETA_RANGE, LEAST_PAIRS, LEAST_WEIGHT, PairWeights, posterior, robust};

#[cfg(test)]
mod tests;
