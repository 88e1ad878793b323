//! A simulation that is ready to be run: its lines, each with the function that runs it, and what is measured of a run.

use super::grid::{Varied, label};
use crate::document::Fields;
use crate::error::Result;
use std::path::PathBuf;
use std::sync::Arc;

/// A number that every run gives.
pub struct Measure {
    /// Its name in documents.
    pub key: &'static str,
    /// The same in tables.
    pub name: String,
    pub digits: usize,
}

/// A curve that every run gives.
pub struct CurveAxis {
    /// Its name in documents.
    pub key: &'static str,
    /// The same in pictures.
    pub name: String,
    /// The rounds that have a value.
    pub at: Vec<f64>,
}

/// From a seed to what came of it.
pub type Simulated = Arc<dyn Fn(u64) -> Result<Outcome> + Send + Sync>;

/// One arm under one setting.
pub struct Line {
    pub arm: &'static str,
    pub varied: Varied,
    pub simulate: Simulated,
}

impl Line {
    /// Both in words; of an only arm its setting.
    pub fn name(&self, arms: usize) -> String {
        let setting = label(&self.varied);
        match (setting.is_empty(), arms) {
            (true, _) => self.arm.to_owned(),
            (false, 1) => setting,
            (false, _) => format!("{}, {setting}", self.arm),
        }
    }
}

/// What one run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In the order of the measures.
    pub numbers: Vec<f64>,
    /// In the order of the axes, a value for each of their rounds.
    pub curves: Vec<Vec<f64>>,
}

/// A simulation of arms under settings.
pub struct SimulationPlan {
    pub command: &'static str,
    /// What is simulated, in words.
    pub subject: String,
    /// What a round is.
    pub round: &'static str,
    pub rounds: usize,
    pub seeds: u64,
    pub svg: Option<PathBuf>,
    /// What was asked for.
    pub asked: Fields,
    /// Arms of one setting.
    pub arms: usize,
    /// All arms of the first setting, then those of the next.
    pub lines: Vec<Line>,
    /// The first ones, so many as `compared`, are held against another line.
    pub measures: Vec<Measure>,
    pub compared: usize,
    pub axes: Vec<CurveAxis>,
}

impl SimulationPlan {
    /// The place of the line that another is held against: the first arm of its setting; of an only arm the first setting.
    pub fn reference(&self, line: usize) -> usize {
        if self.arms == 1 { 0 } else { line - line % self.arms.max(1) }
    }
}
