//! What is kept of an answer until it is judged.

use super::params::BlockKind;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use trimtab_runtime::fingerprint::Fingerprint;

/// Where the tokens of an answer come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenOrigin {
    /// The model: a token it could hardly have chosen says that the trace is another model's.
    #[default]
    Sampled,
    /// The user, who rewrote the answer: tokens that the model finds impossible get no credit.
    Written,
}

/// What the token loop read off the logits of each position while the answer was made. Without it an update scores the
/// whole vocabulary once for every position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TraceReadout {
    /// The likeliest tokens of each position with their log-probabilities.
    pub likeliest: Vec<Vec<(u32, f32)>>,
    /// The entropy of each position, nats.
    pub entropy: Vec<f64>,
}

/// Activations in the last block, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastBlock {
    /// `resid_mid` of the last block, `[positions, d_model]`.
    pub resid_mid: Vec<f32>,
    /// `resid_post` of the last block, `[positions, d_model]`; of an answer, with the push of the version it was made
    /// under.
    pub resid_post: Vec<f32>,
}

/// An answer that may be judged: its tokens, and the activations that led to them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerTrace {
    /// Its name; an answer is judged once.
    pub id: String,
    /// The version of the adapter it was made under.
    pub version: u64,
    /// Digest of its prompt, as the server writes it; it is copied to the journal.
    pub prompt: String,
    /// The tokens, `[T]`.
    pub tokens: Vec<u32>,
    /// `final` at the position that led to each token, without an offset, `[T, d_model]`.
    pub states: Vec<f32>,
    /// `ln Σ exp(logit)` of each position under the version that answered, `[T]`.
    pub lse: Vec<f64>,
    /// Where the tokens come from.
    pub origin: TokenOrigin,
    /// What was read off the logits.
    pub readout: Option<TraceReadout>,
    /// Activations in the last block, which [`BlockKind::LastMlpLora`] needs.
    pub last_block: Option<LastBlock>,
}

fn expect(field: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {found} values, expected {expected}")))
}

impl AnswerTrace {
    /// Whether its shapes are those of a model.
    ///
    /// # Errors
    ///
    /// Another length than the number of tokens asks for, a token outside the vocabulary, a block whose activations are
    /// not there.
    pub fn check(&self, width: usize, vocabulary: usize, block: BlockKind) -> Result<()> {
        let time = self.tokens.len();
        expect("trace.states", self.states.len(), time * width)?;
        expect("trace.lse", self.lse.len(), time)?;
        let mut ids = self.tokens.iter().copied();
        if let Some(readout) = &self.readout {
            expect("trace.readout.likeliest", readout.likeliest.len(), time)?;
            expect("trace.readout.entropy", readout.entropy.len(), time)?;
        }
        let listed = self.readout.iter().flat_map(|readout| readout.likeliest.iter().flatten());
        let strange = |id: &u32| *id as usize >= vocabulary;
        if let Some(id) = ids.find(strange).or(listed.map(|(id, _)| *id).find(strange)) {
            let problem = format!("{id} is not in a vocabulary of {vocabulary}");
            return Err(Error::invalid("trace.tokens", problem));
        }
        match (block, &self.last_block) {
            (BlockKind::FinalOffset, _) => Ok(()),
            (BlockKind::LastMlpLora, Some(last)) => {
                expect("trace.resid_mid", last.resid_mid.len(), time * width)?;
                expect("trace.resid_post", last.resid_post.len(), time * width)
            }
            (BlockKind::LastMlpLora, None) => {
                Err(Error::invalid("trace.last_block", "is missing, last_mlp_lora needs it"))
            }
        }
    }

    /// Digest of the tokens, in hexadecimal.
    pub fn response(&self) -> String {
        Fingerprint::builder("trimtab.rosa.response").tokens(&self.tokens).finish().to_string()
    }
}
