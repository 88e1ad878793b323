//! What a taste adds to the logits of two rows where it reads the answer with each likely token appended.
//!
//! At each step the likeliest tokens of a row are run as rows of one pass, each on a fork of that arm's keys and values.
//! The activation at `final` of a candidate gives φ of the prefix and the candidate, `s(v) = r(φ)` and
//! `u(v) = ‖∂r(φ) − ∂r(φ_a)‖_{V⁻¹}`, standardised over the row's candidates; the rest is as with `embed`. The fork of the token
//! that was chosen is what the next step goes on from, so no token is run twice here; the answers themselves run it once
//! more, in their own pass. This is close to the published method, whose states come from a second model.
//!
//! The pass runs inside the choice of a token, so whatever runs beside the group waits for it: an engine that serves
//! others should not.

use super::step::{DuelStep, TokenTilt};
use super::tilt::{TiltStrength, TiltedRow, standardised};
use crate::tpop::bytes::hex;
use crate::tpop::error::TpopError;
use crate::tpop::extractor::{AnswerFeature, Extractor, StatePooling};
use crate::tpop::params::{DuelLevel, TokenFeatureKind, TokenScore};
use crate::tpop::state::TpopState;
use std::sync::Arc;
use trimtab_runtime::decoder::{LogitsAt, Outputs, WithFinal};
use trimtab_runtime::sample::Step;
use trimtab_runtime::session::Session;
use trimtab_runtime::{Error, Result, read};

/// Candidates of a row.
pub const LOOKAHEAD_CANDIDATES: usize = 8;

/// A state's taste for beginnings of answers, for the two answers of one duel.
pub struct Lookahead {
    extractor: Arc<Extractor>,
    state: TpopState,
    strength: TiltStrength,
    prompt: Session,
    arms: [Arm; 2],
    run: usize,
}

/// An arm as far as its context has been run.
struct Arm {
    session: Session,
    /// The activation of every position behind the prompt, `[d_model]` each.
    states: Vec<Vec<f32>>,
    branches: Vec<Branch>,
    written: AnswerFeature,
}

/// A candidate that has been run.
struct Branch {
    token: u32,
    session: Session,
    state: Vec<f32>,
}

impl Lookahead {
    /// The taste of a state for answers to a prompt, which is run here to its end. Both answers of the duel are to be
    /// under the prompt's plan; another one that a retry brings is not followed.
    ///
    /// # Errors
    ///
    /// A state of another extractor, an extractor that does not pool tokens' own activations, a state whose
    /// configuration does not ask for it; what running the prompt gives.
    // prompt [n] -> keys and values
    pub fn of(
        state: &TpopState,
        extractor: Arc<Extractor>,
        mut prompt: Session,
    ) -> Result<Lookahead> {
        check(state, &extractor).map_err(refused)?;
        let run = prompt.pending();
        if run > 0 {
            prompt.run()?;
        }
        let arm = || Arm::at(&prompt, extractor.clone());
        let arms = [arm(), arm()];
        Ok(Lookahead {
            extractor,
            state: state.clone(),
            strength: TiltStrength::of(state),
            prompt,
            arms,
            run,
        })
    }

    /// Tokens that were run through the model here so far, those of the prompt included.
    pub fn tokens_run(&self) -> usize {
        self.run
    }

    /// The activations that the candidates of the last step were judged by: token and `[d_model]`.
    #[cfg(test)]
    pub(in crate::tpop) fn judged(&self, arm: usize) -> Vec<(u32, &[f32])> {
        let branches = self.arms.iter().skip(arm).take(1).flat_map(|arm| &arm.branches);
        branches.map(|branch| (branch.token, branch.state.as_slice())).collect()
    }

    /// Brings an arm to its context and φ to what it has written of it.
    // context [n], positions [written] -> φ [width]
    fn follow(&mut self, row: &DuelStep<'_>) -> Result<()> {
        let Some(arm) = self.arms.get_mut(row.arm.index()) else { return Ok(()) };
        self.run += arm.follow(&self.prompt, row.context)?;
        let mut written = AnswerFeature::new(self.extractor.clone());
        for position in row.positions {
            let state = position.checked_sub(self.prompt.len()).and_then(|at| arm.states.get(at));
            state.map_or(Ok(()), |state| written.push(state)).map_err(refused)?;
        }
        arm.written = written;
        Ok(())
    }

