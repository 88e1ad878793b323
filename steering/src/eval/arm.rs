//! Arms: what is compared with what. An arm is a value, so a comparison is a list.

use super::control::{random, shuffled};
use crate::error::Result;
use crate::file::VectorFile;
use crate::scope::Scope;
use crate::steer::{NullVectors, Steer, SteerOptions};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Arm {
    /// No steering; the goal is asked for in plain words behind the prompt. What steering has to be worth.
    Instruction(String),
    /// No steering.
    Base,
    /// The vector at a scale, negative ones included.
    Steered {
        /// The scale.
        scale: f32,
    },
    /// A random direction at the vector's sites, as long as the vector at this scale.
    Random {
        /// Of the directions.
        seed: u64,
        /// The scale.
        scale: f32,
    },
    /// A fit to shuffled labels at the vector's sites, as long as the vector at this scale.
    Shuffled {
        /// Of the shuffle.
        seed: u64,
        /// What was fitted.
        control: Box<VectorFile>,
        /// The scale.
        scale: f32,
    },
    /// Another vector, at a scale of its own.
    Other {
        /// The vector.
        file: Box<VectorFile>,
        /// The scale.
        scale: f32,
    },
}

impl Arm {
    /// What the kind of arm is called in results.
    pub fn kind(&self) -> &'static str {
        match self {
            Arm::Instruction(_) => "instruction",
            Arm::Base => "base",
            Arm::Steered { scale } if *scale < 0.0 => "negative",
            Arm::Steered { .. } => "steered",
            Arm::Random { .. } => "random",
            Arm::Shuffled { .. } => "shuffled",
            Arm::Other { .. } => "other",
        }
    }

    /// The scale, of arms that have one.
    pub fn scale(&self) -> Option<f32> {
        match self {
            Arm::Instruction(_) | Arm::Base => None,
            Arm::Steered { scale }
            | Arm::Random { scale, .. }
            | Arm::Shuffled { scale, .. }
            | Arm::Other { scale, .. } => Some(*scale),
        }
    }

    /// The seed, of controls.
    pub fn seed(&self) -> Option<u64> {
        match self {
            Arm::Instruction(_) | Arm::Base | Arm::Steered { .. } | Arm::Other { .. } => None,
            Arm::Random { seed, .. } | Arm::Shuffled { seed, .. } => Some(*seed),
        }
    }

    /// What people call it.
    pub fn label(&self) -> String {
        match self {
            Arm::Instruction(_) => "instruction in the prompt".to_owned(),
            Arm::Base => "no steering".to_owned(),
            Arm::Steered { scale } => format!("scale {}", short(*scale)),
            Arm::Random { seed, .. } => format!("random {seed}"),
            Arm::Shuffled { seed, .. } => format!("shuffled {seed}"),
            Arm::Other { file, scale } => format!("{} scale {}", file.card().name, short(*scale)),
        }
    }

    /// What it does to the stream.
    pub fn plan(&self, file: &VectorFile) -> Result<Plan> {
        match self {
            Arm::Instruction(_) | Arm::Base => Ok(Plan::empty()),
            Arm::Steered { scale } => plan(file, *scale),
            Arm::Random { seed, scale } => plan(&random(file, *seed)?, *scale),
            Arm::Shuffled { control, scale, .. } => plan(&shuffled(file, control)?, *scale),
            Arm::Other { file, scale } => plan(file, *scale),
        }
    }

    /// Which tokens it acts on; `None` where it steers nothing.
    pub(super) fn scope<'a>(&'a self, file: &'a VectorFile) -> Option<&'a Scope> {
        if let Arm::Instruction(_) | Arm::Base = self {
            return None;
        }
        let file = if let Arm::Other { file, .. } = self { file } else { file };
        self.scale().filter(|scale| *scale != 0.0).map(|_| &file.card().scope)
    }

    /// The conversation it is measured on.
    pub(super) fn prompt(&self, messages: &[Message]) -> Vec<Message> {
        let mut messages = messages.to_vec();
        if let (Arm::Instruction(text), Some(last)) = (self, messages.last_mut()) {
            last.content = format!("{}\n{text}", last.content.trim_end());
        }
        messages
    }
}

/// A scale for people, at most three decimals.
fn short(scale: f32) -> String {
    let text = format!("{scale:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The vector at a scale; measuring is how one finds out that a vector is null, so null ones are let in.
fn plan(file: &VectorFile, scale: f32) -> Result<Plan> {
    let options =
        SteerOptions { scale: Some(scale), null: NullVectors::Allow, ..SteerOptions::default() };
    Ok(Plan::of(Steer::new(file, &options)?))
}
