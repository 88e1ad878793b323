//! The ladder of strengths: how far n steps along the direction go.
//!
//! No block runs between two steps at one site, so n steps equal one addition of `s_n·ĥ` with `s_n = Σ_{k<n} α_k`, and the
//! controller chooses among K + 1 strengths. The decay of α_k is reported (arXiv 2509.24238); that it is the exponential
//! `α_k = α₀ m_s γ^k` in units of the site's scale, and every number, are ours.

use crate::error::{TrainerError, positive, within};
use std::fmt;
use std::str::FromStr;

/// The largest sum of doses, as for every intervention here.
pub const LARGEST_DOSE: f64 = 0.5;
/// The first number of weights that is refused; the published controller has fewer than a million.
pub const WEIGHT_LIMIT: usize = 1_000_000;
/// Room for rounding in a sum of at most 16 doses.
const ROUNDING: f64 = 1e-12;

/// When the controller decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PonderCadence {
    /// Once, at the last prompt position; the strength holds for it and for every generated one. Ours.
    PromptHold,
    /// Once, and only for the last prompt position.
    PromptOnce,
    /// At the last prompt position and at every generated token, as reported.
    EveryToken,
}

impl PonderCadence {
    /// All of them, in the specification's order.
    pub const ALL: [PonderCadence; 3] =
        [PonderCadence::PromptHold, PonderCadence::PromptOnce, PonderCadence::EveryToken];

    /// The name users write.
    pub fn as_str(self) -> &'static str {
        match self {
            PonderCadence::PromptHold => "prompt_hold",
            PonderCadence::PromptOnce => "prompt_once",
            PonderCadence::EveryToken => "every_token",
        }
    }
}

impl fmt::Display for PonderCadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PonderCadence {
    type Err = TrainerError;

    fn from_str(text: &str) -> Result<Self, TrainerError> {
        let cadence = PonderCadence::ALL.into_iter().find(|cadence| cadence.as_str() == text);
        cadence.ok_or_else(|| TrainerError::NoName {
            field: "ponder.cadence",
            found: text.to_owned(),
            expected: "prompt_hold, prompt_once, every_token",
        })
    }
}

/// What happens to a state's norm when a step is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormRule {
    /// It becomes what the sum makes it.
    Free,
    /// The sum is scaled back to the old norm, as in Fractional Reasoning (arXiv 2506.15882).
    Keep,
}

/// The keys `ponder.*` as users write them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PonderParams {
    /// l: the block whose input `resid_post.{l-1}` is read and steered, 1 to the number of blocks − 1.
    pub layer: usize,
    /// K: the most steps, 0–16.
    pub steps: usize,
    /// α₀: the first step's dose, 0–0.5.
    pub alpha0: f64,
    /// γ: each step's dose over that of the step before, 0–1.
    pub gamma: f64,
    /// τ: it stops where the probability to continue is not above this, 0–1.
    pub tau: f64,
    /// When the controller decides.
    pub cadence: PonderCadence,
    /// m: hidden units of the controller, 8–1024.
    pub hidden: usize,
    /// What happens to a state's norm.
    pub norm: NormRule,
}

impl Default for PonderParams {
    fn default() -> Self {
        PonderParams {
            layer: 12,
            steps: 4,
            alpha0: 0.1,
            gamma: 0.7,
            tau: 0.5,
            cadence: PonderCadence::PromptHold,
            hidden: 128,
            norm: NormRule::Free,
        }
    }
}

/// What the keys are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backbone {
    /// L: the model's blocks.
    pub blocks: usize,
    /// d: the width of its residual stream.
    pub width: usize,
}

