//! Keys of a fit.

use crate::error::{TrainerError, within};

/// Keys of a fit, unchecked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitParams {
    /// `train.lr`: above 0, at most 1.
    pub learning_rate: f64,
    /// Decoupled decay of matrices, per step and unit of learning rate: 0 to 1. Biases do not decay; ours.
    pub decay: f64,
    /// Prefixes of a batch: 1 to 65,536. A batch is whole chains until it has so many prefixes, because the prefixes
    /// of a chain share its pooling; ours.
    pub batch: usize,
    /// `train.epochs`, at most: 1 to 1000.
    pub epochs: usize,
    /// Epochs without a lower loss on the calibrate part after which the fit ends: 1 to 1000.
    pub patience: usize,
}

impl Default for FitParams {
    fn default() -> FitParams {
        FitParams { learning_rate: 1e-3, decay: 0.01, batch: 256, epochs: 4, patience: 1 }
    }
}

impl FitParams {
    pub(super) fn check(&self) -> Result<(), TrainerError> {
        within("train.lr", self.learning_rate, [f64::MIN_POSITIVE, 1.0])?;
        within("train.decay", self.decay, [0.0, 1.0])?;
        within("train.batch", self.batch as f64, [1.0, 65_536.0])?;
        within("train.epochs", self.epochs as f64, [1.0, 1000.0])?;
        within("train.patience", self.patience as f64, [1.0, 1000.0]).map(|_| ())
    }
}
