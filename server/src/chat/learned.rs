//! What is kept of answers that were made with an adapter, so that they can be judged.

use super::request::{Prompted, Taught};
use crate::adapt::Adapted;
use crate::error::ApiError;
use crate::wire::receipt::{AdapterReceipt, TokenShift};
use crate::wire::steering::Level;
use std::time::Instant;
use trimtab_adapters::host::{AnswerRecord, AnswerRef, Recording, RecordingHandle, TokenEffect};
use trimtab_adapters::store::now_ms;
use trimtab_runtime::generate::Answer;
use trimtab_runtime::text::Control;

/// Tokens that a full receipt lists as changed most.
const MOST_SHIFTS: usize = 8;

/// The answers of one request, as learning sees them.
pub(super) struct Learned {
    pub(super) adapted: Adapted,
    response: String,
    recordings: Vec<Option<RecordingHandle>>,
    /// When each answer got its place in the engine.
    begun: Vec<Option<Instant>>,
    /// What is kept of those that have ended and that are not handed on yet.
    records: Vec<Option<AnswerRecord>>,
}

/// An answer that has ended.
pub(super) struct EndedAnswer<'a> {
    pub(super) choice: usize,
    pub(super) answer: &'a Answer,
    pub(super) level: Level,
}

impl Learned {
    pub(super) fn new(
        adapted: Adapted,
        response: &str,
        recordings: Vec<Option<RecordingHandle>>,
    ) -> Learned {
        let (begun, records) = (vec![None; recordings.len()], vec![None; recordings.len()]);
        Learned { adapted, response: response.to_owned(), recordings, begun, records }
    }

    pub(super) fn admitted(&mut self, choice: usize, at: Instant) {
        if let Some(begun) = self.begun.get_mut(choice) {
            *begun = Some(at);
        }
    }

    /// Takes an answer in, and what its receipt says of the adapter.
    pub(super) fn ended(
        &mut self,
        prompt: &[u32],
        taught: &Taught,
        ended: &EndedAnswer<'_>,
    ) -> AdapterReceipt {
        let EndedAnswer { choice, answer, level } = *ended;
        let mut receipt = taught.receipt.clone();
        let Some(handle) = self.recordings.get_mut(choice).and_then(Option::take) else {
            return receipt;
        };
        let recording = cut(handle.take(), &answer.tokens);
        if level == Level::Full {
            receipt.tokens = self.shifts(&recording);
        }
        let begun = self.begun.get(choice).copied().flatten();
        let record = AnswerRecord {
            answer: AnswerRef { response: self.response.clone(), choice },
            key: self.adapted.pinned.key().clone(),
            version: self.adapted.pinned.version(),
            prompt: prompt.to_vec(),
            recording,
            plan: taught.bare.clone(),
            took: begun.map(|begun| begun.elapsed()).unwrap_or_default(),
            made_ms: now_ms(),
        };
        let is_held = self.adapted.picks() || self.adapted.duel.is_some();
        match self.records.get_mut(choice) {
            Some(place) if is_held => *place = Some(record),
            Some(_) | None => self.keep(record),
        }
        receipt
    }

    /// Which of the answers is shown. It is the only one from there on.
    pub(super) fn pick(&mut self) -> Result<usize, ApiError> {
        let mut records: Vec<AnswerRecord> = self.records.drain(..).flatten().collect();
        let picked = self.adapted.learning.host.best_of(&self.adapted.pinned, &records)?;
        if picked < records.len() {
            let record = records.swap_remove(picked);
            let answer = AnswerRef { choice: 0, ..record.answer };
            self.keep(AnswerRecord { answer, ..record });
        }
        Ok(picked)
    }

    /// The answers that are held, in their order.
    pub(super) fn take(&mut self) -> Vec<AnswerRecord> {
        self.records.drain(..).flatten().collect()
    }

    fn keep(&self, record: AnswerRecord) {
        if self.adapted.pinned.learns() {
            self.adapted.learning.host.record(record);
        }
    }

    /// What a receipt says token by token. What cannot be computed is told to the log: the answer has been given.
    fn shifts(&self, recording: &Recording) -> Vec<TokenShift> {
        let model = self.adapted.learning.host.model().model();
        let effects = self.adapted.pinned.effects(&model.decoder().head(), recording, MOST_SHIFTS);
        let effects = effects.unwrap_or_else(|error| {
            tracing::warn!(%error, "what an adapter did to an answer's tokens is not told");
            Vec::new()
        });
        let Ok(tokenizer) = model.tokenizer() else { return Vec::new() };
        let shift = |effect: TokenEffect| TokenShift {
            index: effect.index,
            token: tokenizer.decode(&[effect.token], Control::Show),
            logprob: effect.with,
            shift: effect.shift(),
        };
        effects.into_iter().map(shift).collect()
    }
}

/// A recording without what is not a part of the answer that was given.
fn cut(mut recording: Recording, tokens: &[u32]) -> Recording {
    let all = recording.tokens.len();
    let kept = recording.tokens.iter().zip(tokens).take_while(|(one, other)| one == other).count();
    let rows = |numbers: &mut Vec<f32>| {
        let width = numbers.len().checked_div(all).unwrap_or_default();
        numbers.truncate(kept * width);
    };
    rows(&mut recording.finals);
    if let Some(last) = &mut recording.last_block {
        rows(&mut last.resid_mid);
        rows(&mut last.resid_post);
    }
    recording.tokens.truncate(kept);
    recording
}

impl Prompted {
    /// Its tokens and what its answers have of an adapter, if they have one.
    pub(super) fn lesson(&self) -> Option<(&[u32], &Taught)> {
        self.taught.as_ref().map(|taught| (self.tokens.as_slice(), taught))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_holds_no_more_than_its_answer() {
        let finals: Vec<f32> = (0..6).map(|x| x as f32).collect();
        let recording = Recording { tokens: vec![4, 5, 6], finals, ..Recording::default() };
        let kept = cut(recording.clone(), &[4, 5]);
        assert_eq!((kept.tokens.as_slice(), kept.finals.len()), ([4, 5].as_slice(), 4));
        assert_eq!(cut(recording.clone(), &[4, 9, 6]).tokens, [4]);
        assert_eq!(cut(recording.clone(), &[4, 5, 6, 7]), recording);
        assert_eq!(cut(Recording::default(), &[1]), Recording::default());
    }
}
