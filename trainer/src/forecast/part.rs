//! The parts that problems are split into.

use std::fmt;

/// What a problem is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SplitPart {
    /// The weights are fitted on it.
    Fit,
    /// Early stopping, calibration, the price and the risk bound are.
    Calibrate,
    /// What is reported is measured on it.
    Test,
}

impl SplitPart {
    pub(super) const ALL: [SplitPart; 3] = [SplitPart::Fit, SplitPart::Calibrate, SplitPart::Test];
}

impl fmt::Display for SplitPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SplitPart::Fit => "fit",
            SplitPart::Calibrate => "calibrate",
            SplitPart::Test => "test",
        })
    }
}
