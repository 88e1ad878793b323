//! What several vectors push at one site, as a function of one factor on those that may be changed.
//!
//! Constant additions that act on the same positions at the same times are one vector, so their push is the length of the
//! sum: opposite pushes cancel. What acts on positions or at times of its own, or turns the stream, is counted by its
//! length, because somewhere it may act alone or with all the others. The result is an upper bound. Without turns it is
//! convex in the factor; a turn is concave in it, so a smaller factor need not push less.

use super::algebra::dot;
use super::dose::{Dosed, Standing};
use super::timing::Timing;
use crate::file::card::{Operation, SiteCard};
use crate::ops::{Rescale, Unit};
use crate::scope::Scope;

/// Steps of the bisection: the interval is halved down to the smallest f32, which a factor may have to be.
const HALVINGS: usize = 150;

/// Length of one push as a function of the factor on its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reach {
    /// In proportion to it.
    Straight(f64),
    /// A turn by twice this angle in radians, of a stream of this length.
    Turn { half: f64, norm: f64 },
    /// An addition of a share of this length, after which the stream is as long as before.
    Kept { share: f64, norm: f64 },
}

impl Reach {
    pub(super) fn at(self, factor: f64) -> f64 {
        use std::f64::consts::FRAC_PI_2;
        match self {
            Reach::Straight(length) => factor * length,
            // Beyond half a turn the way back is shorter, and the largest change is a whole diameter.
            Reach::Turn { half, norm } => 2.0 * (factor * half).min(FRAC_PI_2).sin() * norm,
            // At worst the addition stands at a right angle to the result, and one as long as the stream may turn it
            // round.
            Reach::Kept { share, norm } => match factor * share {
                share if share < 1.0 => 2.0 * (0.5 * share.asin()).sin() * norm,
                _ => 2.0 * norm,
            },
        }
    }

    /// The largest factor up to 1 at which it is no longer than `most`: it only grows.
    pub(super) fn fits(self, most: f64) -> f64 {
        crossing(1.0, |factor| self.at(factor) <= most)
    }
}

impl Dosed<'_> {
    /// Whether the stream's length says something of its dose before there is a token.
    pub(super) fn is_held(&self) -> bool {
        match self.operation {
            Operation::Add | Operation::Rotate { .. } | Operation::Clamp { .. } => true,
            Operation::Project => false,
        }
    }

    /// Whether its whole dose is known before there is a token.
    pub(super) fn is_predicted(&self) -> bool {
        match self.operation {
            Operation::Add | Operation::Rotate { .. } => true,
            Operation::Project | Operation::Clamp { .. } => false,
        }
    }

    /// What it adds at scale 1 along its row, the same at every token; `None` if that depends on the token.
    pub(super) fn constant(&self, entry: &SiteCard) -> Option<f64> {
        let constant = self.operation == Operation::Add
            && self.unit == Unit::ClassGaps
            && self.rescale == Rescale::None;
        entry.magnitude.map(f64::from).filter(|_| constant)
    }

    /// Length of its push at a site of this stream length; `None` if that is not known beforehand.
    pub(super) fn reach(&self, entry: &SiteCard, norm: f64) -> Option<Reach> {
        let scale = f64::from(self.scale).abs();
        let added = match (self.operation, self.unit) {
            (Operation::Add, Unit::ClassGaps) => scale * f64::from(entry.magnitude?),
            (Operation::Add, Unit::StreamNorm) => scale * norm,
            (Operation::Rotate { degrees }, _) => {
                let half = (scale * f64::from(degrees).abs() / 2.0).to_radians();
                return Some(Reach::Turn { half, norm });
            }
            (Operation::Clamp { min, max }, _) => {
                scale * forced(entry, (min, max), norm).filter(|push| *push > 0.0)?
            }
            (Operation::Project, _) => return None,
        };
        Some(match self.rescale {
            Rescale::None => Reach::Straight(added),
            Rescale::KeepNorm => Reach::Kept { share: added / norm, norm },
        })
    }
}

/// How far a clamp moves tokens at scale 1 wherever they are, in a stream of this length. A range beyond the class means
/// moves every token between them by at least its distance from the nearer one. A card may put those means anywhere; but
/// no token of this length lies farther along the row than `norm` either way, so a range out there is reached by a push.
fn forced(entry: &SiteCard, range: (Option<f32>, Option<f32>), norm: f64) -> Option<f64> {
    let magnitude = f64::from(entry.magnitude?);
    let anchor = f64::from(entry.anchor.unwrap_or(0.0));
    let (min, max) = (range.0.map(f64::from), range.1.map(f64::from));
    let above = min.map(|min| (magnitude * (min - 1.0)).max(anchor + magnitude * min - norm));
    let below = max.map(|max| (-magnitude * max).max(-(anchor + magnitude * max) - norm));
    Some(above.into_iter().chain(below).fold(0.0, f64::max))
}

