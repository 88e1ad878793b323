//! The texts of a policy, by violated axis and level.

use crate::error::Result;
use crate::monitor::policy::Axis;

/// How firmly a text speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Says what went wrong and what to do instead.
    Guide,
    /// Says it more strongly.
    Insist,
    /// Asks to decline and to offer an alternative.
    Decline,
}

impl Level {
    /// All, the mildest first.
    pub const ALL: [Level; 3] = [Level::Guide, Level::Insist, Level::Decline];

    /// The level of an answer's n-th rewind, from 1: the third and all later ones ask to decline.
    pub fn of_attempt(attempt: u32) -> Level {
        match attempt {
            0 | 1 => Level::Guide,
            2 => Level::Insist,
            _ => Level::Decline,
        }
    }

    /// Its number in files and identifiers, from 1.
    pub fn number(self) -> usize {
        match self {
            Level::Guide => 1,
            Level::Insist => 2,
            Level::Decline => 3,
        }
    }
}

/// An axis as files and identifiers spell it; `None` is `general`.
pub fn axis_key(axis: Option<Axis>) -> &'static str {
    axis.map_or("general", Axis::letter)
}

/// One value for each axis, and one for none, at each level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid<T>([[T; 3]; 4]);

impl<T> Grid<T> {
    /// Asks for every value, axis by axis and the general ones last.
    pub(super) fn of(mut ask: impl FnMut(Option<Axis>, Level) -> Result<T>) -> Result<Grid<T>> {
        let mut row = |axis: Option<Axis>| -> Result<[T; 3]> {
            Ok([ask(axis, Level::Guide)?, ask(axis, Level::Insist)?, ask(axis, Level::Decline)?])
        };
        let [first, second, third] = Axis::ALL.map(Some);
        Ok(Grid([row(first)?, row(second)?, row(third)?, row(None)?]))
    }

    pub(super) fn at(&self, axis: Option<Axis>, level: Level) -> &T {
        let Grid([safety, altruism, egoism, general]) = self;
        let [guide, insist, decline] = match axis {
            Some(Axis::Safety) => safety,
            Some(Axis::Altruism) => altruism,
            Some(Axis::Egoism) => egoism,
            None => general,
        };
        match level {
            Level::Guide => guide,
            Level::Insist => insist,
            Level::Decline => decline,
        }
    }
}

/// What a model is told when it is to try again. No text is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue(Grid<String>);

impl Catalogue {
    /// Asks for every text; the answers are not empty.
    pub(crate) fn of(text: impl FnMut(Option<Axis>, Level) -> Result<String>) -> Result<Catalogue> {
        Grid::of(text).map(Catalogue)
    }

    /// The text for a violated axis, or the general one of watches that judge no state.
    pub fn note(&self, axis: Option<Axis>, level: Level) -> &str {
        self.0.at(axis, level)
    }

    /// How records and receipts name a text: `text:S:1`.
    pub fn id(axis: Option<Axis>, level: Level) -> String {
        format!("text:{}:{}", axis_key(axis), level.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::policy::{BuiltIn, Policy};
    use std::collections::BTreeSet;

    #[test]
    fn every_axis_and_level_has_a_text_of_its_own() {
        let policy = Policy::built_in(BuiltIn::Default).unwrap();
        let axes = Axis::ALL.map(Some).into_iter().chain([None]);
        let texts: BTreeSet<&str> = axes
            .flat_map(|axis| Level::ALL.map(|level| policy.catalogue().note(axis, level)))
            .collect();
        assert_eq!(texts.len(), 12);
        assert!(texts.iter().all(|text| text.len() > 40), "{texts:?}");
        let safe = policy.catalogue().note(Some(Axis::Safety), Level::Guide);
        assert!(safe.starts_with("That could put people at risk."), "{safe}");
        let general = policy.catalogue().note(None, Level::Decline);
        assert!(general.contains("cannot continue this"), "{general}");
    }

    #[test]
    fn attempts_climb_to_the_last_level() {
        let levels: Vec<usize> = (0..6).map(|n| Level::of_attempt(n).number()).collect();
        assert_eq!(levels, [1, 1, 2, 3, 3, 3]);
        assert_eq!(Catalogue::id(Some(Axis::Egoism), Level::Insist), "text:E:2");
        assert_eq!(Catalogue::id(None, Level::Guide), "text:general:1");
    }
}
