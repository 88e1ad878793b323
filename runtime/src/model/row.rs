//! What goes into a forward pass and what comes out.

use crate::device;
use crate::error::{Error, Result};
use crate::kv::KvCache;
use crate::plan::BoundPlan;
use crate::sample::DrawKeys;
use crate::site::Site;
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;

/// For which of a row's new tokens logits are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogitsAt {
    /// None: a prefill chunk that is not the last.
    None,
    /// The last one.
    #[default]
    Last,
    /// Every one.
    All,
}

/// Whether the last token's `final` activation comes back with the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Logits only.
    #[default]
    Logits,
    /// Logits and the activation, in the same copy.
    LogitsAndFinal,
}

/// What a row wants back.
#[derive(Debug, Clone, Default)]
pub struct Want {
    /// Logits.
    pub logits: LogitsAt,
    /// The `final` activation beside them.
    pub reading: Reading,
    /// Activations of every new token at these sites, as the plan leaves them.
    pub captures: Vec<Site>,
    /// Blocks whose attention weights of the last token come back. They are computed once more beside the serving
    /// kernel, so they cost what they are: a product with every key.
    pub attention: Vec<usize>,
}

/// One sequence's part of a forward pass.
pub struct Row<'a> {
    /// The new tokens, at least one.
    pub tokens: &'a [u32],
    /// Positions below this are the prompt.
    pub prompt_len: usize,
    /// The sequence's keys and values; grows by the new tokens if the pass succeeds.
    pub cache: &'a mut KvCache,
    /// Its bound plan.
    pub plan: &'a mut BoundPlan,
    /// Keys of its hooks' random draws.
    pub draws: &'a DrawKeys,
    /// What it wants back.
    pub want: Want,
}

/// Logits of the wanted positions, where they were computed.
#[derive(Debug)]
pub(crate) enum Scores {
    /// Nobody wanted any.
    None,
    /// In host memory.
    Host {
        /// `[Σ wanted, vocab]`
        logits: Vec<f32>,
        /// `[Σ wanted, d_model]`; empty unless a row wants a reading.
        finals: Vec<f32>,
    },
    /// `[Σ wanted, vocab]`, or `[Σ wanted, vocab + d_model]` where a row wants a reading.
    Device(Tensor),
}

/// Results of one pass, where they were computed.
#[derive(Debug)]
pub struct Output {
    pub(crate) scores: Scores,
    pub(crate) vocab_size: usize,
    /// Per row, its rows of the scores.
    pub(crate) rows: Vec<Range<usize>>,
    /// Per row, `[time, d_model]` by site.
    pub(crate) captures: Vec<BTreeMap<Site, Tensor>>,
    /// Per row, `[heads, seen]` by block.
    pub(crate) attention: Vec<BTreeMap<usize, Tensor>>,
    /// Per row, the error of a hook; the row's results mean nothing then.
    pub(crate) failures: Vec<Option<Error>>,
}

/// One row's results on the host.
#[derive(Debug, Clone, Default)]
pub struct RowReadout {
    /// One vector of `vocab_size` values per wanted position.
    pub logits: Vec<Vec<f32>>,
    /// The `final` activations at the same positions, if some row of the pass wanted a reading.
    pub finals: Vec<Vec<f32>>,
}

