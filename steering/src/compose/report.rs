//! What composition did, for people and programs.

use super::dose::Doses;
use super::error::table;
use crate::scope::Scope;
use std::fmt;
use trimtab_runtime::site::Site;

/// What composition did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Places of the vectors in the list, by priority.
    pub order: Vec<usize>,
    /// One entry per site and positions where something is added.
    pub groups: Vec<GroupReport>,
    /// The doses, after separation.
    pub doses: Doses,
    /// What is to be told, beside the notes of the doses.
    pub findings: Vec<Finding>,
}

/// What happened at one site and positions.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupReport {
    /// Where.
    pub site: Site,
    /// On which tokens.
    pub scope: Scope,
    /// The vectors by priority, as places in the list.
    pub members: Vec<usize>,
    /// Directions that were protected.
    pub rank: usize,
    /// Share of each member's length that is left.
    pub kept: Vec<f64>,
    /// Cosines of the members' directions as they are in the files.
    pub before: Vec<Vec<f64>>,
    /// Cosines after separation.
    pub after: Vec<Vec<f64>>,
    /// Length of the merged push, scales in force.
    pub push: f64,
}

/// Something to tell about vectors that stand together.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Little is left of a vector: it is not separable here.
    LittleKept {
        /// The vector.
        name: String,
        /// Where.
        site: Site,
        /// What is left, as a share.
        kept: f64,
        /// What it keeps at its other sites, the nearest first.
        neighbours: Vec<(Site, f64)>,
    },
    /// Only the direction of a vector was protected, because its differences are not known.
    MeanOnly {
        /// The vector.
        name: String,
    },
    /// Pushes that sum to nothing.
    Cancelled {
        /// Where.
        site: Site,
    },
    /// A merged push above what one vector may do: its file is refused where limits are as usual.
    Heavy {
        /// Where.
        site: Site,
        /// Its dose.
        dose: f64,
        /// The most that one vector may have.
        limit: f64,
    },
    /// Two operations whose order matters.
    Ordered {
        /// What acts first.
        first: String,
        /// What acts after it.
        second: String,
        /// Where.
        site: Site,
    },
}

impl Finding {
    /// Its name on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Finding::LittleKept { .. } => "little_kept",
            Finding::MeanOnly { .. } => "mean_only",
            Finding::Cancelled { .. } => "push_zero",
            Finding::Heavy { .. } => "push_heavy",
            Finding::Ordered { .. } => "order_matters",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::LittleKept { name, site, kept, neighbours } => write!(
                f,
                "vector {name} is not separable at {site}: it keeps {kept:.2} of its length; \
                 kept elsewhere: {}",
                table(neighbours)
            ),
            Finding::MeanOnly { name } => write!(
                f,
                "mean_only: vector {name} came without differences, so only its direction is protected"
            ),
            Finding::Cancelled { site } => write!(f, "the pushes at {site} sum to zero"),
            Finding::Heavy { site, dose, limit } => write!(
                f,
                "the merged push at {site} has dose {dose:.3}, and one vector may have {limit:.3}: \
                 its file needs a smaller scale or a higher limit"
            ),
            Finding::Ordered { first, second, site } => {
                write!(f, "{first} acts before {second} at {site}, and the order matters")
            }
        }
    }
}
