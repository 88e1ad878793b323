//! A direction read while the model decodes: nearly free.
//!
//! The state of a token is there once the next one is chosen, so a probe judges each token one step late, and an answer's
//! last token not at all: no pass has read it.

use super::detect::{Action, Detection, Detector, Finding};
use crate::error::Result;
use crate::gate::Condition;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::monitor::{AnswerView, Senses};

/// Reads the class coordinate of the newest state on a direction.
#[derive(Debug, Clone)]
pub struct Probe {
    condition: Condition,
}

impl Probe {
    /// Hits where the condition holds. A condition that this model cannot show is refused.
    pub fn new(condition: Condition, spec: &ModelSpec) -> Result<Probe> {
        let (site, found, expected) = (condition.site(), condition.width(), spec.d_model);
        if !site.exists_in(spec.n_layers()) {
            let n_layers = spec.n_layers();
            return Err(trimtab_runtime::Error::NoSuchSite { site, n_layers }.into());
        }
        if found != expected {
            return Err(trimtab_runtime::Error::Width { site, found, expected }.into());
        }
        Ok(Probe { condition })
    }
}

impl Detector for Probe {
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
        let state = answer.sensed.and_then(|sensed| sensed.activations.get(&self.condition.site()));
        let Some(state) = state else {
            return Ok(Detection::Found(Finding::unknown(
                "no state was read behind an inserted token",
            )));
        };
        let coordinate = self.condition.coordinate(state);
        if !coordinate.is_finite() {
            return Ok(Detection::Found(Finding::unknown("the coordinate is not finite")));
        }
        let margin = self.condition.margin(coordinate);
        let action = if margin > 0.0 { Action::Rollback } else { Action::Continue };
        Ok(Detection::Found(Finding::new(action, coordinate, margin)))
    }

    // A state is judged by itself.
    fn rewind(&mut self, _tokens: usize) {}

    /// The newest token's own state comes with the next pass.
    fn lag(&self) -> usize {
        1
    }

    fn senses(&self) -> Senses {
        Senses { sites: vec![self.condition.site()], attention: Vec::new() }
    }
}