impl Output {
    /// The output, if no row has failed.
    pub(super) fn complete(mut self) -> Result<Output> {
        match self.failures.iter_mut().find_map(Option::take) {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    pub(super) fn has_failed(&self, row: usize) -> bool {
        self.failures.get(row).is_some_and(Option::is_some)
    }

    /// Takes the error of a row whose hook has failed.
    pub(crate) fn take_failure(&mut self, row: usize) -> Option<Error> {
        self.failures.get_mut(row).and_then(Option::take)
    }

    /// A row's captured activations, `[time, d_model]` by site.
    pub fn captures(&self, row: usize) -> Option<&BTreeMap<Site, Tensor>> {
        self.captures.get(row)
    }

    /// A row's attention weights of its last token, `[heads, positions seen]` by block.
    pub fn attention(&self, row: usize) -> Option<&BTreeMap<usize, Tensor>> {
        self.attention.get(row)
    }

    /// Takes a row's captured activations out.
    pub fn take_captures(&mut self, row: usize) -> BTreeMap<Site, Tensor> {
        self.captures.get_mut(row).map(std::mem::take).unwrap_or_default()
    }

    /// Logits of one row on the device, `[wanted, vocab_size]`; `None` if it wanted none.
    pub fn logits(&self, row: usize) -> Result<Option<Tensor>> {
        let Some(rows) = self.rows.get(row).filter(|rows| !rows.is_empty()) else {
            return Ok(None);
        };
        let logits = match &self.scores {
            Scores::None => return Ok(None),
            Scores::Host { logits, .. } => {
                let part = rows.start * self.vocab_size..rows.end * self.vocab_size;
                let shape = (rows.len(), self.vocab_size);
                let part = logits.get(part).unwrap_or_default();
                Tensor::from_slice(part, shape, &candle_core::Device::Cpu)
            }
            Scores::Device(packed) => packed
                .narrow(0, rows.start, rows.len())
                .and_then(|part| part.narrow(1, 0, self.vocab_size)),
        };
        logits.map(Some).map_err(Error::tensor("logits"))
    }

    /// Copies logits and readings to the host, if they are not there: one copy for all rows.
    // [n, vocab_size + d_model] -> [n, vocab_size] and [n, d_model]
    pub(crate) fn fetch(&mut self) -> Result<()> {
        match &self.scores {
            Scores::None => {}
            Scores::Host { .. } => device::count_copy(),
            Scores::Device(packed) => {
                let width = packed.dim(1).map_err(Error::tensor("logits"))?;
                let logits = device::to_host(packed)?;
                let (logits, finals) = match width == self.vocab_size {
                    true => (logits, Vec::new()),
                    false => split(&logits, width, self.vocab_size),
                };
                self.scores = Scores::Host { logits, finals };
            }
        }
        Ok(())
    }

    /// One row's logits after [`fetch`](Self::fetch), one vector of `vocab_size` values behind the other.
    pub(crate) fn host_logits(&self, row: usize) -> &[f32] {
        match (&self.scores, self.rows.get(row)) {
            (Scores::Host { logits, .. }, Some(rows)) => {
                let part = rows.start * self.vocab_size..rows.end * self.vocab_size;
                logits.get(part).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// One row's `final` activations after [`fetch`](Self::fetch), one behind the other, and the length of each.
    pub(crate) fn host_finals(&self, row: usize) -> (&[f32], usize) {
        match (&self.scores, self.rows.get(row)) {
            (Scores::Host { logits, finals }, Some(rows)) => {
                let width = finals.len() / (logits.len() / self.vocab_size.max(1)).max(1);
                (finals.get(rows.start * width..rows.end * width).unwrap_or_default(), width)
            }
            _ => (&[], 0),
        }
    }

    /// Copies every row's logits and readings to the host: the one device-to-host copy of a step.
    pub fn to_host(&self) -> Result<Vec<RowReadout>> {
        let vocab = self.vocab_size;
        let all = |readout: &dyn Fn(&Range<usize>) -> RowReadout| {
            self.rows.iter().map(readout).collect::<Vec<RowReadout>>()
        };
        Ok(match &self.scores {
            Scores::None => all(&|_| RowReadout::default()),
            Scores::Host { logits, finals } => {
                device::count_copy();
                let width = finals.len() / (logits.len() / vocab.max(1)).max(1);
                all(&|rows| RowReadout {
                    logits: lines(logits, vocab, 0..vocab, rows),
                    finals: lines(finals, width, 0..width, rows),
                })
            }
            Scores::Device(packed) => {
                let width = packed.dim(1).map_err(Error::tensor("logits"))?;
                let values = device::to_host(packed)?;
                all(&|rows| RowReadout {
                    logits: lines(&values, width, 0..vocab, rows),
                    finals: lines(&values, width, vocab..width, rows),
                })
            }
        })
    }
}

/// The first columns of a matrix, and the others.
// [n, width] -> [n, at] and [n, width - at]
fn split(values: &[f32], width: usize, at: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for line in values.chunks_exact(width.max(1)) {
        let (first, second) = line.split_at(at.min(width));
        left.extend_from_slice(first);
        right.extend_from_slice(second);
    }
    (left, right)
}

/// Some columns of some lines of a matrix, each in memory of its own; none of no columns.
// values [n, width] -> rows.len() lines of [columns]
fn lines(
    values: &[f32],
    width: usize,
    columns: Range<usize>,
    rows: &Range<usize>,
) -> Vec<Vec<f32>> {
    if columns.is_empty() {
        return Vec::new();
    }
    let line = |row: usize| values.get(row * width + columns.start..row * width + columns.end);
    rows.clone().filter_map(line).map(<[f32]>::to_vec).collect()
}
