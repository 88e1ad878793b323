//! Several answers of which one is shown: what is told of each waits until it is known which.

use super::update::ChoiceUpdate;

/// What has been told of each answer, held back until one of them is picked.
pub(super) struct HeldAnswers {
    told: Vec<Vec<ChoiceUpdate>>,
}

impl HeldAnswers {
    pub(super) fn new(answers: usize) -> HeldAnswers {
        HeldAnswers { told: (0..answers).map(|_| Vec::new()).collect() }
    }

    /// Keeps what belongs to one answer; that the first has begun, and a failure, are told at once.
    pub(super) fn hold(&mut self, update: ChoiceUpdate) -> Option<ChoiceUpdate> {
        let choice = match &update {
            ChoiceUpdate::Begun { choice: 0 }
            | ChoiceUpdate::Closed { .. }
            | ChoiceUpdate::Failed(_) => return Some(update),
            ChoiceUpdate::Begun { .. } => return None,
            ChoiceUpdate::Text { choice, .. }
            | ChoiceUpdate::Retracted { choice, .. }
            | ChoiceUpdate::Ended { choice, .. } => *choice,
        };
        if let Some(told) = self.told.get_mut(choice) {
            told.push(update);
        }
        None
    }

    /// Everything of one answer, as if it had been the only one.
    pub(super) fn release(&mut self, picked: usize) -> Vec<ChoiceUpdate> {
        let told = self.told.get_mut(picked).map(std::mem::take).unwrap_or_default();
        told.into_iter().map(alone).collect()
    }
}

fn alone(update: ChoiceUpdate) -> ChoiceUpdate {
    let choice = 0;
    match update {
        ChoiceUpdate::Text { text, first, tokens, .. } => {
            ChoiceUpdate::Text { choice, text, first, tokens }
        }
        ChoiceUpdate::Retracted { bytes, tokens, cause, .. } => {
            ChoiceUpdate::Retracted { choice, bytes, tokens, cause }
        }
        ChoiceUpdate::Ended { reason, steered, .. } => {
            ChoiceUpdate::Ended { choice, reason, steered }
        }
        other @ (ChoiceUpdate::Begun { .. }
        | ChoiceUpdate::Closed { .. }
        | ChoiceUpdate::Failed(_)) => other,
    }
}
