//! Pushes for every note of a catalogue.

use super::super::guidance::{Catalogue, Guide, Level, vector};
use super::super::policy::Axis;
use crate::error::Result;
use trimtab_runtime::Model;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;

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

    /// Where they act; `None` of an empty catalogue.
    pub fn site(&self) -> Option<Site> {
        self.all.first().map(|(.., guide)| guide.site())
    }

    /// A plan with the push of an answer's n-th rewind behind it, from an absolute position on, and its dose, which is never
    /// above `room`.
    pub(super) fn plan(
        &self,
        base: &Plan,
        (axis, level): (Option<Axis>, Level),
        (attempt, from): (u32, usize),
        room: f64,
    ) -> Result<(Plan, f64)> {
        let growth = vector::dose(attempt) / vector::dose(1);
        let dose = (self.beta * growth).min(self.most).min(room);
        match self.all.iter().find(|(a, l, _)| (*a, *l) == (axis, level)) {
            Some((.., guide)) => Ok((base.then(guide.push(dose, from)?), dose)),
            None => Ok((base.clone(), 0.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::Text;
    use trimtab_runtime::testing::tiny;

    #[test]
    fn a_push_never_exceeds_its_room() {
        let model = tiny::model(2048).unwrap();
        let guide = Guide::of(&model, "say what would be safe instead", Text::tune()).unwrap();
        let level = Level::of_attempt(1);
        let guides = Guides { all: vec![(None, level, guide)], beta: 0.2, most: 0.5 };
        assert!(guides.site().is_some());
        let dose = |attempt, room| {
            guides.plan(&Plan::empty(), (None, level), (attempt, 3), room).unwrap().1
        };
        for (attempt, room, expected) in
            [(1, 0.5, 0.2), (9, 0.5, 0.5), (9, 0.1, 0.1), (1, 0.05, 0.05), (1, 0.0, 0.0)]
        {
            assert_eq!(dose(attempt, room), expected);
        }
    }
}
