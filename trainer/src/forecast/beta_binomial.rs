//! The Beta-Binomial distribution: k right answers of N when their rate is Beta(α, β).
//!
//! `ln P = ln C(N,k) + ln B(k+α, N−k+β) − ln B(α, β)`. A Beta density at a rate of exactly 0 or 1, where most targets
//! are, is infinite or zero; that is why counts are modelled and not rates (ours; Re-FORC is reported to use a Beta
//! likelihood). For whole counts every ratio of Gamma functions is a finite product, and with
//! `f(x, n) = Σ_{i<n} ln((x+i)/(i+1))`
//!
//! ```text
//! ln P = f(α, k) + f(β, N−k) − f(α+β, N)
//! ```
//!
//! No large logarithms are subtracted, so nothing is lost at α + β = 1000 or at k = 0 and k = N. Costs O(N), and N is
//! 64 at most where samples are collected.

use crate::error::{TrainerError, within};

/// The most trials of one count; a bound on the time of a call.
const MOST_TRIALS: u32 = 65_536;
/// Range of α and β.
const RANGE: [f64; 2] = [1e-9, 1e9];

/// Right answers among all that were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// k, at most `of`.
    pub right: u32,
    /// N, at most 65,536; of 0 nothing is known, and its log-likelihood is 0.
    pub of: u32,
}

impl Count {
    /// `k/N`; `None` for N = 0.
    pub fn rate(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.right) / f64::from(self.of))
    }

    pub(crate) fn check(self) -> Result<(), TrainerError> {
        within("count.of", f64::from(self.of), [0.0, f64::from(MOST_TRIALS)])?;
        within("count.right", f64::from(self.right), [0.0, f64::from(self.of)]).map(|_| ())
    }
}

/// Parameters of a Beta distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BetaParams {
    /// Weight of right answers, above 0.
    pub alpha: f64,
    /// Weight of wrong answers, above 0.
    pub beta: f64,
}

impl BetaParams {
    /// The mean `α/(α+β)`: what is called m.
    pub fn mean(self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// The concentration `α+β`.
    pub fn sum(self) -> f64 {
        self.alpha + self.beta
    }

    /// The distribution with this mean and sum. A mean of 0 or 1 gives a parameter of 0, which no call accepts.
    pub fn of_mean(mean: f64, sum: f64) -> BetaParams {
        BetaParams { alpha: mean * sum, beta: (1.0 - mean) * sum }
    }

    /// The same mean with a sum of at most `most`.
    pub(crate) fn capped(self, most: f64) -> BetaParams {
        let sum = self.sum();
        if sum <= most {
            return self;
        }
        let BetaParams { alpha, beta } = self;
        BetaParams { alpha: alpha / sum * most, beta: beta / sum * most }
    }

    /// Checks that both lie between 10⁻⁹ and 10⁹.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] names the parameter.
    pub fn check(self) -> Result<(), TrainerError> {
        within("alpha", self.alpha, RANGE)?;
        within("beta", self.beta, RANGE).map(|_| ())
    }
}

/// Derivatives with respect to α and β.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BetaGradient {
    /// `∂/∂α`
    pub alpha: f64,
    /// `∂/∂β`
    pub beta: f64,
}

/// `ln P(k | N, α, β)`, nats.
///
/// # Errors
///
/// [`TrainerError::Range`] names the count or parameter.
pub fn log_likelihood(count: Count, params: BetaParams) -> Result<f64, TrainerError> {
    count.check()?;
    params.check()?;
    let (right, wrong) = (count.right, count.of - count.right);
    let BetaParams { alpha, beta } = params;
    Ok(rising(alpha, right) + rising(beta, wrong) - rising(alpha + beta, count.of))
}

/// The gradient of [`log_likelihood`]. Differences of digamma functions are sums of reciprocals here.
///
/// # Errors
///
/// [`TrainerError::Range`] names the count or parameter.
pub fn log_likelihood_gradient(
    count: Count,
    params: BetaParams,
) -> Result<BetaGradient, TrainerError> {
    count.check()?;
    params.check()?;
    let (right, wrong) = (count.right, count.of - count.right);
    let both = reciprocals(params.sum(), count.of);
    Ok(BetaGradient {
        alpha: reciprocals(params.alpha, right) - both,
        beta: reciprocals(params.beta, wrong) - both,
    })
}

/// The logarithm of a rising factorial over a factorial: `Σ_{i<n} ln((x+i)/(i+1))`.
fn rising(x: f64, n: u32) -> f64 {
    (0..n).map(f64::from).map(|i| ((x + i) / (i + 1.0)).ln()).sum()
}

