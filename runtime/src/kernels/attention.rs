//! Causal attention of packed rows over the blocks of their own caches.
//!
//! Every query sums over its keys from the oldest it sees to itself, one at a time, so its bits depend neither on
//! the other queries of the pass nor on where its keys lie in the pool.

use super::simd::{self, Task};
use super::values;
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Where one row's queries are and where its keys lie.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Its rows in the packed queries.
    pub rows: Range<usize>,
    /// Absolute position of its first query.
    pub start: usize,
    /// Pool blocks that hold positions 0, `block_len`, 2·`block_len`, …
    pub blocks: Arc<[u32]>,
}

/// The shape of the heads and the rules of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key–value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Factor on q·k.
    pub scale: f32,
    /// Soft cap on scores.
    pub softcap: Option<f32>,
    /// Positions a query sees, its own included.
    pub window: Option<usize>,
    /// Tokens a block holds.
    pub block_len: usize,
}

impl Attention {
    // q [Σtime, heads·dim], k and v pools [slots, kv_heads·dim] -> [Σtime, heads·dim]
    pub(crate) fn forward(&self, q: &Tensor, kv: [&Tensor; 2], spans: &[Span]) -> Result<Tensor> {
        if q.device().is_cpu() {
            let op = Paged { shape: self.clone(), spans: spans.to_vec() };
            return q.contiguous()?.apply_op3_no_bwd(kv[0], kv[1], &op);
        }
        self.forward_with_candle(q, kv, spans)
    }

    // as `forward`
    fn forward_with_candle(&self, q: &Tensor, kv: [&Tensor; 2], spans: &[Span]) -> Result<Tensor> {
        let rows: Result<Vec<Tensor>> = spans.iter().map(|s| self.one_row(q, kv, s)).collect();
        Tensor::cat(&rows?, 0)
    }

    // q [Σtime, heads·dim] -> [time, heads·dim] for one span
    fn one_row(&self, q: &Tensor, [k, v]: [&Tensor; 2], span: &Span) -> Result<Tensor> {
        let time = span.rows.len();
        let groups = self.heads / self.kv_heads;
        let own = q.narrow(0, span.rows.start, time)?;
        let weights = self.weights(&own, k, span)?;
        let seen = weights.dim(2)?;
        let weights = weights.reshape((self.kv_heads, groups * time, seen))?;
        let mixed = weights.matmul(&self.gather(v, span)?)?;
        let mixed = mixed.reshape((self.heads, time, self.head_dim))?;
        mixed.transpose(0, 1)?.contiguous()?.reshape((time, self.heads * self.head_dim))
    }

    /// Attention weights of a span's queries, with candle operations on every device: for reading, not for serving.
    // q [time, heads·dim] of one span, k pool [slots, kv_heads·dim] -> [heads, time, seen]
    pub(crate) fn weights(&self, q: &Tensor, k: &Tensor, span: &Span) -> Result<Tensor> {
        let (time, seen) = (span.rows.len(), span.start + span.rows.len());
        let groups = self.heads / self.kv_heads;
        // [kv_heads, groups·time, dim] · [kv_heads, dim, seen]
        let q = q.reshape((time, self.heads, self.head_dim))?.transpose(0, 1)?.contiguous()?;
        let q = q.reshape((self.kv_heads, groups * time, self.head_dim))?;
        let mut scores = (q.matmul(&self.gather(k, span)?.t()?)? * f64::from(self.scale))?;
        if let Some(cap) = self.softcap.map(f64::from) {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let scores = scores.reshape((self.heads, time, seen))?;
        let scores = scores.broadcast_add(&self.mask(span, scores.device())?)?;
        candle_nn::ops::softmax(&scores, D::Minus1)
    }

    // pool [slots, kv_heads·dim] -> [kv_heads, seen, dim], a span's positions in order
    fn gather(&self, pool: &Tensor, span: &Span) -> Result<Tensor> {
        let seen = span.start + span.rows.len();
        let slots: Vec<u32> = (0..seen).map(|p| self.slot(span, p) as u32).collect();
        let rows = pool.index_select(&Tensor::from_vec(slots, seen, pool.device())?, 0)?;
        rows.reshape((seen, self.kv_heads, self.head_dim))?.transpose(0, 1)?.contiguous()
    }

    // -> [time, seen], 0 where a query sees a key and -inf elsewhere
    fn mask(&self, span: &Span, device: &candle_core::Device) -> Result<Tensor> {
        let (time, seen) = (span.rows.len(), span.start + span.rows.len());
        let mut mask = vec![f32::NEG_INFINITY; time * seen];
        for (t, row) in mask.chunks_mut(seen).enumerate() {
            row[self.visible(span.start + t)].fill(0.0);
        }
        Tensor::from_vec(mask, (time, seen), device)?.to_dtype(DType::F32)
    }

    /// The positions a query at `position` sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let oldest = self.window.map_or(0, |w| (position + 1).saturating_sub(w));
        oldest..position + 1
    }

    fn slot(&self, span: &Span, position: usize) -> usize {
        span.blocks[position / self.block_len] as usize * self.block_len + position % self.block_len
    }
}

struct Paged {
    shape: Attention,
    spans: Vec<Span>,
}