/// A factor up to `from` at which something holds that holds at 0: `from`, or else where it ceases to hold.
fn crossing(from: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if holds(from) {
        return from;
    }
    let (mut low, mut high) = (0.0, from);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// The pushes of one phase: of those that stay and of those that may be changed.
#[derive(Debug, Clone, Default)]
struct Phase {
    kept: Vec<f64>,
    free: Vec<f64>,
}

impl Phase {
    // [width] onto [width]
    fn add(&mut self, standing: Standing, coefficient: f64, row: &[f32]) {
        let sum = match standing {
            Standing::Protected => &mut self.kept,
            Standing::Free => &mut self.free,
        };
        sum.resize(sum.len().max(row.len()), 0.0);
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += coefficient * f64::from(*v));
    }

    /// Squared length at factor t, 0 of what is not pushed, as `a + 2 b t + c t²`.
    fn square(&self) -> [f64; 3] {
        [dot(&self.kept, &self.kept), dot(&self.kept, &self.free), dot(&self.free, &self.free)]
    }
}

/// Everything that acts at one site.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    /// Of what always acts together: on prompts, and on generated tokens.
    together: Vec<(Timing, [Phase; 2])>,
    /// Lengths that are summed.
    kept: f64,
    free: Vec<Reach>,
}

impl Load {
    /// A constant addition of `coefficient · row`.
    pub(super) fn push(&mut self, vector: &Dosed<'_>, coefficient: f64, row: &[f32]) {
        let (scope, standing) = (&vector.scope, vector.standing);
        let alone = Reach::Straight(coefficient.abs());
        if !vector.timing.is_known() {
            return self.turn(standing, alone);
        }
        let chosen = if *scope == Scope::all() {
            [true, true]
        } else if *scope == Scope::prompt() {
            [true, false]
        } else if *scope == Scope::generated() {
            [false, true]
        } else {
            return self.turn(standing, alone);
        };
        let phases = self.phases(&vector.timing);
        for (phase, _) in phases.iter_mut().zip(chosen).filter(|(_, chosen)| *chosen) {
            phase.add(standing, coefficient, row);
        }
    }

    fn phases(&mut self, timing: &Timing) -> &mut [Phase] {
        let known = self.together.iter().position(|(of, _)| of == timing);
        let place = known.unwrap_or_else(|| {
            self.together.push((timing.clone(), Default::default()));
            self.together.len() - 1
        });
        match self.together.get_mut(place) {
            Some((_, phases)) => phases,
            None => &mut [],
        }
    }

    /// Something of which only the largest length is known.
    pub(super) fn turn(&mut self, standing: Standing, reach: Reach) {
        match standing {
            Standing::Protected => self.kept += reach.at(1.0),
            Standing::Free => self.free.push(reach),
        }
    }

    /// The push, made ready to be asked at several factors.
    pub(super) fn curve(&self) -> Curve<'_> {
        let squares = |(_, phases): &(_, [Phase; 2])| phases.each_ref().map(Phase::square);
        Curve {
            squares: self.together.iter().map(squares).collect(),
            kept: self.kept,
            free: &self.free,
        }
    }
}

/// Length of a site's push at a factor of the unprotected coefficients.
#[derive(Debug, Clone)]
pub(super) struct Curve<'a> {
    squares: Vec<[[f64; 3]; 2]>,
    kept: f64,
    free: &'a [Reach],
}

impl Curve<'_> {
    pub(super) fn at(&self, factor: f64) -> f64 {
        let length = |[a, b, c]: [f64; 3]| (a + factor * (2.0 * b + factor * c)).max(0.0).sqrt();
        let mut phases = [0.0; 2];
        for squares in &self.squares {
            phases.iter_mut().zip(squares).for_each(|(sum, square)| *sum += length(*square));
        }
        let free: f64 = self.free.iter().map(|reach| reach.at(factor)).sum();
        phases.into_iter().fold(0.0, f64::max) + self.kept + free
    }

    /// A factor up to `from` that keeps the push at or below `most`, which it must be at factor 0: `from` if that does,
    /// else one where the push is `most`.
    pub(super) fn fits(&self, from: f64, most: f64) -> f64 {
        crossing(from, |factor| self.at(factor) <= most)
    }
}
