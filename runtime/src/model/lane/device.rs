//! A pass as candle tensors, for devices other than the CPU.

use super::{Lane, OutputLayer, Stream, Target};
use crate::error::{Error, Result};
use crate::kernels::add::{RowAdd, add_rows};
use crate::kernels::blocks::{Span, store};
use crate::kernels::heads::prepare;
use crate::model::block::{Block, before};
use crate::model::linear::{Before, RmsNorm, Weight};
use crate::model::pass::Scene;
use crate::model::row::{Reading, Scores};
use candle_core::{Device, Tensor};
use std::ops::Range;

/// The lane of every device but the CPU.
pub(in crate::model) struct Tensors {
    device: Device,
    stream: Option<Tensor>,
    branch: Option<Tensor>,
}

impl Tensors {
    pub(in crate::model) fn new(device: &Device) -> Self {
        Tensors { device: device.clone(), stream: None, branch: None }
    }

    // -> [Σtime, d_model]
    fn current(&self) -> Result<&Tensor> {
        self.stream.as_ref().ok_or(Error::Misuse("the stream is read before it is filled"))
    }

    // branch [Σtime, d_model]
    fn close(&mut self, branch: Tensor, norm: &Option<RmsNorm>, to: Target) -> Result<()> {
        let branch = match norm {
            Some(norm) => norm.forward(&branch)?,
            None => branch,
        };
        self.branch = Some(branch);
        if to == Target::Stream { self.merge() } else { Ok(()) }
    }
}

impl Lane for Tensors {
    // tokens [Σtime] -> stream [Σtime, d_model]
    fn embed(&mut self, embed: &Weight, tokens: &[u32], scale: f64) -> Result<()> {
        let stream = Tensor::new(tokens, &self.device)
            .and_then(|ids| embed.rows(&ids))
            .and_then(|x| if scale == 1.0 { Ok(x) } else { x * scale });
        self.stream = Some(stream.map_err(Error::tensor("token embedding"))?);
        Ok(())
    }

    // rows [n, width] -> stream [n, width]
    fn fill(&mut self, rows: &[f32], width: usize) -> Result<()> {
        let stream = Tensor::from_slice(rows, (rows.len() / width, width), &self.device);
        self.stream = Some(stream.map_err(Error::tensor("final"))?);
        Ok(())
    }

    // stream [Σtime, d_model] -> the same, or the branch
    fn attend(&mut self, block: &Block, layer: usize, scene: &Scene, to: Target) -> Result<()> {
        let at = |what: &str| Error::tensor(format!("{what} of block {layer}"));
        let qkv = project(block, self.current()?, scene, &scene.packed.positions)?;
        let (pool, spans) = (scene.pool(layer)?, scene.packed.spans.as_slice());
        store(pool, &qkv, block.attention.shape, spans).map_err(at("keys and values"))?;
        let mixed = block.attention.forward(&qkv, pool, spans).map_err(at("attention"))?;
        let attn = block.attn_out.forward(&mixed, Before::Nothing)?;
        self.close(attn, &block.attn_post_norm, to)
    }

    // stream [Σtime, d_model] -> the same, or the branch
    fn mlp(&mut self, block: &Block, to: Target) -> Result<()> {
        let gate_up = block.gate_up.forward(self.current()?, before(&block.mlp_norm))?;
        let mlp = block.down.forward(&gate_up, Before::Gate(block.activation))?;
        self.close(mlp, &block.mlp_post_norm, to)
    }

    // stream [Σtime, d_model] + branch [Σtime, d_model]
    fn merge(&mut self) -> Result<()> {
        let branch =
            self.branch.take().ok_or(Error::Misuse("a branch is added before it is filled"))?;
        let sum = (self.current()? + branch).map_err(Error::tensor("residual stream"))?;
        self.stream = Some(sum);
        Ok(())
    }

    // stream [Σtime, d_model]
    fn norm(&mut self, norm: &RmsNorm) -> Result<()> {
        self.stream = Some(norm.forward(self.current()?)?);
        Ok(())
    }

    fn stream(&mut self) -> &mut dyn Stream {
        &mut self.stream
    }

