//! The better policy of one token: the old one with the chosen token's weight times `exp(r/β)`.
//!
//! What was not observed gets reward 0. So `π*(y) = p·ρ/Z` and `π*(v) = p(v)/Z` elsewhere, with `ρ = exp(r/β)` and
//! `Z = 1 + p·(ρ − 1)`, and everything follows from `p(y)` alone: `π* − p = c·(e_y − p)`, `c = p·(ρ − 1)/Z`. All of it is
//! computed in logarithms. It is a surrogate per token: the optimum of whole answers cannot be had, whose
//! probabilities are too small to be told from 0.

/// The better policy at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tilt {
    /// `c`, how far the policy goes towards the token, of the reward's sign.
    pub(super) pull: f64,
    /// KL(π*‖p) of the position, nats.
    pub(super) divergence: f64,
}

impl Tilt {
    /// Of a token with this log-probability, for `exponent = r/β`.
    pub(super) fn new(log_p: f64, exponent: f64) -> Tilt {
        // p·(ρ − 1), without loss for a small exponent.
        let rise = log_p.exp() * exponent.exp_m1();
        let log_z = rise.ln_1p();
        let target = (log_p + exponent - log_z).exp();
        Tilt { pull: rise / (1.0 + rise), divergence: (target * exponent - log_z).max(0.0) }
    }
}
