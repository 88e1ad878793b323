//! A pass in host memory: the same buffers for every block, no tensor per operation.

use super::{Lane, OutputLayer, Stream, Target};
use crate::error::{Error, Result};
use crate::kernels::add::{RowAdd, add_in_place};
use crate::kernels::attention::HeadStep;
use crate::kernels::columns::{Columns, Write};
use crate::kernels::with_values;
use crate::kernels::workspace::{Lease, Matrix, Workspace};
use crate::model::block::{Block, before};
use crate::model::linear::{Before, Linear, RmsNorm, Weight};
use crate::model::pass::Scene;
use crate::model::row::{Reading, Scores};
use candle_core::{Device, Tensor};
use std::ops::Range;

/// The lane of the CPU.
pub(in crate::model) struct Host {
    work: Lease,
}

impl Host {
    pub(in crate::model) fn new() -> Self {
        Host { work: Workspace::take() }
    }

    /// The last product of a branch, its post-norm, and where both go.
    // x [Σtime, in], or [Σtime, 2·in] behind a gate
    fn close(&mut self, close: Close, to: Target) -> Result<()> {
        let Workspace { stream, branch, wide, mixed, quants } = &mut *self.work;
        let x = match close.before {
            Before::Gate(_) => wide.values(),
            _ => mixed.values(),
        };
        let (linear, width) = (close.linear, stream.width());
        let direct = to == Target::Stream && close.norm.is_none() && linear.adds_in_one_step();
        if direct {
            let values = stream.values_mut();
            let onto = Columns { values, stride: width, from: 0, write: Write::Add };
            return linear.on_host(x, close.before, quants, onto);
        }
        let rows = stream.values().len() / width;
        let values = branch.shaped(rows, width);
        linear.on_host(x, close.before, quants, Columns::all(values, width))?;
        if let Some(norm) = close.norm {
            norm.on_host(values);
        }
        if to == Target::Stream { self.merge() } else { Ok(()) }
    }
}

/// How a branch ends.
struct Close<'a> {
    linear: &'a Linear,
    before: Before<'a>,
    norm: &'a Option<RmsNorm>,
}

impl Lane for Host {
    // tokens [Σtime] -> stream [Σtime, d_model]
    fn embed(&mut self, embed: &Weight, tokens: &[u32], scale: f64) -> Result<()> {
        let values = self.work.stream.shaped(tokens.len(), embed.width());
        embed.rows_on_host(tokens, values).map_err(Error::tensor("token embedding"))?;
        if scale != 1.0 {
            values.iter_mut().for_each(|x| *x *= scale as f32);
        }
        Ok(())
    }

    // rows [n, width] -> stream [n, width]
    fn fill(&mut self, rows: &[f32], width: usize) -> Result<()> {
        self.work.stream.shaped(rows.len() / width, width).copy_from_slice(rows);
        Ok(())
    }

    // stream [Σtime, d_model] -> the same, or the branch
    fn attend(&mut self, block: &Block, layer: usize, scene: &Scene, to: Target) -> Result<()> {
        let Workspace { stream, wide, mixed, quants, .. } = &mut *self.work;
        let (shape, time) = (block.attention.shape, scene.packed.tokens.len());
        let qkv = wide.shaped(time, block.qkv.out());
        block.qkv.on_host(stream.values(), before(&block.attn_norm), quants, qkv)?;
        let step = HeadStep {
            norms: block.head_norms.as_ref(),
            table: scene.rope(block)?,
            positions: &scene.packed.positions,
            spans: &scene.packed.spans,
        };
        let attended = mixed.shaped(time, shape.q());
        let done = block.attention.on_host(step, scene.pool(layer)?, qkv, attended);
        done.map_err(|source| Error::Tensor { at: format!("attention of block {layer}"), source })?;
        let (linear, norm) = (&block.attn_out, &block.attn_post_norm);
        self.close(Close { linear, before: Before::Nothing, norm }, to)
    }

