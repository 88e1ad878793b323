//! The distribution of the number of steps, given the logits to continue.
//!
//! At step k it continues with probability `q_k = sigmoid(ℓ_k)`, so `P(n) = (1 − q_n) Π_{k<n} q_k` for n < K, and
//! `P(K) = Π q_k`: the stop at K is no decision. Everything is f64. Logarithms are `−ln(1 + e^{±ℓ})`, never those of a
//! probability, so that logits of any size give finite numbers. Entropy and divergence are sums over the remaining steps,
//! `H_k = h(q_k) + q_k H_{k+1}`, which gives their gradients in closed form (ours; the chain rule of entropy).

use crate::error::{TrainerError, width, within};

/// `1/(1 + e^{−x})`, without overflow.
pub fn sigmoid(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

/// One decision to stop or continue.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Decision {
    logit: f64,
    /// q_k, the probability to go on.
    go: f64,
    /// `1 − q_k`, without cancellation
    stop: f64,
    log_go: f64,
    log_stop: f64,
    /// `Π_{j<k} q_j`: the probability that it is taken
    reach: f64,
}

impl Decision {
    fn of(logit: f64, reach: f64) -> Decision {
        let small = (-logit.abs()).exp();
        let rest = small.ln_1p();
        Decision {
            logit,
            go: sigmoid(logit),
            stop: sigmoid(-logit),
            log_go: -((-logit).max(0.0) + rest),
            log_stop: -(logit.max(0.0) + rest),
            reach,
        }
    }

    fn entropy(&self) -> f64 {
        -(self.go * self.log_go + self.stop * self.log_stop)
    }

    fn kl(&self, reference: &Decision) -> f64 {
        self.go * (self.log_go - reference.log_go)
            + self.stop * (self.log_stop - reference.log_stop)
    }
}

/// P(n) for n = 0 … K, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct HaltingPolicy {
    decisions: Vec<Decision>,
    /// `[K + 1]`
    log_probabilities: Vec<f64>,
    /// The probability of all steps, `P(K)`.
    reach_last: f64,
}

