//! A monitor that keeps the activations of an answer, so that it can be judged later without the model reading it again.

use crate::rosa::{BlockKind, LastBlock, TraceReadout};
use std::sync::{Arc, Mutex, PoisonError};
use trimtab_runtime::monitor::{AnswerView, Monitor, Senses, Verdict};
use trimtab_runtime::sample::Step;
use trimtab_runtime::site::Site;

/// The activations that led to an answer's tokens, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The answer's tokens, `[T]`.
    pub tokens: Vec<u32>,
    /// `final` at the position that led to each token, as the plan left it, `[T, d_model]`.
    pub finals: Vec<f32>,
    /// Activations in the last block, if they were asked for, `[T, d_model]` each.
    pub last_block: Option<LastBlock>,
    /// `ln Σ exp(logit)` of each position as the token loop found it, `[T]`.
    pub lse: Vec<f64>,
    /// What the token loop read off the logits of each position; as many likely tokens as the request lists.
    pub readout: TraceReadout,
    /// Tokens that were put into the answer without a pass of their own: such an answer teaches nothing.
    pub inserted: usize,
}

impl Recording {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let last = self.last_block.iter().map(|last| last.resid_mid.len() + last.resid_post.len());
        let listed = self.readout.likeliest.iter().map(Vec::len).sum::<usize>();
        (self.tokens.len() + self.finals.len() + last.sum::<usize>()) * size_of::<f32>()
            + (2 * self.lse.len() + listed) * size_of::<f64>()
    }

    /// Partitions and readout of the first tokens, if so many likely ones are listed at each of their positions: then no
    /// update has to score the vocabulary again. They are the model's own only where nothing edits an answer's logits.
    pub fn read_off(&self, tokens: usize, top_k: usize) -> Option<(Vec<f64>, TraceReadout)> {
        let likeliest = self.readout.likeliest.get(..tokens)?;
        if likeliest.iter().any(|listed| listed.len() < top_k) {
            return None;
        }
        let entropy = self.readout.entropy.get(..tokens)?.to_vec();
        let readout = TraceReadout { likeliest: likeliest.to_vec(), entropy };
        Some((self.lse.get(..tokens)?.to_vec(), readout))
    }
}

/// Hears of every token of an answer and never objects.
///
/// What it keeps is read through the handle of [`StateRecorder::new`], also after the answer has ended. A rewind takes the
/// rows of what was taken back.
pub struct StateRecorder {
    kept: RecordingHandle,
    /// The sites of the last block that are read beside `final`.
    last: Option<[Site; 2]>,
    width: usize,
    /// The place of the token after the newest rewind: a retry may have banned others there, so its logits are not the
    /// model's own.
    retried: Option<usize>,
}

/// What a [`StateRecorder`] has kept so far.
#[derive(Debug, Clone, Default)]
pub struct RecordingHandle(Arc<Mutex<Recording>>);

