//! What one vector does to another's behaviour, measured.
//!
//! A behaviour is a vector and a score: a number per item, higher where there is more of it. `M_ij` is the change of
//! score *i* per unit dose of vector *j*, by a small push each way; `N_ij` is what *j* at its full dose does to score
//! *i* while *i* is at its own. Items are the sample of the intervals. Random directions give the noise: what is not
//! above it is no interference.

use super::dose::Dosed;
use super::error::Error;
use crate::error::Result;
use crate::eval::{Interval, bootstrap, random};
use crate::steer::{NullVectors, Steer, SteerOptions};
use serde::Serialize;
use std::collections::BTreeMap;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;

/// The score of a plan, item by item and the same items for every plan.
pub type Score<'a> = &'a mut dyn FnMut(&Plan) -> Result<Vec<f64>>;

/// Hears how many of how many scores are done, and says whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> Flow;

/// A vector at its scale, and how its effect is scored.
pub struct Behaviour<'v, 's> {
    /// The vector.
    pub vector: Dosed<'v>,
    /// Its effect.
    pub score: Score<'s>,
}

/// How interference is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// Dose of the small pushes, each way.
    pub epsilon: f64,
    /// Random directions per behaviour.
    pub random: usize,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// Seed of draws and directions.
    pub seed: u64,
}

impl Default for Probe {
    fn default() -> Self {
        Probe { epsilon: 0.05, random: 20, draws: crate::eval::DRAWS, seed: 0 }
    }
}

/// What vectors do to each other's behaviours. Rows are scores, columns are vectors.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Interference {
    /// Change of the score per unit dose.
    pub response: Vec<Vec<Interval>>,
    /// Change of the score by the column's vector at full dose beside the row's own; `None` on the diagonal.
    pub together: Vec<Vec<Option<Interval>>>,
    /// What the row's vector alone does to its score at full dose.
    pub own: Vec<Interval>,
    /// 95th percentile of the absolute response to random directions; `None` if none were asked for.
    #[serde(rename = "noise_p95")]
    pub noise: Vec<Option<f64>>,
}

impl Interference {
    /// The behaviours whose own vector does not move them: its interval reaches 0. They do not belong in a plan.
    pub fn failing(&self) -> Vec<usize> {
        let own = self.response.iter().enumerate().filter_map(|(i, row)| Some((i, row.get(i)?)));
        own.filter(|(_, interval)| interval.low.is_nan() || interval.low <= 0.0)
            .map(|(i, _)| i)
            .collect()
    }
}

/// Cosines of vectors' rows at every site where at least two of them act: the rows of the list's vectors that do, by
/// place, and their products.
// -> [n, n] per site
pub fn cosines(vectors: &[Dosed<'_>]) -> BTreeMap<Site, (Vec<usize>, Vec<Vec<f64>>)> {
    let mut rows: BTreeMap<Site, (Vec<usize>, Vec<Vec<f64>>)> = BTreeMap::new();
    for (place, vector) in vectors.iter().enumerate() {
        for (site, row, _) in vector.entries() {
            let (places, list) = rows.entry(site).or_default();
            places.push(place);
            list.push(super::algebra::wide(row.get(..vector.file.width()).unwrap_or(row)));
        }
    }
    rows.retain(|_, (places, _)| places.len() > 1);
    let products = |list: &[Vec<f64>]| super::separate::cosines(list);
    rows.into_iter().map(|(site, (places, list))| (site, (places, products(&list)))).collect()
}

/// Measures every score under every vector. `norms` is the stream's length where it was measured; elsewhere the cards'.
pub fn measure(
    behaviours: &mut [Behaviour<'_, '_>],
    norms: &BTreeMap<Site, f32>,
    probe: &Probe,
    progress: Progress<'_>,
) -> Result<Interference> {
    let expected = "a number above 0 and at most 1";
    if !(probe.epsilon > 0.0 && probe.epsilon <= 1.0) {
        let (field, value) = ("epsilon", probe.epsilon);
        return Err(Error::Setting { field, value, expected }.into());
    }
    let vectors: Vec<Dosed<'_>> = behaviours.iter().map(|b| b.vector.clone()).collect();
    let units = units(&vectors, norms)?;
    let n = vectors.len();
    // Per row: a push each way per column and per random direction, nothing, alone, and with each other vector.
    let total = n * (3 * n + 2 * probe.random + 1);
    let mut bench = Bench { probe, vectors: &vectors, units: &units, progress, done: 0, total };
    let mut found = Interference::default();
    for (row, behaviour) in behaviours.iter_mut().enumerate() {
        bench.row(row, &mut *behaviour.score, &mut found)?;
    }
    Ok(found)
}

/// What is the same for all scores.
struct Bench<'a, 'v> {
    probe: &'a Probe,
    vectors: &'a [Dosed<'v>],
    units: &'a [f64],
    progress: Progress<'a>,
    done: usize,
    total: usize,
}