    fn branch(&mut self) -> &mut dyn Stream {
        &mut self.branch
    }

    // stream [rows, d_model] -> [wanted, d_model]
    fn keep(&mut self, wanted: &[u32]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let stream = self.current()?;
        let kept = Tensor::new(wanted, &self.device).and_then(|at| stream.index_select(&at, 0));
        self.stream = Some(kept.map_err(Error::tensor("rows with logits"))?);
        Ok(())
    }

    // stream [rows, d_model] -> [rows, vocab], or [rows, vocab + d_model] with readings
    fn score(&mut self, layer: &OutputLayer, reading: Reading) -> Result<Scores> {
        let at = || Error::tensor("logits");
        let x = self.current()?;
        let mut logits = layer.linear.forward(x, Before::Nothing)?;
        if let Some(cap) = layer.softcap {
            let capped = (logits / cap).and_then(|l| l.tanh()).and_then(|l| l * cap);
            logits = capped.map_err(at())?;
        }
        let packed = match reading {
            Reading::Logits => Ok(logits),
            Reading::LogitsAndFinal => Tensor::cat(&[&logits, x], 1),
        };
        packed.map(Scores::Device).map_err(at())
    }
}

impl Stream for Option<Tensor> {
    fn add(&mut self, adds: &[RowAdd]) -> candle_core::Result<()> {
        let stream = filled(self)?;
        *stream = add_rows(stream, adds)?;
        Ok(())
    }

    // -> [rows, d_model]
    fn read(&self, rows: Range<usize>) -> candle_core::Result<Tensor> {
        match self {
            Some(stream) => stream.narrow(0, rows.start, rows.len())?.force_contiguous(),
            None => candle_core::bail!("the stream is read before it is filled"),
        }
    }

    // edits of [rows, d_model]
    fn replace(&mut self, edits: Vec<(Range<usize>, Tensor)>) -> candle_core::Result<()> {
        let stream = filled(self)?;
        *stream = splice(stream, edits)?;
        Ok(())
    }
}

// -> [Σtime, d_model]
fn filled(stream: &mut Option<Tensor>) -> candle_core::Result<&mut Tensor> {
    stream
        .as_mut()
        .ok_or_else(|| candle_core::Error::msg("the stream is edited before it is filled"))
}

// stream [rows, d] with some ranges replaced, in rising order
fn splice(stream: &Tensor, edits: Vec<(Range<usize>, Tensor)>) -> candle_core::Result<Tensor> {
    let mut parts = Vec::with_capacity(2 * edits.len() + 1);
    let mut next = 0;
    for (rows, edited) in edits {
        if rows.start > next {
            parts.push(stream.narrow(0, next, rows.start - next)?);
        }
        next = rows.end;
        parts.push(edited);
    }
    let total = stream.dim(0)?;
    if total > next {
        parts.push(stream.narrow(0, next, total - next)?);
    }
    Tensor::cat(&parts, 0)?.contiguous()
}

// stream [time, d_model] -> q‖k‖v [time, row], queries and keys rotated
fn project(block: &Block, stream: &Tensor, scene: &Scene, positions: &[u32]) -> Result<Tensor> {
    let qkv = block.qkv.forward(stream, before(&block.attn_norm))?;
    let (shape, norms) = (block.attention.shape, block.head_norms.as_ref());
    prepare(&qkv, shape, norms, scene.rope(block)?, positions).map_err(Error::tensor("rotation"))
}

/// Attention weights of the last token of one row, whose keys are in the cache already.
// x [1, d_model], that token's stream as the block got it -> [heads, seen]
pub(super) fn last_attention(
    block: &Block,
    layer: usize,
    x: &Tensor,
    scene: &Scene,
    span: &Span,
) -> Result<Tensor> {
    let position = span.seen() - 1;
    let qkv = project(block, x, scene, &[position as u32])?;
    let span = Span { rows: 0..1, start: position, blocks: span.blocks.clone() };
    let weights = block.attention.weights(&qkv, scene.pool(layer)?, &span);
    let at = Error::tensor(format!("attention weights of block {layer}"));
    weights.and_then(|w| w.squeeze(1)).map_err(at)
}
