//! Probes: a direction that detects, and the one that changes what it detects.
//!
//! A probe's weights lean towards coordinates of low variance, because there a small change tells much. Adding them
//! moves the stream where states hardly ever are, so the direction to steer with is the weights times the covariance
//! of what the probe saw: the pattern that goes with them (doi 10.1016/j.neuroimage.2013.10.067).

mod linear;
pub(crate) mod logistic;

pub(crate) use linear::linear;
pub(crate) use logistic::logistic;
