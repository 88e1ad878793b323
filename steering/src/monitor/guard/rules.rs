//! The terms of a guard.

use super::super::guidance::Asides;
use super::super::guidance::vector::MOST;
use super::super::policy::Caps;
use super::super::sharpness::Sharpness;
use super::guides::Guides;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trimtab_runtime::plan::Plan;

/// What is said in the place of an answer unless something else is given.
pub const REFUSAL: &str = "I can't help with that.";

/// Where a rewind goes.
#[derive(Debug, Clone, PartialEq)]
pub enum RewindTo {
    /// The last boundary that passed a check.
    Clean,
    /// The most recent peak of sharpness of attention behind it, if there is one.
    Sharpness(Sharpness),
    /// So many tokens back.
    Fixed {
        /// How many.
        window: usize,
    },
    /// Anywhere behind the last boundary that passed a check, each place as likely: the control of experiments.
    Drawn {
        /// Decides where.
        seed: u64,
    },
}

impl RewindTo {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            RewindTo::Clean => "clean",
            RewindTo::Sharpness(_) => "sharpness",
            RewindTo::Fixed { .. } => "fixed",
            RewindTo::Drawn { .. } => "drawn",
        }
    }
}

/// What a model is told when it tries again.
#[derive(Debug, Clone, Default)]
pub enum Guidance {
    /// Nothing.
    #[default]
    None,
    /// An aside, hidden from the answer.
    Text(Arc<Asides>),
    /// A push on the residual stream that fades.
    Vector(Arc<Guides>),
}

/// What becomes of an answer that may not be rewound any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// What is not clean is dropped, and a refusal is said instead.
    #[default]
    Refuse,
    /// What is not clean is dropped.
    Stop,
    /// The answer goes on, flagged.
    Keep,
}

/// When text leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// When a clean check covers it, so that nothing is ever taken back.
    #[default]
    Hold,
    /// At once; what is rewound is taken back in the open.
    Retract,
}

/// Whether one watch that hits is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// One that hits is enough.
    #[default]
    Any,
    /// All watches that rewind must hit, each with its newest check.
    All,
}

/// The terms of a guard.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Where a rewind goes.
    pub rewind: RewindTo,
    /// What monitoring may cost.
    pub caps: Caps,
    /// What the model is told when it tries again.
    pub guidance: Guidance,
    /// The largest dose of a push of guidance: what the plan in force leaves of the limit at its site.
    pub room: f64,
    /// The plan of a retry, which stays in force; `None` for the one in force. A push of guidance is put behind it.
    pub retry: Option<Plan>,
    /// The plan that the answer began under.
    pub plan: Plan,
    /// What happens when rewinding has not helped.
    pub on_exhausted: OnExhausted,
    /// What is said in the place of an answer that is refused.
    pub refusal: String,
    /// When text leaves.
    pub stream: Stream,
    /// How several watches make one decision.
    pub combine: Combine,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            rewind: RewindTo::Clean,
            caps: Caps::default(),
            guidance: Guidance::None,
            room: MOST,
            retry: None,
            plan: Plan::empty(),
            on_exhausted: OnExhausted::Refuse,
            refusal: REFUSAL.to_owned(),
            stream: Stream::Hold,
            combine: Combine::Any,
        }
    }
}

impl Rules {
    pub(super) fn check(&self) -> Result<()> {
        if let RewindTo::Fixed { window } = self.rewind
            && !(1..=64).contains(&window)
        {
            return Err(Error::setting("window", format!("is {window}, expected 1 to 64")));
        }
        if self.caps.rewinds > 10 {
            let problem = format!("is {}, expected 0 to 10", self.caps.rewinds);
            return Err(Error::setting("max", problem));
        }
        if self.caps.discarded > 4096 {
            let problem = format!("is {}, expected 0 to 4096", self.caps.discarded);
            return Err(Error::setting("max_discarded", problem));
        }
        if self.room.is_nan() || self.room < 0.0 {
            let problem = format!("is {}, expected a dose of 0 or more", self.room);
            return Err(Error::setting("room", problem));
        }
        if self.on_exhausted == OnExhausted::Refuse && self.refusal.trim().is_empty() {
            return Err(Error::setting("refusal", "is empty, expected a sentence"));
        }
        Ok(())
    }
}
