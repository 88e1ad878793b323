//! Which scale to use, from what each tested scale did and cost.
//!
//! Pure arithmetic over measurements: of the scales that do no harm, the smallest that is as good as the best. A
//! harmful scale is never chosen however good it looks, and where nothing is better than no steering, nothing is chosen.

use super::interval::{DRAWS, Interval, bootstrap, mean, standard_error};
use crate::file::card::Status;

/// What a plan costs on neutral text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Perplexity divided by that of the plain model.
    pub ppl_ratio: f64,
    /// Lower end of its 95 % interval.
    pub ppl_low: f64,
    /// Upper end.
    pub ppl_high: f64,
    /// Mean divergence from the plain model per token, in nats.
    pub kl: f64,
}

/// What was found at one scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The scale; 0 stands for no steering and is not listed.
    pub scale: f32,
    /// Length of the addition over that of the stream, at the site where it is the most.
    pub dose: Option<f64>,
    /// Scores, item by item.
    pub scores: Vec<f64>,
    /// Repetition of its answers less that of the plain model's.
    pub repetition: Option<f64>,
    /// What it costs.
    pub cost: Option<Cost>,
}

/// What is allowed (palrs, dose calibration).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The upper end of the perplexity ratio's interval.
    pub ppl_ratio: f64,
    /// Mean divergence per neutral token, in nats.
    pub kl: f64,
    /// Rise of the repetition of answers.
    pub repetition: f64,
    /// Length of the addition over that of the stream.
    pub dose: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { ppl_ratio: 1.10, kl: 0.1, repetition: 0.05, dose: 0.5 }
    }
}

impl Limits {
    /// Whether neutral text stays as likely as it was. What was not measured is not known to be safe.
    pub fn is_safe(&self, cost: Option<&Cost>) -> bool {
        cost.is_some_and(|cost| cost.ppl_high <= self.ppl_ratio && cost.kl <= self.kl)
    }

    /// Whether a scale may be chosen.
    pub fn allow(&self, point: &Point) -> bool {
        let within = |value: Option<f64>, limit: f64| value.is_none_or(|value| value <= limit);
        self.is_safe(point.cost.as_ref())
            && within(point.repetition, self.repetition)
            && within(point.dose, self.dose)
    }
}

/// What the measurements say about scales.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The scale to use; 0 if none does any good.
    pub default: f32,
    /// Whether an effect was found.
    pub status: Status,
    /// The widest interval around 0 of tested scales that neutral text bears; `None` if its cost was not measured.
    pub safe: Option<[f32; 2]>,
    /// The allowed scale with the best mean score, whether or not it is better than no steering.
    pub best: Option<f32>,
    /// What the best one gains.
    pub gain: Option<Interval>,
}

/// Chooses a scale. `plain` holds the scores without steering, of the same items.
pub fn choose(plain: &[f64], points: &[Point], limits: &Limits, seed: u64) -> Choice {
    let allowed: Vec<&Point> =
        points.iter().filter(|point| point.scale > 0.0 && limits.allow(point)).collect();
    let safe = safe(points, limits);
    // Harm that was not measured is not known, which is no finding about the effect.
    let status = if safe.is_some() { Status::Null } else { Status::Unmeasured };
    let none = Choice { default: 0.0, status, safe, best: None, gain: None };
    let ordered = |a: &&&Point, b: &&&Point| {
        // Of equals the smallest.
        mean(&a.scores).total_cmp(&mean(&b.scores)).then(b.scale.total_cmp(&a.scale))
    };
    let Some(best) = allowed.iter().max_by(ordered) else { return none };
    let gain = bootstrap(&differences(&best.scores, plain), DRAWS, seed);
    let found = Choice { best: Some(best.scale), gain: Some(gain), ..none };
    if gain.low <= 0.0 {
        return found;
    }
    let enough = mean(&best.scores) - standard_error(&best.scores);
    let good = allowed.iter().filter(|point| mean(&point.scores) >= enough);
    let smallest = good.map(|point| point.scale).min_by(f32::total_cmp);
    let default = smallest.unwrap_or(best.scale);
    Choice { default, status: Status::Measured, ..found }
}

/// Scores item by item less those of another arm.
// [n], [n] -> [n]
pub(super) fn differences(scores: &[f64], plain: &[f64]) -> Vec<f64> {
    scores.iter().zip(plain).map(|(score, plain)| score - plain).collect()
}

/// From 0 to both sides as far as tested scales are safe.
fn safe(points: &[Point], limits: &Limits) -> Option<[f32; 2]> {
    if points.iter().all(|point| point.cost.is_none()) {
        return None;
    }
    let reach = |sign: f32| {
        let mut side: Vec<&Point> = points.iter().filter(|p| p.scale * sign > 0.0).collect();
        side.sort_by(|a, b| a.scale.abs().total_cmp(&b.scale.abs()));
        let good = side.iter().take_while(|point| limits.is_safe(point.cost.as_ref()));
        good.last().map_or(0.0, |point| point.scale)
    };
    Some([reach(-1.0), reach(1.0)])
}