impl Bench<'_, '_> {
    /// Everything about one score.
    fn row(
        &mut self,
        row: usize,
        score: &mut dyn FnMut(&Plan) -> Result<Vec<f64>>,
        found: &mut Interference,
    ) -> Result<()> {
        let (vectors, units, probe) = (self.vectors, self.units, self.probe);
        let mut response = Vec::new();
        for (vector, unit) in vectors.iter().zip(units) {
            response.push(interval(probe, &self.slope(score, vector, *unit)?));
        }
        found.response.push(response);
        let alone = self.score(score, &plan(vectors, &[row])?)?;
        let nothing = self.score(score, &Plan::empty())?;
        found.own.push(interval(probe, &differences(&alone, &nothing)?));
        let mut together = vec![None; vectors.len()];
        for (column, place) in together.iter_mut().enumerate().filter(|(at, _)| *at != row) {
            let both = self.score(score, &plan(vectors, &[row, column])?)?;
            *place = Some(interval(probe, &differences(&both, &alone)?));
        }
        found.together.push(together);
        found.noise.push(match vectors.get(row).zip(units.get(row)) {
            Some((vector, unit)) if probe.random > 0 => Some(self.noise(score, vector, *unit)?),
            _ => None,
        });
        Ok(())
    }

    fn score(
        &mut self,
        score: &mut dyn FnMut(&Plan) -> Result<Vec<f64>>,
        plan: &Plan,
    ) -> Result<Vec<f64>> {
        let scores = score(plan)?;
        self.done += 1;
        match (self.progress)(self.done, self.total) {
            Flow::Continue => Ok(scores),
            Flow::Cancel => Err(crate::Error::Cancelled),
        }
    }

    /// The change per unit dose of every item's score, by the central difference.
    // -> [items]
    fn slope(
        &mut self,
        score: &mut dyn FnMut(&Plan) -> Result<Vec<f64>>,
        vector: &Dosed<'_>,
        unit: f64,
    ) -> Result<Vec<f64>> {
        let scale = (self.probe.epsilon / unit) as f32;
        // The dose that the rounded scale has.
        let epsilon = f64::from(scale) * unit;
        let there = self.score(score, &Plan::of(steer(vector, scale)?))?;
        let back = self.score(score, &Plan::of(steer(vector, -scale)?))?;
        Ok(differences(&there, &back)?.into_iter().map(|d| d / (2.0 * epsilon)).collect())
    }

    /// 95th percentile of the absolute mean response to random directions of the vector's doses.
    fn noise(
        &mut self,
        score: &mut dyn FnMut(&Plan) -> Result<Vec<f64>>,
        vector: &Dosed<'_>,
        unit: f64,
    ) -> Result<f64> {
        let mut responses = Vec::with_capacity(self.probe.random);
        for draw in 0..self.probe.random {
            let file = random(vector.file, self.probe.seed.wrapping_add(draw as u64))?;
            let slope = self.slope(score, &Dosed { file: &file, ..vector.clone() }, unit)?;
            responses.push((slope.iter().sum::<f64>() / slope.len() as f64).abs());
        }
        responses.sort_by(f64::total_cmp);
        // The nearest rank, so that few draws give their largest.
        let rank = (responses.len() * 95).div_ceil(100).saturating_sub(1);
        Ok(responses.get(rank).copied().unwrap_or(f64::NAN))
    }
}

fn interval(probe: &Probe, differences: &[f64]) -> Interval {
    bootstrap(differences, probe.draws, probe.seed)
}

/// The dose of each vector at scale 1: the largest over its sites.
fn units(vectors: &[Dosed<'_>], measured: &BTreeMap<Site, f32>) -> Result<Vec<f64>> {
    let norms = super::dose::norms(vectors, measured);
    let unit = |vector: &Dosed<'_>| -> Result<f64> {
        let name = || vector.name.clone();
        let mut largest: f64 = 0.0;
        for (site, _, entry) in vector.entries() {
            let norm = norms.get(&site).filter(|norm| norm.is_finite() && **norm > 0.0);
            let norm = norm.ok_or_else(|| Error::NoStreamNorm { name: name(), site })?;
            // Vectors that do not add have no magnitude, and `steer` refuses them.
            largest = largest.max(entry.magnitude.map_or(0.0, f64::from) / norm);
        }
        if largest > 0.0 {
            return Ok(largest);
        }
        let reason = format!("{} adds nothing, so it has no dose", name());
        Err(crate::Error::Refused { what: "interference", reason })
    };
    vectors.iter().map(unit).collect()
}

fn steer(vector: &Dosed<'_>, scale: f32) -> Result<Steer> {
    let options = SteerOptions {
        scale: Some(scale),
        scope: Some(vector.scope.clone()),
        sites: vector.sites.clone(),
        // Whether a vector without effect interferes is worth knowing.
        null: NullVectors::Allow,
        ..SteerOptions::default()
    };
    Steer::new(vector.file, &options)
}

/// Some of the vectors at their scales.
fn plan(vectors: &[Dosed<'_>], chosen: &[usize]) -> Result<Plan> {
    let chosen = chosen.iter().filter_map(|at| vectors.get(*at));
    chosen
        .into_iter()
        .try_fold(Plan::empty(), |plan, vector| Ok(plan.then(steer(vector, vector.scale)?)))
}

// [items], [items] -> [items]
fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>, Error> {
    if a.len() != b.len() || a.is_empty() {
        let problem = format!("gave {} and {} numbers for the same items", a.len(), b.len());
        return Err(Error::Score { problem });
    }
    Ok(a.iter().zip(b).map(|(a, b)| a - b).collect())
}
