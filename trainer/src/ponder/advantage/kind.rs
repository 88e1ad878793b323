//! The advantage functions by name, with their checked parameters.

use super::{GroupRewards, canon, dr_grpo, grpo, grpo_ma, loo, rs_grpo};
use crate::error::{TrainerError, within};
use std::fmt;
use std::str::FromStr;

/// An advantage function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdvantageKind {
    /// [`grpo`]: scaled by the deviation of all rewards.
    Grpo,
    /// [`dr_grpo`]: the mean taken away.
    DrGrpo,
    /// [`loo`]: the mean of the others taken away.
    Loo,
    /// [`grpo_ma`]: scaled by the deviation of the means.
    GrpoMa,
    /// [`rs_grpo`]: an exponential utility.
    RsGrpo,
    /// [`canon`]: one half against the other.
    Canon,
}

impl AdvantageKind {
    /// All of them, in the specification's order.
    pub const ALL: [AdvantageKind; 6] = [
        AdvantageKind::Grpo,
        AdvantageKind::DrGrpo,
        AdvantageKind::Loo,
        AdvantageKind::GrpoMa,
        AdvantageKind::RsGrpo,
        AdvantageKind::Canon,
    ];

    /// The name users write.
    pub fn as_str(self) -> &'static str {
        match self {
            AdvantageKind::Grpo => "grpo",
            AdvantageKind::DrGrpo => "dr_grpo",
            AdvantageKind::Loo => "loo",
            AdvantageKind::GrpoMa => "grpo_ma",
            AdvantageKind::RsGrpo => "rs_grpo",
            AdvantageKind::Canon => "canon",
        }
    }
}

impl fmt::Display for AdvantageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AdvantageKind {
    type Err = TrainerError;

    fn from_str(text: &str) -> Result<Self, TrainerError> {
        let kind = AdvantageKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| TrainerError::NoName {
            field: "train.advantage",
            found: text.to_owned(),
            expected: "grpo, dr_grpo, loo, grpo_ma, rs_grpo, canon",
        })
    }
}

/// What CANON splits a group by. The specification names both; that `tokens` is the default is our choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CanonMetric {
    /// The mean token count of an action's answers.
    Tokens,
    /// The strength s_n of an action.
    Strength,
}

impl CanonMetric {
    /// The name users write.
    pub fn as_str(self) -> &'static str {
        match self {
            CanonMetric::Tokens => "tokens",
            CanonMetric::Strength => "strength",
        }
    }
}

impl fmt::Display for CanonMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CanonMetric {
    type Err = TrainerError;

    fn from_str(text: &str) -> Result<Self, TrainerError> {
        let all = [CanonMetric::Tokens, CanonMetric::Strength];
        all.into_iter().find(|metric| metric.as_str() == text).ok_or_else(|| TrainerError::NoName {
            field: "train.canon_metric",
            found: text.to_owned(),
            expected: "tokens, strength",
        })
    }
}

/// An advantage function and the parameters of those that have some.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdvantageParams {
    /// `train.advantage`
    pub kind: AdvantageKind,
    /// `train.rs_beta`: β of [`rs_grpo`], −10–10.
    pub rs_beta: f64,
    /// `train.canon_mu`: μ of [`canon`], 0–1.
    pub canon_mu: f64,
    /// What [`canon`] splits a group by.
    pub canon_metric: CanonMetric,
}

impl Default for AdvantageParams {
    fn default() -> Self {
        AdvantageParams {
            kind: AdvantageKind::Loo,
            rs_beta: 2.0,
            canon_mu: 1.0,
            canon_metric: CanonMetric::Tokens,
        }
    }
}

impl AdvantageParams {
    /// The checked form.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] with the key, its value and its range.
    pub fn check(self) -> Result<Advantage, TrainerError> {
        within("train.rs_beta", self.rs_beta, [-10.0, 10.0])?;
        within("train.canon_mu", self.canon_mu, [0.0, 1.0])?;
        Ok(Advantage { params: self })
    }
}

/// A checked advantage function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Advantage {
    params: AdvantageParams,
}

impl Advantage {
    /// The parameters, each in its range.
    pub fn params(&self) -> &AdvantageParams {
        &self.params
    }

    /// The advantage of each action of a group. Only [`canon`] looks at `metric`.
    ///
    /// # Errors
    ///
    /// Those of [`canon`] and [`rs_grpo`].
    // [K_g, M], metric [K_g] -> [K_g]
    pub fn of(&self, group: &GroupRewards, metric: &[f64]) -> Result<Vec<f64>, TrainerError> {
        match self.params.kind {
            AdvantageKind::Grpo => Ok(grpo(group)),
            AdvantageKind::DrGrpo => Ok(dr_grpo(group)),
            AdvantageKind::Loo => Ok(loo(group)),
            AdvantageKind::GrpoMa => Ok(grpo_ma(group)),
            AdvantageKind::RsGrpo => rs_grpo(group, self.params.rs_beta),
            AdvantageKind::Canon => canon(group, metric, self.params.canon_mu),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_being_written_and_read() {
        for kind in AdvantageKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for metric in [CanonMetric::Tokens, CanonMetric::Strength] {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        let unknown = "cvar".parse::<AdvantageKind>().unwrap_err().to_string();
        assert!(unknown.starts_with("train.advantage is \"cvar\""), "{unknown}");
        assert!("Tokens".parse::<CanonMetric>().is_err());
        // The list in the message is the list of names.
        for kind in AdvantageKind::ALL {
            assert!(unknown.contains(kind.as_str()), "{unknown}");
        }
    }

    #[test]
    fn parameters_outside_their_ranges_are_refused() {
        let usual = AdvantageParams::default;
        let bad = [
            AdvantageParams { rs_beta: 10.1, ..usual() },
            AdvantageParams { rs_beta: f64::NAN, ..usual() },
            AdvantageParams { canon_mu: -0.1, ..usual() },
            AdvantageParams { canon_mu: 1.1, ..usual() },
        ];
        for params in bad {
            assert!(matches!(params.check(), Err(TrainerError::Range { .. })), "{params:?}");
        }
        assert_eq!(usual().check().unwrap().params(), &usual());
    }
}