    // stream [Σtime, d_model] -> the same, or the branch
    fn mlp(&mut self, block: &Block, to: Target) -> Result<()> {
        let Workspace { stream, wide, quants, .. } = &mut *self.work;
        let rows = stream.values().len() / stream.width();
        let gate_up = wide.shaped(rows, block.gate_up.out());
        block.gate_up.on_host(stream.values(), before(&block.mlp_norm), quants, gate_up)?;
        let (linear, norm) = (&block.down, &block.mlp_post_norm);
        self.close(Close { linear, before: Before::Gate(block.activation), norm }, to)
    }

    // stream [Σtime, d_model] + branch [Σtime, d_model]
    fn merge(&mut self) -> Result<()> {
        let Workspace { stream, branch, .. } = &mut *self.work;
        stream.values_mut().iter_mut().zip(branch.values()).for_each(|(x, y)| *x += y);
        Ok(())
    }

    // stream [Σtime, d_model]
    fn norm(&mut self, norm: &RmsNorm) -> Result<()> {
        norm.on_host(self.work.stream.values_mut());
        Ok(())
    }

    fn stream(&mut self) -> &mut dyn Stream {
        &mut self.work.stream
    }

    fn branch(&mut self) -> &mut dyn Stream {
        &mut self.work.branch
    }

    // stream [rows, d_model] -> [wanted, d_model]
    fn keep(&mut self, wanted: &[u32]) -> Result<()> {
        let stream = &mut self.work.stream;
        let width = stream.width();
        // Rows move towards the front: their order rises.
        for (to, from) in wanted.iter().enumerate() {
            let from = *from as usize * width;
            stream.values_mut().copy_within(from..from + width, to * width);
        }
        stream.shaped(wanted.len(), width);
        Ok(())
    }

    // stream [rows, d_model] -> [rows, vocab]
    fn score(&mut self, layer: &OutputLayer, reading: Reading) -> Result<Scores> {
        let Workspace { stream, quants, .. } = &mut *self.work;
        let (x, vocab) = (stream.values(), layer.linear.out());
        let mut logits = vec![0f32; x.len() / stream.width() * vocab];
        let out = Columns::all(&mut logits, vocab);
        layer.linear.on_host(x, Before::Nothing, quants, out)?;
        if let Some(cap) = layer.softcap.map(|c| c as f32) {
            logits.iter_mut().for_each(|l| *l = (*l / cap).tanh() * cap);
        }
        let finals = match reading {
            Reading::Logits => Vec::new(),
            Reading::LogitsAndFinal => x.to_vec(),
        };
        Ok(Scores::Host { logits, finals })
    }
}

impl Stream for Matrix {
    fn add(&mut self, adds: &[RowAdd]) -> candle_core::Result<()> {
        let width = self.width();
        add_in_place(self.values_mut(), width, adds)
    }

    // -> [rows, d_model]
    fn read(&self, rows: Range<usize>) -> candle_core::Result<Tensor> {
        let width = self.width();
        match self.values().get(rows.start * width..rows.end * width) {
            Some(values) => Tensor::from_slice(values, (rows.len(), width), &Device::Cpu),
            None => candle_core::bail!("rows {rows:?} are not in the pass"),
        }
    }

    // edits of [rows, d_model]
    fn replace(&mut self, edits: Vec<(Range<usize>, Tensor)>) -> candle_core::Result<()> {
        let width = self.width();
        for (rows, edited) in edits {
            let edited = edited.to_device(&Device::Cpu)?.contiguous()?;
            let place = self.values_mut().get_mut(rows.start * width..rows.end * width);
            let Some(place) = place.filter(|p| p.len() == edited.elem_count()) else {
                candle_core::bail!("{:?} does not replace rows {rows:?}", edited.shape());
            };
            with_values(&edited, |values| place.copy_from_slice(values))?;
        }
        Ok(())
    }
}
