//! What is read off the logits of an answer that was made without anything being read off them.

use super::lesson::served;
use super::logits::{self, RowFacts};
use super::state::BlockState;
use super::trace::{AnswerTrace, TraceReadout};
use super::update::FrozenModel;
use crate::error::Result;

/// Rows whose logits over the vocabulary are in memory at a time, and between two pauses.
const SCORED_ROWS: usize = 4;

impl AnswerTrace {
    /// The same with partitions and readout under the block that answered: the vocabulary is scored once, some rows at a
    /// time.
    ///
    /// # Errors
    ///
    /// A head that fails.
    // states [T, d] -> lse [T], likeliest [T, top_k], entropy [T]
    pub fn scored(
        self,
        model: &FrozenModel,
        block: &BlockState,
        top_k: usize,
    ) -> Result<AnswerTrace> {
        let (mut lse, mut readout) = (Vec::new(), TraceReadout::default());
        let (width, vocabulary) = (model.head.width().max(1), model.head.vocabulary().max(1));
        for rows in served(&self, block).chunks(SCORED_ROWS * width) {
            for row in model.head.scores(rows)?.chunks(vocabulary) {
                let RowFacts { lse: partition, entropy } = logits::facts(row);
                lse.push(partition);
                readout.likeliest.push(logits::likeliest(row, partition, top_k));
                readout.entropy.push(entropy);
            }
            (model.pause)();
        }
        Ok(AnswerTrace { lse, readout: Some(readout), ..self })
    }
}
