//! The frozen model and its only forward pass.
//!
//! Weights are immutable, `forward` takes `&self`, everything that changes lives in the rows. An architecture is
//! data, so hook sites are written once, in one loop.

use super::block::{Block, Scene};
use super::linear::{Before, Linear, RmsNorm, Weight};
use super::packed::Packed;
use super::rope::RopeTable;
use super::row::{Output, Reading, Row};
use super::spec::ModelSpec;
use super::visit::Visit;
use super::watch::Watch;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::kernels::add;
use crate::kv::{KvCache, KvPool};
use crate::site::Site;
use candle_core::Tensor;

/// Immutable weights of one model on one device. Share it with `Arc`.
#[derive(Debug)]
pub struct Decoder {
    pub(super) spec: ModelSpec,
    pub(super) device: Device,
    pub(super) context: usize,
    pub(super) embed: Weight,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: RmsNorm,
    pub(super) head: Linear,
    pub(super) ropes: Vec<RopeTable>,
    pub(super) fingerprint: Fingerprint,
}

impl Decoder {
    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The longest sequence it was loaded for.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Identity of the weights and of how they were loaded.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Bytes of its matrices in memory.
    pub fn weight_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Block::bytes).sum();
        let head = if self.head.shares(&self.embed) { 0 } else { self.head.bytes() };
        self.embed.bytes() + blocks + head
    }

    /// A key–value pool for `tokens` tokens of this model.
    pub fn pool(&self, tokens: usize) -> Result<KvPool> {
        KvPool::new(&self.spec, tokens, &self.device)
    }

    /// Runs every row's new tokens through the model.
    ///
    /// Rows are independent: on the CPU each row's results have the same bits whoever else is in the pass and
    /// however its tokens are cut into passes. If the pass fails, every cache holds what it held, but hooks may have
    /// run: continue from a checkpoint.
    // rows of [time_i] tokens -> logits [Σ wanted, vocab], captures [time_i, d_model]
    pub fn forward(&self, rows: &mut [Row<'_>]) -> Result<Output> {
        let result = self.pass(rows);
        for row in rows {
            match &result {
                Ok(_) => row.cache.commit(row.tokens.len()),
                Err(_) => row.cache.release_reserve(),
            }
        }
        result
    }

    // as `forward`, without counting what was written
    fn pass(&self, rows: &mut [Row<'_>]) -> Result<Output> {
        let packed = Packed::admit(self, rows)?;
        let readings = rows.iter().any(|r| r.want.reading == Reading::LogitsAndFinal);
        let reading = if readings { Reading::LogitsAndFinal } else { Reading::Logits };
        let mut watch = Watch::new(rows);
        let (scores, captures) = {
            let (mut visit, caches) = Visit::split(rows, &packed);
            let scene = Scene { packed: &packed, caches: &caches, ropes: &self.ropes };
            let last = self.run(&scene, &mut visit, &mut watch)?;
            (self.score(&last, &packed, reading)?, visit.into_captures())
        };
        Ok(Output {
            packed: scores,
            vocab_size: self.spec.vocab_size,
            rows: packed.wanted_rows,
            captures,
            attention: watch.found,
        })
    }

    // -> [Σtime, d_model] at the final site
    fn run(&self, scene: &Scene, visit: &mut Visit, watch: &mut Watch) -> Result<Tensor> {
        let mut stream = visit.at(Site::Embed, self.embed(&scene.packed.tokens)?)?;
        for (l, block) in self.blocks.iter().enumerate() {
            let attn = block.attend(l, &stream, scene)?;
            watch.read(l, block, &stream, scene)?;
            let attn = visit.at(Site::AttnOut(l), attn)?;
            stream = visit.at(Site::ResidMid(l), sum(&stream, &attn, Site::ResidMid(l))?)?;
            let mlp = visit.at(Site::MlpOut(l), block.mlp(&stream)?)?;
            stream = visit.at(Site::ResidPost(l), sum(&stream, &mlp, Site::ResidPost(l))?)?;
        }
        visit.at(Site::Final, self.norm.forward(&stream)?)
    }

    // tokens [Σtime] -> [Σtime, d_model]
    fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let scale = self.spec.embed_scale;
        Tensor::new(tokens, self.device.candle())
            .and_then(|ids| self.embed.rows(&ids))
            .and_then(|x| if scale == 1.0 { Ok(x) } else { x * scale })
            .map_err(Error::tensor("token embedding"))
    }

    // x [Σtime, d_model] at the final site -> [wanted, vocab], or [wanted, vocab + d_model] with readings
    fn score(&self, x: &Tensor, packed: &Packed, reading: Reading) -> Result<Option<Tensor>> {
        if packed.wanted.is_empty() {
            return Ok(None);
        }
        let at = || Error::tensor("logits");
        let index = Tensor::new(packed.wanted.as_slice(), x.device()).map_err(at())?;
        let x = x.index_select(&index, 0).map_err(at())?;
        let mut logits = self.head.forward(&x, Before::Nothing)?;
        if let Some(cap) = self.spec.logit_softcap {
            let capped = (logits / cap).and_then(|l| l.tanh()).and_then(|l| l * cap);
            logits = capped.map_err(at())?;
        }
        match reading {
            Reading::Logits => Ok(Some(logits)),
            Reading::LogitsAndFinal => Tensor::cat(&[&logits, &x], 1).map(Some).map_err(at()),
        }
    }
}

// [Σtime, d_model] + [Σtime, d_model]
fn sum(stream: &Tensor, addend: &Tensor, site: Site) -> Result<Tensor> {
    add::sum(stream, addend).map_err(|source| Error::Tensor { at: site.to_string(), source })
}

/// Keeps the compiler checking that the weights can be shared between threads without a lock.
#[allow(dead_code)] // never called: it only has to compile
fn decoder_is_shareable() {
    fn sync<T: Send + Sync>() {}
    sync::<Decoder>();
    sync::<KvCache>();
}
