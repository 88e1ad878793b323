//! What is logged of every candidate, and how one is chosen.
//!
//! `cos(r, μ⁺) = (‖μ⁺‖ − ‖μ⁻‖ cos θ)/‖r‖` with θ between the means, so nearly parallel means reward *longer* positive
//! states, whatever they say: the whole grid is logged so that this shows, and only the PaLRS arm chooses by it
//! (arXiv 2509.23982; that "alignment" is the cosine is our reading).

use super::algebra::{cosine, norm};
use super::moments::{Means, Moments, NO_DIFFERENCE};
use crate::error::{Error, Result};

/// Above this share of ‖r‖² in the top 1 % of coordinates, a direction is a few outlier coordinates.
pub const TOP_SHARE_LIMIT: f64 = 0.5;

/// How a candidate is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The largest cos(r, μ⁺).
    PaperCosine,
    /// The largest AUROC of held-out projections, among directions that are not a few outlier coordinates.
    HeldoutAuroc,
}

/// Where a candidate was read. Smaller depths are shallower sites, larger positions are later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The site's number in the order of the forward pass.
    pub depth: usize,
    /// The position, counted from the end (−1 is last); a pooled candidate takes a number of its own.
    pub position: i32,
}

/// The numbers of one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Where it was read.
    pub place: Place,
    /// ‖r‖/‖μ⁺‖.
    pub relative_length: f64,
    /// cos(r, μ⁺).
    pub cosine: f64,
    /// ‖μ⁺‖/‖μ⁻‖.
    pub length_ratio: f64,
    /// Share of ‖r‖² in the top 1 % of coordinates, at least one.
    pub top_share: f64,
    /// AUROC of held-out projections.
    pub auroc: Option<f64>,
    /// Held-out gap in pooled standard deviations.
    pub cohens_d: Option<f64>,
    /// Cosine between the mean differences of two halves of the items.
    pub split_half: Option<f64>,
}

impl Score {
    /// What the class means alone say; the rest is `None`.
    pub fn of(place: Place, positive: &Moments, negative: &Moments) -> Result<Score> {
        let means = Means::of(positive, negative)?;
        let r = means.difference();
        let length = norm(&means.positive);
        Ok(Score {
            place,
            relative_length: norm(&r) / length,
            cosine: cosine(&r, &means.positive),
            length_ratio: length / norm(&means.negative),
            top_share: top_share(&r),
            auroc: None,
            cohens_d: None,
            split_half: None,
        })
    }

    /// The same with projections of held-out states on this candidate's direction.
    pub fn with_held_out(self, positive: &[f64], negative: &[f64]) -> Score {
        let auroc = Some(auroc(positive, negative));
        Score { auroc, cohens_d: cohens_d(positive, negative), ..self }
    }

    /// Whether the direction is a few outlier coordinates: not eligible by AUROC, a warning by cosine.
    pub fn is_concentrated(&self) -> bool {
        self.top_share > TOP_SHARE_LIMIT
    }

    /// Whether the class means differ by more than rounding.
    pub fn differs(&self) -> bool {
        self.relative_length >= NO_DIFFERENCE
    }

    fn merit(&self, rule: Selection) -> Option<f64> {
        let merit = match rule {
            Selection::PaperCosine => Some(self.cosine),
            Selection::HeldoutAuroc if self.is_concentrated() => None,
            Selection::HeldoutAuroc => self.auroc,
        };
        merit.filter(|merit| self.differs() && !merit.is_nan())
    }
}

/// The chosen candidate's index; of equals the shallower site, then the later position, then the first. `None` if no
/// candidate is left.
pub fn select(rule: Selection, scores: &[Score]) -> Option<usize> {
    let mut best: Option<(usize, f64, Place)> = None;
    for (index, score) in scores.iter().enumerate() {
        let Some(merit) = score.merit(rule) else { continue };
        let better = best.is_none_or(|(_, most, place)| {
            let nearer = (score.place.depth, -i64::from(score.place.position));
            merit > most || (merit == most && nearer < (place.depth, -i64::from(place.position)))
        });
        if better {
            best = Some((index, merit, score.place));
        }
    }
    best.map(|(index, ..)| index)
}

/// An error if the class means differ at no candidate.
pub fn require_difference(scores: &[Score]) -> Result<()> {
    if scores.iter().any(Score::differs) {
        return Ok(());
    }
    Err(Error::NoDifference { candidates: scores.len() })
}

/// Probability that a positive is above a negative, ties counted half; NaN if a class is empty or holds a NaN.
// [n], [m] -> []
pub fn auroc(positive: &[f64], negative: &[f64]) -> f64 {
    let mut all: Vec<(f64, u64, u64)> = positive.iter().map(|x| (*x, 1, 0)).collect();
    all.extend(negative.iter().map(|x| (*x, 0, 1)));
    if positive.is_empty() || negative.is_empty() || all.iter().any(|(x, ..)| x.is_nan()) {
        return f64::NAN;
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the number of ordered pairs, in integers: n·m stays far below 2^63.
    let (mut twice, mut below) = (0u64, 0u64);
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let count = |of: fn(&(f64, u64, u64)) -> u64| ties.iter().map(of).sum::<u64>();
        let (above, here) = (count(|x| x.1), count(|x| x.2));
        twice += above * (2 * below + here);
        below += here;
    }
    twice as f64 / (2.0 * positive.len() as f64 * negative.len() as f64)
}

/// Difference of means in pooled standard deviations; `None` with fewer than two values in a class or no spread.
// [n], [m] -> []
pub fn cohens_d(positive: &[f64], negative: &[f64]) -> Option<f64> {
    if positive.len() < 2 || negative.len() < 2 {
        return None;
    }
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>())
    };
    let ((p, around_p), (n, around_n)) = (spread(positive), spread(negative));
    let freedom = (positive.len() + negative.len() - 2) as f64;
    let deviation = ((around_p + around_n) / freedom).sqrt();
    (deviation > 0.0).then(|| (p - n) / deviation)
}

/// Share of ‖r‖² in the largest 1 % of coordinates, at least one; NaN for a zero vector.
// [width] -> []
pub fn top_share(r: &[f64]) -> f64 {
    let mut squares: Vec<f64> = r.iter().map(|x| x * x).collect();
    squares.sort_by(|a, b| b.total_cmp(a));
    let top = r.len().div_ceil(100);
    squares.iter().take(top).sum::<f64>() / squares.iter().sum::<f64>()
}