impl RecordingHandle {
    /// Takes the recording out.
    pub fn take(&self) -> Recording {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StateRecorder {
    /// A recorder for answers of a model of this width and number of blocks, with what a block of parameters needs.
    pub fn new(
        (width, n_layers): (usize, usize),
        block: BlockKind,
    ) -> (StateRecorder, RecordingHandle) {
        let kept = RecordingHandle::default();
        let last = n_layers.saturating_sub(1);
        let last = match block {
            BlockKind::FinalOffset => None,
            BlockKind::LastMlpLora => Some([Site::ResidMid(last), Site::ResidPost(last)]),
        };
        (StateRecorder { kept: kept.clone(), last, width, retried: None }, kept)
    }

    fn record(&mut self, token: u32, answer: &AnswerView) {
        let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |step: &&Step| step.token == token && self.retried != Some(kept.tokens.len());
        let step = answer.step.filter(own).filter(|_| answer.sensed.is_some());
        let listed = step.iter().flat_map(|step| &step.top).map(|(id, log_p)| (*id, *log_p as f32));
        let listed = listed.collect();
        kept.tokens.push(token);
        kept.lse.push(step.map_or(0.0, |step| step.log_sum_exp));
        kept.readout.entropy.push(step.map_or(0.0, |step| step.entropy));
        kept.readout.likeliest.push(listed);
        let nothing = || vec![0.0; self.width];
        let sensed = |site: Site| answer.sensed.and_then(|sensed| sensed.activations.get(&site));
        match sensed(Site::Final) {
            Some(row) => kept.finals.extend_from_slice(row),
            None => {
                kept.inserted += 1;
                kept.finals.extend(nothing());
            }
        }
        if let Some([mid, post]) = self.last {
            let last = kept.last_block.get_or_insert_default();
            last.resid_mid.extend(sensed(mid).cloned().unwrap_or_else(nothing));
            last.resid_post.extend(sensed(post).cloned().unwrap_or_else(nothing));
        }
    }
}

impl Monitor for StateRecorder {
    fn watch(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Verdict> {
        let known = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).tokens.len();
        // What comes several at a time was inserted; only the newest may have had a pass.
        for (at, token) in answer.tokens.iter().enumerate().skip(known) {
            match at + 1 == answer.tokens.len() {
                true => self.record(*token, answer),
                false => self.record(*token, &AnswerView { sensed: None, ..*answer }),
            }
        }
        Ok(Verdict::Continue { release: answer.text.len(), ask_after: 1 })
    }

    fn rewind(&mut self, tokens: usize) {
        let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.tokens.truncate(tokens);
        kept.finals.truncate(tokens * self.width);
        kept.lse.truncate(tokens);
        kept.readout.entropy.truncate(tokens);
        kept.readout.likeliest.truncate(tokens);
        self.retried = Some(tokens);
        if let Some(last) = &mut kept.last_block {
            last.resid_mid.truncate(tokens * self.width);
            last.resid_post.truncate(tokens * self.width);
        }
    }

    fn senses(&self) -> Senses {
        let sites = [Site::Final].into_iter().chain(self.last.into_iter().flatten()).collect();
        Senses { sites, attention: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::monitor::Sensed;

    #[test]
    fn what_the_loop_read_is_given_as_far_as_it_is_the_models_own() {
        let (mut recorder, handle) = StateRecorder::new((2, 1), BlockKind::FinalOffset);
        let sensed = Sensed {
            activations: [(Site::Final, vec![1.0, 2.0])].into_iter().collect(),
            ..Sensed::default()
        };
        let logits = [0.0f32, 3.0, 1.0, -1.0];
        let hear = |recorder: &mut StateRecorder, tokens: &[u32], top: usize| {
            let step = Step::of(*tokens.last().unwrap(), &logits, top);
            let view = AnswerView::ended(tokens, "");
            let view = AnswerView { step: Some(&step), sensed: Some(&sensed), ..view };
            recorder.watch(&view).unwrap();
        };
        hear(&mut recorder, &[1], 3);
        hear(&mut recorder, &[1, 2], 3);
        let kept = handle.0.lock().unwrap().clone();
        let (lse, readout) = kept.read_off(2, 3).unwrap();
        assert_eq!((lse.len(), readout.likeliest[1][0].0, readout.entropy.len()), (2, 1, 2));
        assert!(kept.read_off(2, 4).is_none() && kept.read_off(3, 3).is_none());
        // After a rewind the first token was chosen from edited logits, the next was not.
        recorder.rewind(1);
        hear(&mut recorder, &[1, 0], 3);
        hear(&mut recorder, &[1, 0, 2], 3);
        let kept = handle.take();
        assert_eq!((kept.tokens.as_slice(), kept.lse.len()), ([1, 0, 2].as_slice(), 3));
        assert!(kept.read_off(1, 3).is_some() && kept.read_off(2, 3).is_none());
        assert_eq!(kept.readout.likeliest[2].len(), 3);
    }
}
