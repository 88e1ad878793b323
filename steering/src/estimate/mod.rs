//! Directions from states of two classes, in f64 and without a model.
//!
//! Every estimator takes the states of both classes at one candidate (a site and a position) and gives a unit
//! direction whose sign is positive minus negative by construction. What it is worth is measured on other items:
//! [`Score`] and [`select`].

mod algebra;
mod classes;
mod mean;
mod moments;
mod score;

pub use algebra::{cosine, project};
pub use classes::{Classes, Pairing};
pub use mean::{Estimate, mean_difference, palrs};
pub use moments::Moments;
pub use score::{
    Place, Score, Selection, TOP_SHARE_LIMIT, auroc, cohens_d, require_difference, select,
    top_share,
};

#[cfg(test)]
mod tests;