impl CustomOp3 for Paged {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    // q [Σtime, heads·dim], k and v [slots, kv_heads·dim] -> [Σtime, heads·dim]
    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = q_layout.shape().dims2()?;
        let (slots, kv_width) = k_layout.shape().dims2()?;
        self.check(rows, slots, [width, kv_width])?;
        let (q, k, v) = (values(q, q_layout)?, values(k, k_layout)?, values(v, v_layout)?);
        let queries = self.spans.iter().flat_map(|s| s.rows.clone().map(move |r| (s, r)));
        let queries: Vec<(&Span, usize)> = queries.collect();
        let group = width / self.shape.kv_heads;
        let mut mixed = vec![0f32; q.len()];
        // One task per query and key–value head: the query heads of a group read the same keys.
        mixed.par_chunks_mut(group).enumerate().for_each(|(unit, out)| {
            let (span, row) = queries[unit / self.shape.kv_heads];
            let q = &q[unit * group..(unit + 1) * group];
            let head = unit % self.shape.kv_heads;
            let query = Query { shape: &self.shape, span, row, head, q, k, v, kv_width, out };
            simd::on_widest_unit(query);
        });
        Ok((CpuStorage::F32(mixed), Shape::from((rows, width))))
    }
}

impl Paged {
    /// Refuses spans that would read outside the pool or leave a packed row without its span.
    fn check(&self, rows: usize, slots: usize, [width, kv_width]: [usize; 2]) -> Result<()> {
        let Attention { heads, kv_heads, head_dim, block_len, .. } = self.shape;
        let mut next = 0;
        for span in &self.spans {
            let held = span.blocks.len() * block_len;
            let in_pool = span.blocks.iter().all(|b| (*b as usize + 1) * block_len <= slots);
            if span.rows.start != next || span.start + span.rows.len() > held || !in_pool {
                candle_core::bail!("attention span {span:?} does not fit its cache");
            }
            next = span.rows.end;
        }
        if next != rows || width != heads * head_dim || kv_width != kv_heads * head_dim {
            candle_core::bail!("attention over {rows} rows of {width} and keys of {kv_width}");
        }
        Ok(())
    }
}

/// One query position and one key–value head with the query heads that share it.
struct Query<'a> {
    shape: &'a Attention,
    span: &'a Span,
    /// Packed row.
    row: usize,
    /// Key–value head.
    head: usize,
    /// `[groups, dim]`
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    kv_width: usize,
    /// `[groups, dim]`
    out: &'a mut [f32],
}

impl Task for Query<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let dim = self.shape.head_dim;
        let visible = self.shape.visible(self.span.start + self.row - self.span.rows.start);
        let mut scores = vec![0f32; visible.len()];
        for (q, out) in self.q.chunks(dim).zip(self.out.chunks_mut(dim)) {
            for (score, position) in scores.iter_mut().zip(visible.clone()) {
                let at = self.shape.slot(self.span, position) * self.kv_width + self.head * dim;
                let dot = simd::dot::<FMA>(q, &self.k[at..at + dim]) * self.shape.scale;
                *score = self.shape.softcap.map_or(dot, |cap| cap * (dot / cap).tanh());
            }
            let total = exponentials(&mut scores);
            for (weight, position) in scores.iter().zip(visible.clone()) {
                let at = self.shape.slot(self.span, position) * self.kv_width + self.head * dim;
                let weight = weight / total;
                for (out, v) in out.iter_mut().zip(&self.v[at..at + dim]) {
                    *out = simd::multiply_add::<FMA>(weight, *v, *out);
                }
            }
        }
    }
}

/// Replaces scores by exp(score − max) and returns their sum.
#[inline(always)]
fn exponentials(scores: &mut [f32]) -> f32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0f32;
    for score in scores {
        *score = (*score - most).exp();
        total += *score;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn wave(rows: usize, columns: usize, pace: f32) -> Tensor {
        let values = (0..rows * columns).map(|i| (i as f32 * pace).sin()).collect::<Vec<f32>>();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    #[test]
    fn agrees_with_candle_over_scattered_blocks() {
        for (window, softcap) in [(None, None), (Some(3), None), (Some(5), Some(2.0))] {
            let shape = Attention {
                heads: 6,
                kv_heads: 2,
                head_dim: 5,
                scale: 0.4,
                softcap,
                window,
                block_len: 4,
            };
            let spans = [
                Span { rows: 0..7, start: 0, blocks: Arc::from([3u32, 0]) },
                Span { rows: 7..8, start: 9, blocks: Arc::from([5u32, 1, 2]) },
            ];
            let (q, k, v) = (wave(8, 30, 0.7), wave(24, 10, 0.3), wave(24, 10, 1.1));
            let ours = shape.forward(&q, [&k, &v], &spans).unwrap();
            let theirs = shape.forward_with_candle(&q, [&k, &v], &spans).unwrap();
            let gap = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f32>().unwrap() < 1e-5, "{window:?} {softcap:?}");
        }
    }

    #[test]
    fn a_span_outside_its_cache_is_refused() {
        let shape = Attention {
            heads: 1,
            kv_heads: 1,
            head_dim: 2,
            scale: 1.0,
            softcap: None,
            window: None,
            block_len: 2,
        };
        let spans = [Span { rows: 0..3, start: 0, blocks: Arc::from([0u32]) }];
        let (q, k, v) = (wave(3, 2, 0.7), wave(8, 2, 0.3), wave(8, 2, 1.1));
        assert!(shape.forward(&q, [&k, &v], &spans).is_err());
    }
}
