//! What is written down of a judgement, whatever came of it.
//!
//! An entry has the numbers that led to a step and the step itself, and of the conversation digests only. The journal alone
//! rebuilds every version.

use super::guards::{GuardName, GuardReading};
use super::judgement::Judgement;
use super::params::{BlockKind, CreditMask, Rosa};
use super::refusal::SkipReason;
use super::state::RosaState;
use super::trace::AnswerTrace;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a step was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// `½·Δᵀ(F − λI)Δ` of the accepted length, nats per token.
    pub kl_predicted: f64,
    /// The larger of two means of KL(p_old‖p_new) on the kept tokens: by credit, and over all positions.
    pub kl_measured: f64,
    /// The most it may be.
    pub kl_limit: f64,
    /// Iterations of conjugate gradients.
    pub cg_iterations: usize,
    /// Their relative residual.
    pub residual: f64,
    /// The ridge.
    pub lambda: f64,
    /// How often the step was shortened.
    pub backtracks: usize,
    /// Its length.
    pub norm: f64,
    /// Tokens it was computed with.
    pub support: usize,
    /// Mean mass of all other tokens.
    pub rest_mass: f64,
    /// Σ w KL(π*‖π) before and after.
    pub distance: [f64; 2],
    /// Mean change of ln p of the answer's tokens, by credit: to first order, and measured.
    pub log_p_change: [f64; 2],
}

/// What came of a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum JournalOutcome {
    /// A new version.
    Applied {
        /// Its number.
        version: u64,
    },
    /// A step that guards refused.
    Rejected {
        /// What was above its limit.
        reason: Vec<GuardName>,
    },
    /// No step.
    Skipped {
        /// Why not.
        reason: SkipReason,
    },
}

/// One judgement in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The answer.
    pub trace: String,
    /// Digest of its prompt, as the trace has it.
    pub prompt: String,
    /// Digest of its tokens.
    pub response: String,
    /// How many tokens it has.
    pub tokens: usize,
    /// The version that was in force.
    pub old_version: u64,
    /// What was said.
    pub judgement: Judgement,
    /// The block that is moved.
    pub block: BlockKind,
    /// Temperature of the better policy.
    pub beta: f64,
    /// How credit was shared out.
    pub mask: CreditMask,
    /// What was kept of the old parameters.
    pub decay: f64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: JournalOutcome,
    /// How the step was found, if one was.
    pub step: Option<StepReport>,
    /// What guards measured.
    pub guards: Vec<GuardReading>,
    /// What was added to the parameters; empty unless applied.
    pub delta: Vec<f32>,
}

impl JournalEntry {
    /// The entry of a judgement that taught nothing, without the model having been asked.
    pub(super) fn skipped(
        rosa: &Rosa,
        version: u64,
        (trace, judgement): (&AnswerTrace, &Judgement),
        reason: SkipReason,
    ) -> JournalEntry {
        let params = rosa.params();
        JournalEntry {
            trace: trace.id.clone(),
            prompt: trace.prompt.clone(),
            response: trace.response(),
            tokens: trace.tokens.len(),
            old_version: version,
            judgement: judgement.clone(),
            block: params.block,
            beta: rosa.beta(judgement.reward),
            mask: super::mask::effective(params.mask, judgement.span.as_deref()),
            decay: params.decay,
            outcome: JournalOutcome::Skipped { reason },
            step: None,
            guards: Vec::new(),
            delta: Vec::new(),
        }
    }
}

/// The version that a journal leads to from an earlier one.
///
/// # Errors
///
/// An applied entry that does not follow the version before it, or a step of another length.
pub fn replay<'a>(
    start: &RosaState,
    entries: impl IntoIterator<Item = &'a JournalEntry>,
) -> Result<RosaState> {
    let mut state = start.clone();
    for entry in entries {
        if let JournalOutcome::Applied { version } = entry.outcome {
            if (entry.old_version, version) != (state.version, state.version + 1) {
                let problem = format!(
                    "goes from version {} to {version}, after version {}",
                    entry.old_version, state.version
                );
                return Err(Error::invalid("journal entry", problem));
            }
            state = state.stepped(entry.decay, &entry.delta)?;
        }
    }
    Ok(state)
}
