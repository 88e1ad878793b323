//! Pushes for every note of a catalogue.

use super::super::guidance::{Catalogue, Guide, Level, vector};
use super::super::policy::Axis;
use crate::error::Result;
use trimtab_runtime::Model;
use trimtab_runtime::plan::Plan;

/// A guide for every axis, and for none, at each level.
#[derive(Debug, Clone)]
pub struct Guides {
    all: Vec<(Option<Axis>, Level, Guide)>,
    beta: f64,
    most: f64,
}

impl Guides {
    /// Measures the notes of a catalogue beside a neutral text, which must be longer than they are. `beta` is the dose of a
    /// first push, `most` the largest.
    pub fn new(
        model: &Model,
        catalogue: &Catalogue,
        neutral: &str,
        (beta, most): (f64, f64),
    ) -> Result<Guides> {
        let axes = Axis::ALL.map(Some).into_iter().chain([None]);
        let pairs = axes.flat_map(|axis| Level::ALL.map(|level| (axis, level)));
        let length = Guide::length(model)?;
        let guide = |(axis, level)| {
            let guide = Guide::on(model, catalogue.note(axis, level), neutral, length)?;
            // What could not be pushed later is refused now.
            guide.push(beta, 0).and_then(|_| guide.push(most, 0))?;
            Ok((axis, level, guide))
        };
        Ok(Guides { all: pairs.map(guide).collect::<Result<_>>()?, beta, most })
    }

    /// A plan with the push of an answer's n-th rewind behind it, from an absolute position on, and its dose.
    pub(super) fn plan(
        &self,
        base: &Plan,
        (axis, level): (Option<Axis>, Level),
        (attempt, from): (u32, usize),
    ) -> Result<(Plan, f64)> {
        let growth = vector::dose(attempt) / vector::dose(1);
        let dose = (self.beta * growth).min(self.most);
        match self.all.iter().find(|(a, l, _)| (*a, *l) == (axis, level)) {
            Some((.., guide)) => Ok((base.then(guide.push(dose, from)?), dose)),
            None => Ok((base.clone(), 0.0)),
        }
    }
}
