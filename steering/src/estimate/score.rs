//! What is logged of every candidate, and how one is chosen.
//!
//! `cos(r, μ⁺) = (‖μ⁺‖ − ‖μ⁻‖ cos θ)/‖r‖` with θ between the means, so nearly parallel means reward *longer* positive
//! states, whatever they say: the whole grid is logged so that this shows, and only the PaLRS arm chooses by it
//! (arXiv 2509.23982; that "alignment" is the cosine is our reading).

use super::algebra::{cosine, norm};
use super::moments::{Means, Moments, NO_DIFFERENCE};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Above this share of ‖r‖² in the top 1 % of coordinates, a direction is a few outlier coordinates.
pub const TOP_SHARE_LIMIT: f64 = 0.5;

/// AUROCs that differ by less are equal: rounding, and not a pair more on the right side.
const EQUAL: f64 = 1e-9;
/// Of candidates that separate alike, those with this share of the largest dose push nearly as hard.
const NEARLY: f64 = 0.9;

/// How a candidate is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The largest cos(r, μ⁺).
    PaperCosine,
    /// The largest AUROC of held-out projections, among directions that are not a few outlier coordinates. Of equal
    /// ones those with nearly the largest class gap for the stream's length, and of these the shallowest site.
    HeldoutAuroc,
}

impl Selection {
    /// Its name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Selection::PaperCosine => "paper_cosine",
            Selection::HeldoutAuroc => "heldout_auroc",
        }
    }
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
    /// Share of the direction's squared length in the top 1 % of coordinates, at least one; of r until another is set.
    pub top_share: f64,
    /// The class gap as a share of the stream's length, where that is known.
    pub dose: Option<f64>,
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
            dose: None,
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

    /// The gap as a share of the stream's length or of the positive states', whichever is longer; 0 where it is not known.
    fn push(&self) -> f64 {
        self.dose.map_or(0.0, |dose| dose.min(self.relative_length))
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
    let mut tied = tied(rule, scores);
    if rule == Selection::HeldoutAuroc {
        // Our decision, not a paper's. AUROC saturates: of 69 candidates 37 may tie at 1, and the shallowest of them has
        // a gap of a fortieth of the stream, which steers nothing. Nor does Cohen's d tell them apart: on three kinds of
        // our data (excited, concise, refusing) it takes blocks 4, 12 and 2 of 30. The shallowest with nine tenths of the
        // largest dose is at 14, 17 and 18; 13 to 17 steer best. A gap must also be long beside the states that are read:
        // the end of a turn has states of its own length at block 0, where its gap would be the largest of all.
        let push = |index: &usize| scores.get(*index).map_or(0.0, Score::push);
        let most = tied.iter().map(push).fold(0.0, f64::max);
        tied.retain(|index| push(index) >= NEARLY * most);
    }
    let nearness = |index: &usize| {
        let place = scores.get(*index).map(|s| s.place).unwrap_or_default();
        (place.depth, -i64::from(place.position))
    };
    tied.into_iter().min_by_key(nearness)
}

/// The candidates that the rule's own measure cannot tell from the best.
pub fn tied(rule: Selection, scores: &[Score]) -> Vec<usize> {
    let merits: Vec<Option<f64>> = scores.iter().map(|score| score.merit(rule)).collect();
    let best = merits.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = match rule {
        Selection::PaperCosine => best,
        Selection::HeldoutAuroc => best - EQUAL,
    };
    let each = merits.iter().enumerate();
    each.filter(|(_, merit)| merit.is_some_and(|m| m >= least)).map(|(index, _)| index).collect()
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

/// How far above 0.5 the AUROC of so many positives and negatives is by chance in one of 20 cases: 1.645 of its standard
/// deviations where nothing separates them, √((n + m + 1)/(12nm)) (Mann and Whitney 1947).
// [], [] -> []
pub fn auroc_margin([n, m]: [f64; 2]) -> f64 {
    1.645 * ((n + m + 1.0) / (12.0 * n * m)).sqrt()
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