impl PonderParams {
    /// The checked form, for one model.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] with the key, its value and its range; the sum of doses has the key `ponder.dose`.
    /// [`TrainerError::TooLarge`] for a controller of [`WEIGHT_LIMIT`] weights or more.
    pub fn check(self, backbone: Backbone) -> Result<Ponder, TrainerError> {
        let last = backbone.blocks.saturating_sub(1);
        let counts = [
            ("ponder.layer", self.layer, [1, last]),
            ("ponder.steps", self.steps, [0, 16]),
            ("ponder.hidden", self.hidden, [8, 1024]),
        ];
        for (key, value, range) in counts {
            within(key, value as f64, range.map(|end| end as f64))?;
        }
        within("ponder.alpha0", self.alpha0, [0.0, 0.5])?;
        within("ponder.gamma", self.gamma, [0.0, 1.0])?;
        within("ponder.tau", self.tau, [0.0, 1.0])?;
        let dose = self.doses().last().copied().unwrap_or(0.0);
        if dose > LARGEST_DOSE + ROUNDING {
            within("ponder.dose", dose, [0.0, LARGEST_DOSE])?;
        }
        let found = controller_weights(backbone.width, self.hidden);
        if found >= WEIGHT_LIMIT {
            return Err(TrainerError::TooLarge { found, limit: WEIGHT_LIMIT });
        }
        Ok(Ponder { params: self, backbone })
    }

    /// `s_n/m_s` for n = 0 … K.
    // [] -> [K + 1]
    fn doses(&self) -> Vec<f64> {
        let mut doses = Vec::with_capacity(self.steps + 1);
        let (mut sum, mut step) = (0.0, self.alpha0);
        doses.push(sum);
        for _ in 0..self.steps {
            sum += step;
            step *= self.gamma;
            doses.push(sum);
        }
        doses
    }
}

/// `m(d + 3) + 1`: weights of a controller with m hidden units over states of width d.
pub fn controller_weights(width: usize, hidden: usize) -> usize {
    hidden.saturating_mul(width.saturating_add(3)).saturating_add(1)
}

/// Checked keys of a controller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ponder {
    params: PonderParams,
    backbone: Backbone,
}

impl Ponder {
    /// The keys, each in its range.
    pub fn params(&self) -> &PonderParams {
        &self.params
    }

    /// The model they were checked against.
    pub fn backbone(&self) -> Backbone {
        self.backbone
    }

    /// The strengths at a site of scale m_s.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NotPositive`] unless the scale is a finite number above 0.
    pub fn ladder(&self, site_scale: f64) -> Result<Ladder, TrainerError> {
        positive("site scale", site_scale)?;
        Ok(Ladder { doses: self.params.doses(), site_scale })
    }
}

/// The strengths s_0 … s_K of one site.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    /// `[K + 1]`, in units of the site's scale
    doses: Vec<f64>,
    site_scale: f64,
}

impl Ladder {
    /// K, the most steps.
    pub fn steps(&self) -> usize {
        self.doses.len().saturating_sub(1)
    }

    /// m_s, the frozen scale of the site.
    pub fn site_scale(&self) -> f64 {
        self.site_scale
    }

    /// `s_n/m_s` for n = 0 … K, `[K + 1]`.
    pub fn doses(&self) -> &[f64] {
        &self.doses
    }

    /// α_k for k = 0 … K − 1: what each step adds.
    // [] -> [K]
    pub fn alphas(&self) -> Vec<f64> {
        let pairs = self.doses.iter().zip(self.doses.iter().skip(1));
        pairs.map(|(before, after)| (after - before) * self.site_scale).collect()
    }

    /// s_n for n = 0 … K: what n steps add together.
    // [] -> [K + 1]
    pub fn strengths(&self) -> Vec<f64> {
        self.doses.iter().map(|dose| dose * self.site_scale).collect()
    }

    /// s_n, what n steps add together.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K.
    pub fn strength(&self, n: usize) -> Result<f64, TrainerError> {
        let dose = self.doses.get(n).map(|dose| dose * self.site_scale);
        dose.ok_or_else(|| TrainerError::NoStrength { found: n, steps: self.steps() })
    }

