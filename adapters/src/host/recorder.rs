//! A monitor that keeps the activations of an answer, so that it can be judged later without the model reading it again.

use crate::rosa::{BlockKind, LastBlock};
use std::sync::{Arc, Mutex, PoisonError};
use trimtab_runtime::monitor::{AnswerView, Monitor, Senses, Verdict};
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
    /// Tokens that were put into the answer without a pass of their own: such an answer teaches nothing.
    pub inserted: usize,
}

impl Recording {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let last = self.last_block.iter().map(|last| last.resid_mid.len() + last.resid_post.len());
        (self.tokens.len() + self.finals.len() + last.sum::<usize>()) * size_of::<f32>()
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
        (StateRecorder { kept: kept.clone(), last, width }, kept)
    }

    fn record(&mut self, token: u32, answer: &AnswerView) {
        let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.tokens.push(token);
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
