//! Windows run under several plans at once, and reduced to numbers where their logits stand.

use super::Trial;
use crate::error::{Error, Result};
use crate::kernels::logits::{Reference, spread};
use crate::kernels::pool;
use crate::model::{LogitsAt, Want};
use crate::plan::Plan;
use crate::read::{self, ReadPass};
use crate::session::Session;
use std::sync::{Mutex, PoisonError};

/// What one prediction of one plan says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Score {
    /// −ln p of the token that follows.
    pub(super) loss: f64,
    /// KL(plain ‖ this).
    pub(super) kl: f64,
    /// 1 where the likeliest token is the plain one, else 0.
    pub(super) agreed: usize,
}

/// How windows are run: under the trial's plan first, then under the others.
pub(super) struct Batch<'a> {
    pub(super) trial: &'a Trial<'a>,
    pub(super) plans: &'a [Plan],
    /// The most tokens of a window in one pass.
    pub(super) chunk: usize,
    /// Tokens of a window that are its prompt.
    pub(super) prompt: usize,
}

impl Batch<'_> {
    /// Of equally long windows, by window and plan, the score of every token but the first.
    pub(super) fn scores(&self, windows: &[&[u32]]) -> Result<Vec<Vec<Vec<Score>>>> {
        let each = 1 + self.plans.len();
        let mut sessions = Vec::with_capacity(windows.len() * each);
        for window in windows {
            for plan in std::iter::once(self.trial.plan).chain(self.plans) {
                sessions.push(self.session(window, plan)?);
            }
        }
        let want = Want { logits: LogitsAt::All, ..Want::default() };
        let mut scores = vec![vec![Vec::new(); each]; windows.len()];
        // Windows are equally long, so they end in the same pass.
        read::passes(&mut sessions, &want, read::has_pending, |pass| {
            let mut windows = windows.iter().zip(&mut scores).enumerate();
            windows.try_for_each(|(w, (window, scores))| {
                self.reduce((&pass, w * each), window, scores)
            })
        })?;
        Ok(scores)
    }

    fn session(&self, window: &[u32], plan: &Plan) -> Result<Session> {
        let decoder = self.trial.decoder.clone();
        let mut session = Session::new(decoder, self.trial.pool, plan.clone())?;
        session.set_chunk(self.chunk);
        let (prompt, answer) = window.split_at(self.prompt.min(window.len()));
        session.push_prompt(prompt)?;
        session.push(answer)?;
        Ok(session)
    }

    /// Adds a pass's predictions to one window's scores, whose rows of the pass begin at `first`.
    // per plan, logits [time, vocab_size] -> time scores
    fn reduce(
        &self,
        (pass, first): (&ReadPass, usize),
        window: &[u32],
        scores: &mut [Vec<Score>],
    ) -> Result<()> {
        let vocab = self.trial.decoder.spec().vocab_size;
        let rows = first..first + scores.len();
        let logits: Vec<&[f32]> = rows.map(|row| pass.logits(row)).collect();
        let begin = scores.first().map_or(0, Vec::len);
        let time = logits.first().map_or(0, |lines| lines.len() / vocab);
        // Nothing follows the window's last token.
        let following = window.iter().skip(begin + 1).take(time);
        let slots: Vec<_> = following.map(|token| (*token, Mutex::default())).collect();
        pool::global().run(slots.len(), &|at| {
            let part = at * vocab..(at + 1) * vocab;
            let lines = logits.iter().filter_map(|lines| lines.get(part.clone()));
            if let Some((token, slot)) = slots.get(at) {
                let found = score(&lines.collect::<Vec<_>>(), *token);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
        });
        for (at, (_, slot)) in slots.into_iter().enumerate() {
            let found = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            if found.iter().any(|score| score.loss.is_nan()) {
                return Err(Error::NotFinite { at: "logits".to_owned(), position: begin + at });
            }
            scores.iter_mut().zip(found).for_each(|(scores, score)| scores.push(score));
        }
        Ok(())
    }
}

// per plan, logits [vocab_size], the plain ones first -> a score per plan
fn score(rows: &[&[f32]], token: u32) -> Vec<Score> {
    let own =
        |logits: &[f32]| logits.get(token as usize).map_or(f64::NEG_INFINITY, |l| (*l).into());
    let plain = |lse: f64, logits| Score { loss: lse - own(logits), kl: 0.0, agreed: 1 };
    match rows {
        [] => Vec::new(),
        [only] => vec![plain(spread(only).log_sum_exp, only)],
        [first, others @ ..] => {
            let reference = Reference::of(first);
            let steered = others.iter().map(|logits| {
                let contrast = reference.contrast(logits);
                let loss = contrast.log_sum_exp - own(logits);
                Score { loss, kl: contrast.kl, agreed: contrast.agreed }
            });
            std::iter::once(plain(reference.log_sum_exp(), first)).chain(steered).collect()
        }
    }
}