impl HaltingPolicy {
    /// The policy of K logits.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NotFinite`] if a logit is not finite.
    // [K] -> [K + 1]
    pub fn new(logits: &[f64]) -> Result<HaltingPolicy, TrainerError> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(TrainerError::NotFinite { what: "controller logit" });
        }
        let mut decisions = Vec::with_capacity(logits.len());
        let mut log_probabilities = Vec::with_capacity(logits.len() + 1);
        let (mut reach, mut log_reach) = (1.0, 0.0);
        for logit in logits {
            let decision = Decision::of(*logit, reach);
            log_probabilities.push(log_reach + decision.log_stop);
            log_reach += decision.log_go;
            reach *= decision.go;
            decisions.push(decision);
        }
        log_probabilities.push(log_reach);
        Ok(HaltingPolicy { decisions, log_probabilities, reach_last: reach })
    }

    /// K, the most steps.
    pub fn steps(&self) -> usize {
        self.decisions.len()
    }

    /// q_k, the probability to continue at step k.
    // [] -> [K]
    pub fn continues(&self) -> Vec<f64> {
        self.decisions.iter().map(|decision| decision.go).collect()
    }

    /// P(n) for n = 0 … K.
    // [] -> [K + 1]
    pub fn probabilities(&self) -> Vec<f64> {
        self.masses().collect()
    }

    fn masses(&self) -> impl Iterator<Item = f64> {
        let stops = self.decisions.iter().map(|decision| decision.reach * decision.stop);
        stops.chain([self.reach_last])
    }

    /// `Σ n P(n)`
    pub fn mean_steps(&self) -> f64 {
        // The mean of a count is the sum of the probabilities to pass each step.
        self.decisions.iter().map(|decision| decision.reach * decision.go).sum()
    }

    /// ln P(n), nats.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K.
    pub fn log_probability(&self, n: usize) -> Result<f64, TrainerError> {
        let found = self.log_probabilities.get(n).copied();
        found.ok_or_else(|| TrainerError::NoStrength { found: n, steps: self.steps() })
    }

    /// n drawn from P by inversion of its distribution function; no n with P(n) = 0 is drawn.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NotUniform`] for a number outside [0, 1).
    pub fn sample(&self, uniform: f64) -> Result<usize, TrainerError> {
        if !(0.0..1.0).contains(&uniform) {
            return Err(TrainerError::NotUniform { value: uniform });
        }
        let (mut sum, mut last) = (0.0, 0);
        for (n, probability) in self.masses().enumerate() {
            if probability > 0.0 {
                sum += probability;
                last = n;
            }
            if uniform < sum {
                return Ok(n);
            }
        }
        // The sum is 1 but for rounding.
        Ok(last)
    }

    /// `∂ ln P(n)/∂ℓ_k`: `1 − q_k` before n, `−q_n` at n, 0 after.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K.
    // [] -> [K]
    pub fn log_probability_gradient(&self, n: usize) -> Result<Vec<f64>, TrainerError> {
        if n > self.steps() {
            return Err(TrainerError::NoStrength { found: n, steps: self.steps() });
        }
        let slope = |(k, decision): (usize, &Decision)| match k.cmp(&n) {
            std::cmp::Ordering::Less => decision.stop,
            std::cmp::Ordering::Equal => -decision.go,
            std::cmp::Ordering::Greater => 0.0,
        };
        Ok(self.decisions.iter().enumerate().map(slope).collect())
    }

    /// `Σ_n w_n ∂ ln P(n)/∂ℓ_k = (1 − q_k) Σ_{n>k} w_n − q_k w_k`: many gradients of ln P at the cost of one.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] unless there is a weight for each n.
    // weights [K + 1] -> [K]
    pub fn weighted_gradient(&self, weights: &[f64]) -> Result<Vec<f64>, TrainerError> {
        width("weights of the strengths", weights.len(), self.steps() + 1)?;
        let mut slopes = Vec::with_capacity(self.steps());
        let mut after = 0.0;
        // From the last n, at which no decision is taken.
        for (weight, decision) in weights
            .iter()
            .rev()
            .zip([None].into_iter().chain(self.decisions.iter().rev().map(Some)))
        {
            slopes.extend(decision.map(|own| own.stop * after - own.go * weight));
            after += weight;
        }
        slopes.reverse();
        Ok(slopes)
    }

    /// `−Σ P ln P`, nats.
    pub fn entropy(&self) -> f64 {
        self.fold(self.decisions.iter().map(Decision::entropy)).first().copied().unwrap_or(0.0)
    }

    /// `∂H/∂ℓ_k = reach_k q_k (1 − q_k)(H_{k+1} − ℓ_k)`, H_{k+1} the entropy of what follows.
    // [] -> [K]
    pub fn entropy_gradient(&self) -> Vec<f64> {
        let rest = self.fold(self.decisions.iter().map(Decision::entropy));
        let pairs = self.decisions.iter().zip(rest.iter().skip(1));
        pairs.map(|(own, rest)| own.reach * own.go * own.stop * (rest - own.logit)).collect()
    }

    /// KL(P‖P_ref), nats.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] unless both have the same K.
    pub fn kl(&self, reference: &HaltingPolicy) -> Result<f64, TrainerError> {
        Ok(self.divergences(reference)?.first().copied().unwrap_or(0.0))
    }

    /// `∂KL/∂ℓ_k = reach_k q_k (1 − q_k)(ℓ_k − ℓ_k^ref + KL_{k+1})`, KL_{k+1} the divergence of what follows.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] unless both have the same K.
    // [] -> [K]
    pub fn kl_gradient(&self, reference: &HaltingPolicy) -> Result<Vec<f64>, TrainerError> {
        let rest = self.divergences(reference)?;
        let own = self.decisions.iter().zip(&reference.decisions);
        let slope = |((own, other), rest): ((&Decision, &Decision), &f64)| {
            own.reach * own.go * own.stop * (own.logit - other.logit + rest)
        };
        Ok(own.zip(rest.iter().skip(1)).map(slope).collect())
    }

    /// KL of the decisions from k on, for k = 0 … K.
    // [K], [K] -> [K + 1]
    fn divergences(&self, reference: &HaltingPolicy) -> Result<Vec<f64>, TrainerError> {
        width("reference policy", reference.steps(), self.steps())?;
        let pairs = self.decisions.iter().zip(&reference.decisions);
        Ok(self.fold(pairs.map(|(own, other)| own.kl(other))))
    }

    /// `F_k = f_k + q_k F_{k+1}` with F_K = 0.
    // [K] -> [K + 1]
    fn fold(&self, own: impl DoubleEndedIterator<Item = f64> + ExactSizeIterator) -> Vec<f64> {
        let mut sums = Vec::with_capacity(self.steps() + 1);
        let mut sum = 0.0;
        sums.push(sum);
        for (decision, own) in self.decisions.iter().rev().zip(own.rev()) {
            sum = own + decision.go * sum;
            sums.push(sum);
        }
        sums.reverse();
        sums
    }
}

/// The number of steps that is served, and how near another one was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GreedySteps {
    /// n, the first step at which it stops.
    pub n: usize,
    /// The least `|q_k − τ|` of the decisions that were taken; none for K = 0.
    pub margin: Option<f64>,
}

/// Stops at the first k with `q_k ≤ τ`, or at K (arXiv 2509.24238). Later probabilities are not asked for.
///
/// # Errors
///
/// [`TrainerError::Range`] for a τ or a probability outside 0–1: a NaN is never a decision.
// [K] -> []
pub fn greedy(
    continues: impl IntoIterator<Item = f64>,
    tau: f64,
) -> Result<GreedySteps, TrainerError> {
    within("ponder.tau", tau, [0.0, 1.0])?;
    let mut steps = GreedySteps { n: 0, margin: None };
    for go in continues {
        within("probability to continue", go, [0.0, 1.0])?;
        let distance = (go - tau).abs();
        steps.margin = Some(steps.margin.map_or(distance, |margin| margin.min(distance)));
        if go <= tau {
            return Ok(steps);
        }
        steps.n += 1;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests;