    /// `s_n/s_K` for n = 0 … K; zeros where no step adds anything.
    // [] -> [K + 1]
    pub fn shares(&self) -> Vec<f64> {
        let most = self.doses.last().copied().unwrap_or(0.0);
        self.doses.iter().map(|dose| if most > 0.0 { dose / most } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::generator;

    const SMALL: Backbone = Backbone { blocks: 30, width: 576 };

    #[test]
    fn the_default_ladder_has_the_doses_of_the_specification() {
        let ladder = PonderParams::default().check(SMALL).unwrap().ladder(3.0).unwrap();
        for (found, expected) in ladder.doses().iter().zip([0.0, 0.100, 0.170, 0.219, 0.253]) {
            assert!((found - expected).abs() < 5e-4, "{found} for {expected}");
        }
        for (k, alpha) in ladder.alphas().into_iter().enumerate() {
            assert!((alpha - 0.1 * 3.0 * 0.7f64.powi(k as i32)).abs() < 1e-12);
        }
        assert_eq!((ladder.strength(0), ladder.steps()), (Ok(0.0), 4));
        assert_eq!(ladder.strength(4).ok(), ladder.strengths().last().copied());
        assert_eq!(ladder.strength(5), Err(TrainerError::NoStrength { found: 5, steps: 4 }));
        assert_eq!(ladder.shares()[4], 1.0);
    }

    #[test]
    fn m02_steps_equal_one_addition_of_their_sum() {
        let ladder = PonderParams::default().check(SMALL).unwrap().ladder(2.5).unwrap();
        let mut uniform = generator(2);
        let state: Vec<f32> = (0..576).map(|_| 4.0 * uniform() as f32 - 2.0).collect();
        let direction: Vec<f32> = (0..576).map(|_| (uniform() as f32 - 0.5) / 7.0).collect();
        let mut stepped = state.clone();
        for (n, alpha) in ladder.alphas().into_iter().enumerate() {
            stepped.iter_mut().zip(&direction).for_each(|(z, h)| *z += alpha as f32 * h);
            let strength = ladder.strength(n + 1).unwrap() as f32;
            for ((z, h), stepped) in state.iter().zip(&direction).zip(&stepped) {
                assert!((z + strength * h - stepped).abs() <= 1e-6);
            }
        }
    }

    #[test]
    fn m01_without_steps_nothing_is_added() {
        for params in [
            PonderParams { steps: 0, ..PonderParams::default() },
            PonderParams { alpha0: 0.0, ..PonderParams::default() },
        ] {
            let ladder = params.check(SMALL).unwrap().ladder(1.0).unwrap();
            assert!(ladder.strengths().iter().chain(&ladder.shares()).all(|s| *s == 0.0));
        }
    }

    #[test]
    fn values_outside_their_ranges_are_refused() {
        let usual = PonderParams::default;
        let bad = [
            ("ponder.layer", PonderParams { layer: 0, ..usual() }),
            ("ponder.layer", PonderParams { layer: 30, ..usual() }),
            ("ponder.steps", PonderParams { steps: 17, alpha0: 0.0, ..usual() }),
            ("ponder.hidden", PonderParams { hidden: 7, ..usual() }),
            ("ponder.hidden", PonderParams { hidden: 1025, ..usual() }),
            ("ponder.alpha0", PonderParams { alpha0: 0.51, ..usual() }),
            ("ponder.alpha0", PonderParams { alpha0: f64::NAN, ..usual() }),
            ("ponder.gamma", PonderParams { gamma: 1.1, ..usual() }),
            ("ponder.tau", PonderParams { tau: -0.1, ..usual() }),
            ("ponder.dose", PonderParams { alpha0: 0.2, ..usual() }),
        ];
        for (expected, params) in bad {
            let Err(TrainerError::Range { field, .. }) = params.check(SMALL) else {
                panic!("{params:?}")
            };
            assert_eq!(field, expected);
        }
        let whole = PonderParams { steps: 10, alpha0: 0.05, gamma: 1.0, ..usual() };
        assert!(whole.check(SMALL).is_ok());
        assert!(usual().check(SMALL).unwrap().ladder(0.0).is_err());
    }

    #[test]
    fn controllers_stay_below_a_million_weights() {
        assert_eq!(controller_weights(576, 128), 74_113);
        let params = PonderParams { hidden: 1024, ..PonderParams::default() };
        // 1024 · (d + 3) + 1 passes a million between d = 973 and d = 974.
        assert!(params.check(Backbone { blocks: 30, width: 973 }).is_ok());
        let found = params.check(Backbone { blocks: 30, width: 974 });
        assert!(matches!(found, Err(TrainerError::TooLarge { .. })));
        assert!(params.check(Backbone { blocks: 30, width: usize::MAX }).is_err());
    }

    #[test]
    fn names_survive_being_written_and_read() {
        for cadence in PonderCadence::ALL {
            assert_eq!(cadence.to_string().parse(), Ok(cadence));
        }
        assert!("hold".parse::<PonderCadence>().is_err());
    }
}
