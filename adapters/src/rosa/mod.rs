//! ROSA: one step from one judgement.
//!
//! After a turn the user says whether the answer was right. That defines a better policy close to the current one, and a
//! small block of parameters is moved towards it by one damped Fisher step before the next turn: one linear solve, no
//! training loop, no backward pass through the model. [`Rosa::update`] goes from a state, a trace and a judgement to the
//! next state and a [`JournalEntry`]; what it does not do is keep states, serve them or run the model.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`RosaParams`], [`Rosa`] | the configuration as written, and checked |
//! | [`Judgement`], [`RewardRules`], [`written_in_place`] | what was said, from numbers, thumbs, typed text and edits |
//! | [`AnswerTrace`] | what is kept of an answer until it is judged |
//! | [`RosaState`] | the learnt block at one version, with its bytes |
//! | [`OutputHead`], [`HeadFacts`], [`Canary`] | what is read of the model |
//! | [`RosaHistory`], [`replay`] | what a conversation may still be taught; versions out of the journal |
//! | [`simulate`] | a toy with a known optimum |
//!
//! Published ("Test-Time Policy Adaptation for Enhanced Multi-Turn Interactions with LLMs", arXiv 2509.23166): feedback in
//! the running conversation is a reward, and one cheap update per turn follows it. Reported of it, not checked: the
//! objective `E[r] − β·KL(π‖π_old)` with its optimum `π_old·exp(r/β)/Z`, and a linearised solve by conjugate gradients.
//!
//! Reconstructed here, because the paper's linear system is not public: the tilt per token, the Fisher system, the block at
//! `final`, the support, the credit mask, the trust region, the guards and the reading of judgements. Numbers of the paper
//! say nothing about this code.
//!
//! `final_offset` is a logit bias of `d_model` degrees of freedom, the same at every position. It can discourage
//! wordings, not change reasoning.
//!
//! ```
//! use trimtab_adapters::rosa::{
//!     AnswerTrace, Canary, DenseHead, FrozenModel, HeadFacts, Judgement, OutputHead, RosaParams, RosaState,
//! };
//!
//! # fn main() -> trimtab_adapters::Result<()> {
//! // Four tokens, two wide; a real model's head is `decoder.head()`.
//! let head = DenseHead::new(vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0], 2)?;
//! let states = vec![0.5, 0.2, -0.1, 0.9];
//! let lse = head.scores(&states)?.chunks(4).map(|z| z.iter().map(|z| f64::from(*z).exp()).sum::<f64>().ln()).collect();
//! let trace = AnswerTrace { id: "a".into(), tokens: vec![0, 1], states, lse, ..AnswerTrace::default() };
//!
//! let (facts, canary) = (HeadFacts::measure(&head)?, Canary::new(&head, &[0.1, -0.3], None)?);
//! let model = FrozenModel { head: &head, facts: &facts, canary: &canary, stream_norm: 1.0, pause: &|| () };
//! let rosa = RosaParams::default().check()?;
//! let old = RosaState::untaught(rosa.params(), 2, [0; 32], 0)?;
//! let update = rosa.update(&model, &old, &trace, &Judgement::down())?;
//! // The answer's tokens have become less likely, and the old version is as it was.
//! assert!(update.entry.step.is_some_and(|step| step.log_p_change[1] < 0.0));
//! assert_eq!(update.state.map(|state| state.version), Some(1));
//! # Ok(())
//! # }
//! ```

mod product;

mod params;

mod judgement;

mod edit;
mod reward;

mod refusal;

mod head;

mod state;

mod encoding;

mod trace;

mod logits;
mod mask;
mod tilt;

mod lesson;

mod support;

mod policy;

mod reach;

mod conjugate;
mod fisher;
mod trust;

mod guards;

mod journal;

mod problem;

mod update;

mod readout;

mod history;

pub mod simulate;

pub use edit::written_in_place;
pub use guards::{Canary, GuardName, GuardReading};
pub use head::{DenseHead, FinalNorm, HeadFacts, OutputHead};
pub use history::RosaHistory;
pub use journal::{JournalEntry, JournalOutcome, StepReport, replay};
pub use judgement::{Judgement, JudgementSource, LEAST_REWARD};
pub use params::{BlockKind, CreditMask, Rosa, RosaParams, Signs, StepDirection};
pub use refusal::SkipReason;
pub use reward::RewardRules;
pub use state::{BlockState, FinalOffset, LastMlpLora, RosaState};
pub use trace::{AnswerTrace, LastBlock, TokenOrigin, TraceReadout};
pub use update::{FrozenModel, Update};

#[cfg(test)]
mod tests;
