//! Arms: what is compared with what. An arm is a value, so a comparison is a list.

use crate::direction::Direction;
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{MethodName, Status};
use crate::scope::Scope;
use crate::steer::{NullVectors, Steer, SteerOptions};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_runtime::site::Site;
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
    /// Another vector, such as one made from shuffled labels, at a scale of its own.
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
            Arm::Other { .. } => "other",
        }
    }

    /// The scale, of arms that have one.
    pub fn scale(&self) -> Option<f32> {
        match self {
            Arm::Instruction(_) | Arm::Base => None,
            Arm::Steered { scale } | Arm::Random { scale, .. } | Arm::Other { scale, .. } => {
                Some(*scale)
            }
        }
    }

    /// What people call it.
    pub fn label(&self) -> String {
        match self {
            Arm::Instruction(_) => "instruction in the prompt".to_owned(),
            Arm::Base => "no steering".to_owned(),
            Arm::Steered { scale } => format!("scale {}", short(*scale)),
            Arm::Random { seed, .. } => format!("random {seed}"),
            Arm::Other { file, scale } => format!("{} scale {}", file.card().name, short(*scale)),
        }
    }

    /// What it does to the stream.
    pub fn plan(&self, file: &VectorFile) -> Result<Plan> {
        match self {
            Arm::Instruction(_) | Arm::Base => Ok(Plan::empty()),
            Arm::Steered { scale } => plan(file, *scale),
            Arm::Random { seed, scale } => plan(&random(file, *seed)?, *scale),
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

/// The same file with random directions: sites, magnitudes, operation and scope stay.
///
/// A standard normal vector has no preferred direction, so its unit vector is uniform on the sphere. Rows of a
/// projection are made orthogonal, as those of the file are.
pub fn random(file: &VectorFile, seed: u64) -> Result<VectorFile> {
    let mut card = file.card().clone();
    card.method.name = MethodName::Random;
    card.method.seed = Some(seed);
    card.status = Status::Unmeasured;
    card.evaluation = None;
    let directions = file.directions().iter().enumerate().map(|(index, one)| {
        let site = one.site();
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(one.rank());
        for row in 0..one.rank() {
            let mut drawn = normal(one.width(), seed, [index, row]);
            rows.iter().for_each(|earlier| remove(&mut drawn, earlier));
            rows.push(unit(site, drawn)?);
        }
        let values = rows.iter().flatten().map(|v| *v as f32).collect();
        Direction::new(site, one.rank(), values)
    });
    let directions = directions.collect::<Result<Vec<Direction>>>()?;
    VectorFile::new(card, directions)
}

/// Standard normal numbers by Box and Muller's transform, keyed by seed, direction and row.
// -> [width]
fn normal(width: usize, seed: u64, [direction, row]: [usize; 2]) -> Vec<f64> {
    let uniform = |choice: u32, position: usize| {
        let purpose = Purpose::Named("random direction");
        let attempt = row as u32;
        let position = (direction << 24) | position;
        Draw { seed, choice, purpose, attempt, position }.uniform()
    };
    let drawn = (0..width).map(|i| {
        let radius = (-2.0 * (1.0 - uniform(0, i)).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform(1, i)).cos()
    });
    drawn.collect()
}

/// Takes the part along a unit vector away.
// [width], [width]
fn remove(values: &mut [f64], along: &[f64]) {
    let part: f64 = values.iter().zip(along).map(|(v, a)| v * a).sum();
    values.iter_mut().zip(along).for_each(|(v, a)| *v -= part * a);
}

// [width] -> [width]
fn unit(site: Site, values: Vec<f64>) -> Result<Vec<f64>> {
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length < 1e-9 {
        // More rows than the stream is wide leave nothing that is orthogonal to all.
        return Err(crate::Error::tensor(site, "is too narrow for a random control of its rank"));
    }
    Ok(values.into_iter().map(|v| v / length).collect())
}