    /// Runs the candidates of all rows in one pass.
    // rows of [vocab_size] -> [candidates, d_model] each
    fn branch(&mut self, rows: &[DuelStep<'_>], tops: &[Step]) -> Result<()> {
        let mut branches = Vec::new();
        for (row, step) in rows.iter().zip(tops) {
            let Some(arm) = self.arms.get(row.arm.index()) else { continue };
            for (token, _) in step.top.iter().filter(|(_, logprob)| logprob.is_finite()) {
                let mut session = arm.session.fork();
                session.push(&[*token])?;
                let branch = Branch { token: *token, session, state: Vec::new() };
                branches.push((row.arm.index(), branch));
            }
        }
        self.run += branches.len();
        let mut sessions: Vec<&mut Session> =
            branches.iter_mut().map(|(_, branch)| &mut branch.session).collect();
        let mut states = vec![Vec::new(); sessions.len()];
        read::run(&mut sessions, &with_finals(LogitsAt::Last), |row, _, output| {
            let last = output.finals().last().unwrap_or_default();
            states.iter_mut().skip(row).take(1).for_each(|state| *state = last.to_vec());
            Ok::<(), Error>(())
        })?;
        self.arms.iter_mut().for_each(|arm| arm.branches.clear());
        for ((index, branch), state) in branches.into_iter().zip(states) {
            if let Some(arm) = self.arms.get_mut(index) {
                arm.branches.push(Branch { state, ..branch });
            }
        }
        Ok(())
    }

    /// What is added to a row. A candidate whose features are not finite is none.
    // [vocab_size], [candidates, d_model] -> [candidates]
    fn judge(&self, row: &DuelStep<'_>, step: &Step) -> std::result::Result<TiltedRow, TpopError> {
        let [a, _] = &self.arms;
        let written = a.written.finish()?;
        let (mut ids, mut s, mut u) = (Vec::new(), Vec::new(), Vec::new());
        for arm in self.arms.iter().skip(row.arm.index()).take(1) {
            for branch in &arm.branches {
                let mut answer = arm.written.clone();
                let features = answer.push(&branch.state).and_then(|()| answer.finish());
                let Ok(features) = features else { continue };
                ids.push(branch.token);
                s.push(self.state.head().reward(&features));
                u.push(self.state.bonus(&features, &written));
            }
        }
        let (s, u) = standardised(s, u);
        Ok(self.strength.tilt(&row.row(), step.log_sum_exp, &ids, (&s, &u)))
    }
}

impl TokenTilt for Lookahead {
    fn is_plain(&self) -> bool {
        self.strength.is_plain()
    }

    fn score(&self) -> TokenScore {
        self.strength.score()
    }

    // rows of [vocab_size] -> candidates of each row
    fn tilt(&mut self, rows: &[DuelStep<'_>], _: &[u32]) -> Result<Vec<TiltedRow>> {
        if self.is_plain() {
            return Ok(rows.iter().map(|_| TiltedRow::nothing()).collect());
        }
        rows.iter().try_for_each(|row| self.follow(row))?;
        let tops = rows.iter().map(|row| Step::of(0, row.logits, LOOKAHEAD_CANDIDATES));
        let tops: Vec<Step> = tops.collect();
        self.branch(rows, &tops)?;
        let judged = rows.iter().zip(&tops).map(|(row, step)| self.judge(row, step));
        judged.collect::<std::result::Result<_, _>>().map_err(refused)
    }
}

impl Arm {
    fn at(prompt: &Session, extractor: Arc<Extractor>) -> Arm {
        Arm {
            session: prompt.fork(),
            states: Vec::new(),
            branches: Vec::new(),
            written: AnswerFeature::new(extractor),
        }
    }

    /// Takes the branch of the token that was chosen, or runs what it has not run. Gives how many tokens it ran.
    // context [n] -> states [n - prompt, d_model]
    fn follow(&mut self, prompt: &Session, context: &[u32]) -> Result<usize> {
        if let Some((token, before)) = context.split_last()
            && before == self.session.tokens()
            && let Some(at) = self.branches.iter().position(|branch| branch.token == *token)
        {
            let branch = self.branches.swap_remove(at);
            self.session = branch.session;
            self.states.push(branch.state);
            return Ok(0);
        }
        if !context.starts_with(self.session.tokens()) {
            self.session = prompt.fork();
            self.states.clear();
        }
        let missing = context.get(self.session.len()..).unwrap_or_default();
        if missing.is_empty() {
            return Ok(0);
        }
        self.session.push(missing)?;
        let Arm { session, states, .. } = self;
        read::run(&mut [session], &with_finals(LogitsAt::All), |_, _, output| {
            states.extend(output.finals().map(<[f32]>::to_vec));
            Ok::<(), Error>(())
        })?;
        Ok(missing.len())
    }
}

fn with_finals(logits: LogitsAt) -> Outputs {
    Outputs { logits, reading: WithFinal::LogitsAndFinal, ..Outputs::default() }
}

fn refused(error: TpopError) -> Error {
    Error::Invalid { field: "tpop.token_features", problem: error.to_string() }
}

fn check(state: &TpopState, extractor: &Extractor) -> std::result::Result<(), TpopError> {
    let scope = state.scope();
    if scope.extractor != *extractor.id() {
        let (found, expected) = (hex(&scope.extractor), hex(extractor.id()));
        return Err(TpopError::OtherExtractor { found, expected });
    }
    let params = scope.config.params();
    if params.level != DuelLevel::Token || params.token_features != TokenFeatureKind::Lookahead {
        let needs = "tpop.level = token and tpop.token_features = lookahead";
        return Err(TpopError::Unsupported { what: "a taste for beginnings", needs });
    }
    if extractor.origin().pooling != StatePooling::Own {
        let needs = "an extractor that pools each token's own activation";
        return Err(TpopError::Unsupported { what: "tpop.token_features = lookahead", needs });
    }
    Ok(())
}
