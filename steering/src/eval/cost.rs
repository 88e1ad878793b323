//! What plans cost on neutral text.

use super::choice::Cost;
use super::{Event, Progress};
use crate::error::{Error, Result};
use crate::neutral::{Drift, DriftOptions, drift};
use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::plan::Plan;

impl Cost {
    /// `None` of a plan that never acted, and of a single window: nothing was learnt about its harm.
    fn of(drift: &Drift) -> Option<Cost> {
        let Drift { ppl_ratio, ratio_low, ratio_high, kl, .. } = *drift;
        let cost = Cost { ppl_ratio, ppl_low: ratio_low, ppl_high: ratio_high, kl };
        (!drift.is_untouched() && drift.is_bounded()).then_some(cost)
    }
}

/// The cost of each plan on a text, the plain model's part computed once; `None` of a plan that never acts on it, or where
/// the text has a single window.
pub fn costs(
    model: &Model,
    text: &str,
    plans: &[Plan],
    progress: Progress,
) -> Result<Vec<Option<Cost>>> {
    let (mut before, mut flow) = (0, Flow::Continue);
    let drifts = drift(model, text, plans, &DriftOptions::default(), &mut |done, count| {
        if before == 0 {
            flow = progress(Event::Begun { what: "neutral text", items: count });
        }
        if flow == Flow::Continue {
            flow = progress(Event::Done { items: done - before });
        }
        before = done;
        flow
    })?;
    match flow {
        // What was measured of it stands for less text than was asked for.
        Flow::Cancel => Err(Error::Cancelled),
        Flow::Continue => Ok(drifts.iter().map(Cost::of).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_window_says_nothing_about_harm() {
        let drift = Drift {
            tokens: 511,
            windows: 1,
            ppl_plain: 20.0,
            ppl_ratio: 1.076,
            ratio_low: 0.0,
            ratio_high: f64::INFINITY,
            kl: 0.01,
            kl_p99: 0.1,
            kl_max: 0.2,
            top1_agreement: 0.9,
        };
        assert_eq!(Cost::of(&drift), None);
        let two = Drift { windows: 2, ratio_low: 1.0, ratio_high: 1.09, ..drift };
        assert_eq!(Cost::of(&two).map(|cost| cost.ppl_high), Some(1.09));
    }
}
