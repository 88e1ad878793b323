//! The step of AdamW on one weight, which every trainer here makes.
//!
//! Decoupled weight decay is Loshchilov and Hutter's (arXiv 1711.05101), moments and their correction Kingma and Ba's
//! (arXiv 1412.6980): `w ← w − η·λ·w − η·m̂/(√v̂ + ε)`.

/// What is the same for all weights of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamStep {
    /// η, the learning rate.
    pub(crate) lr: f64,
    /// Decay of the gradients' mean and of their squares' mean.
    pub(crate) betas: [f64; 2],
    /// ε, which is added to the root.
    pub(crate) epsilon: f64,
    /// Moments start at 0 and are too small by these factors.
    corrections: [f64; 2],
}

impl AdamStep {
    /// The step of this number, the first being 1.
    pub(crate) fn number(steps: i32, lr: f64, betas: [f64; 2], epsilon: f64) -> AdamStep {
        AdamStep { lr, betas, epsilon, corrections: betas.map(|beta| 1.0 - beta.powi(steps)) }
    }

    /// The weight after the step; both moments take in the slope. λ is `decay`.
    pub(crate) fn moved(
        &self,
        weight: f64,
        decay: f64,
        slope: f64,
        (mean, square): (&mut f64, &mut f64),
    ) -> f64 {
        let [keep, keep_square] = self.betas;
        let [of_mean, of_square] = self.corrections;
        *mean = keep * *mean + (1.0 - keep) * slope;
        *square = keep_square * *square + (1.0 - keep_square) * slope * slope;
        let step = (*mean / of_mean) / ((*square / of_square).sqrt() + self.epsilon);
        weight - self.lr * decay * weight - self.lr * step
    }
}