/// The derivative of the above by x: `Σ_{i<n} 1/(x+i)`.
fn reciprocals(x: f64, n: u32) -> f64 {
    (0..n).map(|i| (x + f64::from(i)).recip()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::slope;
    use statrs::function::gamma::{digamma, ln_gamma};

    const PARAMS: [[f64; 2]; 8] = [
        [1.0, 1.0],
        [2.0, 5.0],
        [0.001, 0.001],
        [0.5, 30.0],
        [999.999, 0.001],
        [0.001, 999.999],
        [500.0, 500.0],
        [1e-6, 1e-6],
    ];

    fn params() -> impl Iterator<Item = BetaParams> {
        PARAMS.into_iter().map(|[alpha, beta]| BetaParams { alpha, beta })
    }

    fn value(right: u32, of: u32, params: BetaParams) -> f64 {
        log_likelihood(Count { right, of }, params).unwrap()
    }

    /// Sums over all orders of right and wrong answers, each drawn from Pólya's urn.
    fn by_urn(right: u32, of: u32, BetaParams { alpha, beta }: BetaParams) -> f64 {
        let mut total = 0.0;
        for order in (0u32..1 << of).filter(|order| order.count_ones() == right) {
            let (mut a, mut b, mut p) = (alpha, beta, 1.0);
            for draw in 0..of {
                let urn = if order >> draw & 1 == 1 { &mut a } else { &mut b };
                p *= *urn;
                *urn += 1.0;
                p /= alpha + beta + f64::from(draw);
            }
            total += p;
        }
        total
    }

    #[test]
    fn m02_it_is_the_direct_sum_over_all_orders() {
        for of in 0..=10 {
            for (params, right) in params().flat_map(|p| (0..=of).map(move |right| (p, right))) {
                let (found, expected) = (value(right, of, params).exp(), by_urn(right, of, params));
                let gap = (found - expected).abs();
                assert!(gap <= 1e-12 * expected.max(1e-3), "{found} for {expected}: {params:?}");
            }
        }
    }

    #[test]
    fn m02_it_sums_to_one_over_k() {
        for of in [1, 8, 64, 1000] {
            for params in params() {
                let sum: f64 = (0..=of).map(|right| value(right, of, params).exp()).sum();
                assert!((sum - 1.0).abs() <= 1e-10, "{sum} at {params:?}, N = {of}");
            }
        }
    }

    #[test]
    fn m02_the_gradient_is_that_of_finite_differences() {
        for (right, of) in [(0, 1), (1, 1), (0, 8), (3, 8), (8, 8), (20, 64)] {
            for params in params() {
                let found = log_likelihood_gradient(Count { right, of }, params).unwrap();
                let BetaParams { alpha, beta } = params;
                let BetaGradient { alpha: by_alpha, beta: by_beta } = found;
                // Relative steps, so derivatives by the logarithm of each parameter.
                let along = |da: f64, db: f64| {
                    let moved = |by: f64| BetaParams {
                        alpha: alpha * (1.0 + by * da),
                        beta: beta * (1.0 + by * db),
                    };
                    slope(1e-3, &|by| value(right, of, moved(by)))
                };
                let both = [(by_alpha * alpha, along(1.0, 0.0)), (by_beta * beta, along(0.0, 1.0))];
                for (found, expected) in both {
                    let gap = (found - expected).abs();
                    assert!(gap <= 1e-5 * expected.abs().max(1e-3), "{params:?}, {right} of {of}");
                }
            }
        }
    }

    #[test]
    fn m02_extremes_agree_with_the_gamma_functions() {
        let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
        for (right, of) in [(0, 64), (64, 64), (32, 64), (0, 1), (1, 1)] {
            for params in params() {
                let BetaParams { alpha, beta } = params;
                let (k, n) = (f64::from(right), f64::from(of));
                let choose = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
                let expected = choose + ln_beta(k + alpha, n - k + beta) - ln_beta(alpha, beta);
                let found = value(right, of, params);
                // The expected side loses digits, not the found one.
                assert!((found - expected).abs() <= 1e-8, "{found} for {expected}: {params:?}");
                let gradient = log_likelihood_gradient(Count { right, of }, params).unwrap();
                let both = digamma(alpha + beta + n) - digamma(alpha + beta);
                let expected = digamma(alpha + k) - digamma(alpha) - both;
                let gap = (gradient.alpha - expected).abs();
                assert!(gap <= 1e-6 * expected.abs().max(1.0), "{params:?}");
                assert!(found.is_finite() && gradient.beta.is_finite());
            }
        }
        // A sure forecast that is right loses nothing, one that is wrong loses much but not everything.
        let sure = BetaParams { alpha: 999.999, beta: 0.001 };
        assert!(value(64, 64, sure).abs() < 1e-4 && value(0, 64, sure) < -100.0);
    }

    #[test]
    fn what_is_no_count_or_no_distribution_is_refused() {
        let good = BetaParams { alpha: 1.0, beta: 1.0 };
        for count in [Count { right: 2, of: 1 }, Count { right: 0, of: 65_537 }] {
            assert!(log_likelihood(count, good).is_err());
            assert!(log_likelihood_gradient(count, good).is_err());
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let count = Count { right: 0, of: 1 };
            assert!(log_likelihood(count, BetaParams { alpha: bad, ..good }).is_err());
            assert!(log_likelihood_gradient(count, BetaParams { beta: bad, ..good }).is_err());
        }
        assert_eq!(value(0, 0, good), 0.0);
    }
}
