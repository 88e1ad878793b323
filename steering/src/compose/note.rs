//! What is to be told about doses.

use super::error::{rounded_down, short};
use std::fmt;
use trimtab_runtime::site::Site;

/// Something to tell about doses.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Scales were lowered.
    Clamped {
        /// What they were multiplied by.
        factor: f32,
    },
    /// A limit is exceeded, and the policy lets it pass.
    Over {
        /// The vector or site.
        what: String,
        /// Its dose.
        dose: f64,
        /// The limit.
        limit: f64,
    },
    /// The sum over all sites is large.
    Total {
        /// The sum.
        dose: f64,
        /// What it is held against.
        limit: f64,
    },
    /// A scale outside the range that was measured to be safe.
    OutsideSafe {
        /// The vector.
        name: String,
        /// Its scale in force.
        scale: f32,
        /// The range.
        safe: [f32; 2],
    },
    /// The dose of this operation depends on the token.
    Unpredicted {
        /// The vector.
        name: String,
        /// The operation.
        kind: &'static str,
    },
    /// The stream is not as long as the card says.
    NormDrift {
        /// The vector.
        name: String,
        /// Where it is least so.
        site: Site,
        /// Measured, as a share of what the card says.
        ratio: f64,
        /// At how many other sites.
        others: usize,
    },
}

impl Note {
    /// Its name in receipts; `None` where nothing is wrong and a receipt has no predicted dose there.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Note::Clamped { .. } => Some("dose_clamped"),
            Note::Over { .. } => Some("dose_exceeded"),
            Note::Total { .. } => Some("dose_total"),
            Note::OutsideSafe { .. } => Some("scale_outside_safe"),
            Note::NormDrift { .. } => Some("stream_norm_drift"),
            Note::Unpredicted { .. } => None,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Clamped { factor } => {
                let factor = rounded_down(*factor);
                write!(f, "unprotected scales were multiplied by {factor} to keep the doses")
            }
            Note::Over { what, dose, limit } => {
                write!(f, "{what} has dose {}, above {limit:.3}", short(*dose))
            }
            Note::Total { dose, limit } => {
                write!(f, "the doses of all sites sum to {}, above {limit:.3}", short(*dose))
            }
            Note::OutsideSafe { name, scale, safe: [low, high] } => {
                write!(f, "vector {name} has scale {scale}, measured safe from {low} to {high}")
            }
            Note::Unpredicted { name, kind } => {
                write!(f, "vector {name} has no dose beforehand: {kind} depends on the token")
            }
            Note::NormDrift { name, site, ratio, others } => {
                let ratio = short(*ratio);
                let more = match others {
                    0 => String::new(),
                    1 => ", and at 1 more site".to_owned(),
                    others => format!(", and at {others} more sites"),
                };
                write!(
                    f,
                    "stream_norm_drift: the stream at {site} is {ratio} times as long as vector {name} says{more}; \
                     what was measured counts"
                )
            }
        }
    }
}
