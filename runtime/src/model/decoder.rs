//! The frozen model and its only forward pass.
//!
//! Weights are immutable, `forward` takes `&self`, everything that changes lives in the rows. An architecture is
//! data, so hook sites are written once, in one loop.

use super::block::Block;
use super::lane::device::Tensors;
use super::lane::host::Host;
use super::lane::{Lane, OutputLayer, Target};
use super::linear::{Linear, RmsNorm, Weight};
use super::packed::Packed;
use super::pass::Scene;
use super::rope::RopeTable;
use super::row::{Output, Reading, Row, Scores};
use super::spec::ModelSpec;
use super::visit::Visit;
use super::watch::Watch;
use crate::device::Device;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::kv::{KvCache, KvPool};
use crate::site::Site;

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
        let result = self.pass(rows).and_then(Output::complete);
        for row in rows {
            match &result {
                Ok(_) => row.cache.commit(row.tokens.len()),
                Err(_) => row.cache.release_reserve(),
            }
        }
        result
    }

    /// As [`forward`](Self::forward), but a hook that fails or panics fails its own row: see
    /// [`Output::take_failure`]. The other rows have the results they would have without it.
    // rows of [time_i] tokens -> logits [Σ wanted, vocab], captures [time_i, d_model]
    pub(crate) fn forward_each(&self, rows: &mut [Row<'_>]) -> Result<Output> {
        let result = self.pass(rows);
        for (index, row) in rows.iter_mut().enumerate() {
            match &result {
                Ok(output) if !output.has_failed(index) => row.cache.commit(row.tokens.len()),
                _ => row.cache.release_reserve(),
            }
        }
        result
    }

    fn output_layer(&self) -> OutputLayer<'_> {
        OutputLayer { linear: &self.head, softcap: self.spec.logit_softcap }
    }

    // as `forward`, without counting what was written
    fn pass(&self, rows: &mut [Row<'_>]) -> Result<Output> {
        if self.device.kind() == "cpu" {
            return self.pass_on(Host::new(), rows);
        }
        self.pass_on(Tensors::new(self.device.candle()), rows)
    }

    // as `forward`, on one lane
    pub(super) fn pass_on(&self, mut lane: impl Lane, rows: &mut [Row<'_>]) -> Result<Output> {
        let packed = Packed::admit(&self.spec, self.context, rows)?;
        let readings = rows.iter().any(|r| r.want.reading == Reading::LogitsAndFinal);
        let reading = if readings { Reading::LogitsAndFinal } else { Reading::Logits };
        let mut watch = Watch::new(rows);
        let (mut visit, caches) = Visit::split(rows, &packed);
        let scene = Scene { packed: &packed, caches: &caches, ropes: &self.ropes };
        self.run(&mut lane, &scene, &mut visit, &mut watch)?;
        let scores = match packed.wanted.is_empty() {
            true => Scores::None,
            false => lane.score(&self.output_layer(), reading)?,
        };
        let (captures, failures) = visit.into_parts();
        Ok(Output {
            scores,
            vocab_size: self.spec.vocab_size,
            captures,
            failures,
            rows: packed.wanted_rows,
            attention: watch.found,
        })
    }

    // tokens [Σtime] -> the lane's stream [wanted, d_model] after the final site
    fn run(
        &self,
        lane: &mut impl Lane,
        scene: &Scene,
        visit: &mut Visit,
        watch: &mut Watch,
    ) -> Result<()> {
        let wanted = &scene.packed.wanted;
        lane.embed(&self.embed, &scene.packed.tokens, self.spec.embed_scale)?;
        visit.at(Site::Embed, lane.stream())?;
        for (l, block) in self.blocks.iter().enumerate() {
            attend(lane, (l, block), scene, (visit, watch))?;
            // Behind the last attention a token touches no other: those without logits are done.
            if l + 1 == self.blocks.len() && !visit.sees_behind(l) {
                lane.keep(wanted)?;
                if !wanted.is_empty() {
                    lane.mlp(block, Target::Stream)?;
                    lane.norm(&self.norm)?;
                }
                return Ok(());
            }
            visit.at(Site::ResidMid(l), lane.stream())?;
            let to = visit.target(Site::MlpOut(l));
            lane.mlp(block, to)?;
            if to == Target::Branch {
                visit.at(Site::MlpOut(l), lane.branch())?;
                lane.merge()?;
            }
            visit.at(Site::ResidPost(l), lane.stream())?;
        }
        lane.norm(&self.norm)?;
        visit.at(Site::Final, lane.stream())?;
        lane.keep(wanted)
    }
}

// stream [Σtime, d_model] -> with what the block's attention adds
fn attend(
    lane: &mut impl Lane,
    (layer, block): (usize, &Block),
    scene: &Scene,
    (visit, watch): (&mut Visit, &mut Watch),
) -> Result<()> {
    let site = Site::AttnOut(layer);
    let to = if watch.wants(layer) { Target::Branch } else { visit.target(site) };
    lane.attend(block, layer, scene, to)?;
    if to == Target::Branch {
        watch.read(layer, block, lane, scene)?;
        visit.at(site, lane.branch())?;
        lane.merge()?;
    }
    Ok(())
}

/// Keeps the compiler checking that the weights can be shared between threads without a lock.
#[allow(dead_code)] // never called: it only has to compile
fn decoder_is_shareable() {
    fn sync<T: Send + Sync>() {}
    sync::<Decoder>();
    sync::<KvCache>();
}
