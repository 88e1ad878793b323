//! The loss of one group with its gradient: a clipped ratio, entropy, and distance from a reference.
//!
//! Given the actions, token probabilities do not depend on the controller, so they do not enter.

use crate::error::{TrainerError, within};
use crate::ponder::policy::HaltingPolicy;

/// A ratio counts up to this far from 1 (PPO's clip, arXiv 1707.06347; the number is GRPO's).
pub const RATIO_CLIP: f64 = 0.2;

/// One action with what it was worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActionSample {
    /// The strength that was drawn.
    pub n: usize,
    /// ln P(n) under the policy that drew it, nats.
    pub old_log_probability: f64,
    /// A, its advantage.
    pub advantage: f64,
}

/// What is added to the policy's own term.
#[derive(Debug, Clone, Copy, Default)]
pub struct LossTerms<'a> {
    /// η, the weight of the entropy.
    pub entropy: f64,
    /// β_KL and P_ref; none where the distance costs nothing.
    pub reference: Option<(f64, &'a HaltingPolicy)>,
}

/// A loss and its gradient with respect to the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupLoss {
    /// `−(1/K_g) Σ min(ρA, clip(ρ)A) − η·entropy(P) + β_KL·KL(P‖P_ref)`
    pub loss: f64,
    /// `[K]`
    pub slopes: Vec<f64>,
    /// Actions whose ratio was clipped, so that they have no gradient.
    pub clipped: usize,
}

/// The loss of one group under `policy`, one decision per action. `every_token` weighs its decisions by `1/T_ref` instead of
/// `1/K_g`, and is not served here.
///
/// # Errors
///
/// [`TrainerError::TooFew`] without actions, [`TrainerError::NoStrength`] for an action above K, [`TrainerError::Width`] for a
/// reference of another K, [`TrainerError::Range`] for a negative weight, [`TrainerError::NotFinite`] if the loss or a slope is
/// not finite.
// samples [K_g] -> [], [K]
pub fn group_loss(
    policy: &HaltingPolicy,
    samples: &[ActionSample],
    terms: LossTerms<'_>,
) -> Result<GroupLoss, TrainerError> {
    if samples.is_empty() {
        return Err(TrainerError::TooFew { what: "actions of a group", found: 0, least: 1 });
    }
    within("entropy weight", terms.entropy, [0.0, f64::MAX])?;
    let (mut loss, mut clipped) = (0.0, 0);
    let mut weights = vec![0.0; policy.steps() + 1];
    for sample in samples {
        let term = term(policy, sample)?;
        loss -= term.value / samples.len() as f64;
        clipped += usize::from(term.slope.is_none());
        if let (Some(weight), Some(slope)) = (weights.get_mut(sample.n), term.slope) {
            *weight -= slope / samples.len() as f64;
        }
    }
    let mut found = GroupLoss { loss, slopes: policy.weighted_gradient(&weights)?, clipped };
    found.loss -= terms.entropy * policy.entropy();
    add(&mut found.slopes, &policy.entropy_gradient(), -terms.entropy);
    if let Some((weight, reference)) = terms.reference {
        within("train.kl", weight, [0.0, f64::MAX])?;
        found.loss += weight * policy.kl(reference)?;
        add(&mut found.slopes, &policy.kl_gradient(reference)?, weight);
    }
    if found.loss.is_finite() && found.slopes.iter().all(|slope| slope.is_finite()) {
        return Ok(found);
    }
    Err(TrainerError::NotFinite { what: "loss" })
}

/// `min(ρA, clip(ρ)A)` of one action.
struct ClippedTerm {
    value: f64,
    /// With respect to ln P(n); none where the clipped ratio is the smaller one.
    slope: Option<f64>,
}

fn term(policy: &HaltingPolicy, sample: &ActionSample) -> Result<ClippedTerm, TrainerError> {
    let ActionSample { n, old_log_probability, advantage } = *sample;
    let ratio = (policy.log_probability(n)? - old_log_probability).exp();
    let whole = ratio * advantage;
    let clipped = ratio.clamp(1.0 - RATIO_CLIP, 1.0 + RATIO_CLIP) * advantage;
    if clipped < whole {
        return Ok(ClippedTerm { value: clipped, slope: None });
    }
    Ok(ClippedTerm { value: whole, slope: Some(whole) })
}

// [K], [K] -> [K]
fn add(sums: &mut [f64], values: &[f64], weight: f64) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps, each with the probability ½ to continue; what the policy that drew gave n = 1 is ¼ over the ratio.
    fn found(ratio: f64, advantage: f64) -> GroupLoss {
        let policy = HaltingPolicy::new(&[0.0, 0.0]).unwrap();
        let old_log_probability = 0.25f64.ln() - f64::ln(ratio);
        let sample = ActionSample { n: 1, old_log_probability, advantage };
        group_loss(&policy, &[sample], LossTerms::default()).unwrap()
    }

    #[test]
    fn a_ratio_counts_up_to_its_clip() {
        for (ratio, advantage, counted) in
            [(1.0, 2.0, 1.0), (1.5, 2.0, 1.2), (0.5, 2.0, 0.5), (1.5, -2.0, 1.5), (0.5, -2.0, 0.8)]
        {
            let found = found(ratio, advantage);
            assert!((found.loss + counted * advantage).abs() < 1e-12, "{ratio} {advantage}");
            // The slope of ln P(1) is ½, −½.
            let slope = if counted == ratio { -ratio * advantage / 2.0 } else { 0.0 };
            assert!((found.slopes[0] - slope).abs() < 1e-12, "{ratio} {advantage} {found:?}");
            assert!((found.slopes[1] + slope).abs() < 1e-12);
            assert_eq!(found.clipped, usize::from(counted != ratio));
        }
    }

    #[test]
    fn entropy_lowers_the_loss_and_distance_raises_it() {
        let policy = HaltingPolicy::new(&[0.7, -0.4]).unwrap();
        let reference = HaltingPolicy::new(&[0.0, 0.0]).unwrap();
        let sample = ActionSample { n: 0, old_log_probability: 0.0, advantage: 0.0 };
        let terms = LossTerms { entropy: 0.5, reference: Some((2.0, &reference)) };
        let found = group_loss(&policy, &[sample], terms).unwrap();
        let expected = -0.5 * policy.entropy() + 2.0 * policy.kl(&reference).unwrap();
        assert!((found.loss - expected).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_loss_is_refused() {
        let policy = HaltingPolicy::new(&[0.0, 0.0]).unwrap();
        let loss = |sample, terms| group_loss(&policy, &[sample], terms);
        let usual = ActionSample { n: 0, old_log_probability: -0.7, advantage: 1.0 };
        assert!(group_loss(&policy, &[], LossTerms::default()).is_err());
        let high = loss(ActionSample { n: 3, ..usual }, LossTerms::default());
        assert!(matches!(high, Err(TrainerError::NoStrength { .. })));
        let infinite = ActionSample { advantage: f64::INFINITY, ..usual };
        let found = loss(infinite, LossTerms::default());
        assert_eq!(found, Err(TrainerError::NotFinite { what: "loss" }));
        let negative = LossTerms { entropy: -0.1, reference: None };
        assert!(matches!(loss(usual, negative), Err(TrainerError::Range { .. })));
    }
}
