//! Causal attention of packed rows over the blocks of their own caches.
//!
//! A query's scores are computed for 16 keys at a time, one dimension after another; its weighted sum adds one value
//! after another, from the oldest it sees to itself. So its bits depend neither on the queries that share the loads
//! with it, nor on where its keys lie, nor on how its prompt was cut into passes. Nothing of size time × time is made:
//! a task holds the scores of a few queries.
#![allow(unsafe_code)] // tasks write disjoint parts of one result; the block says why it is sound

use super::blocks::{Span, gather};
use super::heads::HeadShape;
use super::math;
use super::pool::{self, Parts};
use super::simd::{self, LANES, Task};
use super::values;
use crate::kv::BLOCK_LEN;
use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor};
use std::ops::Range;

/// Queries that share the loads of keys and values.
const QUERIES: usize = 4;

// One register of scores is one block of keys.
const _: () = assert!(LANES == BLOCK_LEN);

/// The shape of the heads and the rules of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    /// Heads.
    pub shape: HeadShape,
    /// Factor on q·k.
    pub scale: f32,
    /// Soft cap on scores.
    pub softcap: Option<f32>,
    /// Positions a query sees, its own included.
    pub window: Option<usize>,
}

/// TEMP
pub(crate) struct HeadStep<'a> {
    pub norms: Option<&'a super::heads::HeadNorms>,
    pub table: &'a crate::model::rope::RopeTable,
    pub positions: &'a [u32],
    pub spans: &'a [Span],
}
impl Attention {
    pub(crate) fn on_host(
        &self,
        s: HeadStep,
        pool: &Tensor,
        qkv: &mut [f32],
        out: &mut [f32],
    ) -> Result<()> {
        let time = s.positions.len();
        let t = Tensor::from_slice(qkv, (time, self.shape.row()), &candle_core::Device::Cpu)?;
        let t = super::heads::prepare(&t, self.shape, s.norms, s.table, s.positions)?;
        super::blocks::store(pool, &t, self.shape, s.spans)?;
        let r = self.forward(&t, pool, s.spans)?;
        super::with_values(&r, |v| out.copy_from_slice(v))
    }
    // qkv [Σtime, row], pool [blocks, 2, kv_heads, dim·BLOCK_LEN] -> [Σtime, heads·dim]
    pub(crate) fn forward(&self, qkv: &Tensor, pool: &Tensor, spans: &[Span]) -> Result<Tensor> {
        if qkv.device().is_cpu() {
            let op = Paged { rules: self, spans };
            return qkv.contiguous()?.apply_op2_no_bwd(pool, &op);
        }
        self.forward_with_candle(qkv, pool, spans)
    }

    // as `forward`
    fn forward_with_candle(&self, qkv: &Tensor, pool: &Tensor, spans: &[Span]) -> Result<Tensor> {
        let rows: Result<Vec<Tensor>> = spans.iter().map(|s| self.one_row(qkv, pool, s)).collect();
        Tensor::cat(&rows?, 0)
    }

    // qkv [Σtime, row] -> [time, heads·dim] for one span
    fn one_row(&self, qkv: &Tensor, pool: &Tensor, span: &Span) -> Result<Tensor> {
        let HeadShape { heads, kv_heads, dim } = self.shape;
        let time = span.rows.len();
        let own = qkv.narrow(0, span.rows.start, time)?;
        let weights = self.weights(&own, pool, span)?;
        let weights = weights.reshape((kv_heads, heads / kv_heads * time, span.seen()))?;
        let [_, v] = gather(pool, self.shape, span)?;
        let mixed = weights.matmul(&v)?.reshape((heads, time, dim))?;
        mixed.transpose(0, 1)?.contiguous()?.reshape((time, heads * dim))
    }

    /// Attention weights of a span's queries, with candle operations on every device: for reading, not for serving.
    // qkv [time, row] of one span -> [heads, time, seen]
    pub(crate) fn weights(&self, qkv: &Tensor, pool: &Tensor, span: &Span) -> Result<Tensor> {
        let HeadShape { heads, kv_heads, dim } = self.shape;
        let (time, seen) = (span.rows.len(), span.seen());
        // [kv_heads, groups·time, dim] · [kv_heads, dim, seen]
        let q = qkv.narrow(1, 0, self.shape.q())?.contiguous()?.reshape((time, heads, dim))?;
        let q =
            q.transpose(0, 1)?.contiguous()?.reshape((kv_heads, heads / kv_heads * time, dim))?;
        let [k, _] = gather(pool, self.shape, span)?;
        let mut scores = (q.matmul(&k.t()?)? * f64::from(self.scale))?;
        if let Some(cap) = self.softcap.map(f64::from) {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let scores = scores.reshape((heads, time, seen))?;
        let scores = scores.broadcast_add(&self.mask(span, scores.device())?)?;
        candle_nn::ops::softmax(&scores, D::Minus1)
    }

    // -> [time, seen], 0 where a query sees a key and -inf elsewhere
    fn mask(&self, span: &Span, device: &candle_core::Device) -> Result<Tensor> {
        let (time, seen) = (span.rows.len(), span.seen());
        let mut mask = vec![f32::NEG_INFINITY; time * seen];
        for (t, row) in mask.chunks_mut(seen).enumerate() {
            row[self.visible(span.start + t)].fill(0.0);
        }
        Tensor::from_vec(mask, (time, seen), device)
    }

    /// The positions a query at `position` sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let oldest = self.window.map_or(0, |w| (position + 1).saturating_sub(w));
        oldest..position + 1
    }
}

struct Paged<'a> {
    rules: &'a Attention,
    spans: &'a [Span],
}

impl CustomOp2 for Paged<'_> {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    // qkv [Σtime, row], pool [blocks, 2, kv_heads, dim·BLOCK_LEN] -> [Σtime, heads·dim]
    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        pool: &CpuStorage,
        pool_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let shape = self.rules.shape;
        self.check(rows, width, pool_layout)?;
        let (qkv, pool) = (values(qkv, layout)?, values(pool, pool_layout)?);
        let bunches = self.bunches();
        let mut mixed = vec![0f32; rows * shape.q()];
        let result = Parts::of(&mut mixed);
        // One task per bunch of queries and query head.
        pool::global().run(bunches.len() * shape.heads, &|task| {
            let (span, rows) = &bunches[task / shape.heads];
            let head = task % shape.heads;
            let bunch = Bunch { rules: self.rules, span, rows: rows.clone(), head, qkv, pool };
            simd::on_widest_unit(Run { bunch, result: &result });
        });
        Ok((CpuStorage::F32(mixed), Shape::from((rows, shape.q()))))
    }
}

impl<'a> Paged<'a> {
    /// Every span's rows, at most `QUERIES` together.
    fn bunches(&self) -> Vec<(&'a Span, Range<usize>)> {
        let of_span = |span: &'a Span| {
            let starts = span.rows.clone().step_by(QUERIES);
            starts.map(move |from| (span, from..span.rows.end.min(from + QUERIES)))
        };
        self.spans.iter().flat_map(of_span).collect()
    }

    /// Refuses spans that would read outside the pool or leave a packed row without its span.
    fn check(&self, rows: usize, width: usize, pool: &Layout) -> Result<()> {
        let shape = self.rules.shape;
        let blocks = pool.dims().first().copied().unwrap_or(0);
        let mut next = 0;
        for span in self.spans {
            if span.rows.start != next || !span.fits(blocks) {
                candle_core::bail!("attention span {span:?} does not fit its cache");
            }
            next = span.rows.end;
        }
        let size = pool.shape().elem_count();
        if next != rows || width != shape.row() || size != blocks * 2 * shape.kv() * BLOCK_LEN {
            candle_core::bail!("attention over {rows} rows of {width}");
        }
        Ok(())
    }
}

/// A few queries of one span and one query head.
struct Bunch<'a> {
    rules: &'a Attention,
    span: &'a Span,
    /// Packed rows.
    rows: Range<usize>,
    head: usize,
    qkv: &'a [f32],
    pool: &'a [f32],
}

struct Run<'a> {
    bunch: Bunch<'a>,
    result: &'a Parts<'a, f32>,
}

impl Task for Run<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Run { bunch, result } = self;
        // A full bunch shares its loads; what is left goes alone, with the same operations per query.
        if bunch.rows.len() == QUERIES {
            bunch.attend::<FMA, QUERIES>(bunch.rows.start, result);
            return;
        }
        for row in bunch.rows.clone() {
            bunch.attend::<FMA, 1>(row, result);
        }
    }
}

impl Bunch<'_> {
    #[inline(always)]
    fn attend<const FMA: bool, const N: usize>(&self, first: usize, result: &Parts<f32>) {
        let shape = self.rules.shape;
        let position = self.span.start + first - self.span.rows.start;
        let visible: [Range<usize>; N] = std::array::from_fn(|i| self.rules.visible(position + i));
        // From the block of the oldest position anybody sees to the newest one's.
        let from = visible[0].start / BLOCK_LEN;
        let blocks = &self.span.blocks[from..(position + N).div_ceil(BLOCK_LEN)];
        let mut scores = vec![[0f32; LANES]; N * blocks.len()];
        let q: [&[f32]; N] = std::array::from_fn(|i| self.query(first + i));
        for (b, block) in blocks.iter().enumerate() {
            let lanes = score::<FMA, N>(&q, self.part(*block, 0));
            for (i, lanes) in lanes.into_iter().enumerate() {
                scores[i * blocks.len() + b] = lanes;
            }
        }
        for (seen, scores) in visible.iter().zip(scores.chunks_mut(blocks.len())) {
            let seen = seen.start - from * BLOCK_LEN..seen.end - from * BLOCK_LEN;
            softmax::<FMA>(self.rules, scores, seen);
        }
        let needed = position + N - from * BLOCK_LEN;
        // SAFETY: a task has its own rows and head, and its queries have different rows.
        let outs = std::array::from_fn(|i| unsafe {
            result.part((first + i) * shape.q() + self.head * shape.dim, shape.dim)
        });
        self.mix::<FMA, N>(blocks, needed, &scores, outs);
    }

    fn query(&self, row: usize) -> &[f32] {
        let shape = self.rules.shape;
        let at = row * shape.row() + self.head * shape.dim;
        &self.qkv[at..at + shape.dim]
    }

    /// Keys (0) or values (1) of this head's group in one block, `[dim·BLOCK_LEN]`.
    fn part(&self, block: u32, which: usize) -> &[f32] {
        let HeadShape { heads, kv_heads, dim } = self.rules.shape;
        let group = self.head / (heads / kv_heads);
        let at = ((block as usize * 2 + which) * kv_heads + group) * dim * BLOCK_LEN;
        &self.pool[at..at + dim * BLOCK_LEN]
    }

    /// Adds the first `needed` values times their weights, 16 dimensions at a time.
    #[inline(always)]
    fn mix<const FMA: bool, const N: usize>(
        &self,
        blocks: &[u32],
        needed: usize,
        weights: &[[f32; LANES]],
        mut outs: [&mut [f32]; N],
    ) {
        let dim = self.rules.shape.dim;
        for from in (0..dim).step_by(LANES) {
            let width = LANES.min(dim - from);
            let mut sums = [[0f32; LANES]; N];
            // Slots behind the newest query are nobody's yet: even a weight of 0 would spread a NaN.
            for position in 0..needed {
                let (b, j) = (position / BLOCK_LEN, position % BLOCK_LEN);
                let at = j * dim + from;
                let value = lanes_of(&self.part(blocks[b], 1)[at..at + width]);
                for (i, sums) in sums.iter_mut().enumerate() {
                    add_scaled::<FMA>(weights[i * blocks.len() + b][j], &value, sums);
                }
            }
            for (out, sums) in outs.iter_mut().zip(&sums) {
                out[from..from + width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

#[inline(always)]
fn add_scaled<const FMA: bool>(factor: f32, lanes: &[f32; LANES], sums: &mut [f32; LANES]) {
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum = simd::multiply_add::<FMA>(factor, *lane, *sum);
    }
}

/// Up to sixteen values; zeros where a head is narrower.
#[inline(always)]
fn lanes_of(values: &[f32]) -> [f32; LANES] {
    match values.as_chunks::<LANES>().0 {
        [all] => *all,
        _ => {
            let mut lanes = [0f32; LANES];
            lanes[..values.len()].copy_from_slice(values);
            lanes
        }
    }
}

/// q·k of N queries with the 16 keys of a block, one dimension after another.
// q [dim] each, keys [dim, BLOCK_LEN]
#[inline(always)]
fn score<const FMA: bool, const N: usize>(q: &[&[f32]; N], keys: &[f32]) -> [[f32; LANES]; N] {
    let mut sums = [[0f32; LANES]; N];
    for (d, keys) in keys.as_chunks::<LANES>().0.iter().enumerate() {
        for i in 0..N {
            let q = q[i][d];
            for l in 0..LANES {
                sums[i][l] = simd::multiply_add::<FMA>(q, keys[l], sums[i][l]);
            }
        }
    }
    sums
}

/// Turns scores into weights: 0 outside `seen`, a distribution inside.
#[inline(always)]
fn softmax<const FMA: bool>(rules: &Attention, scores: &mut [[f32; LANES]], seen: Range<usize>) {
    let mut most = [f32::NEG_INFINITY; LANES];
    for (b, lanes) in scores.iter_mut().enumerate() {
        for (l, score) in lanes.iter_mut().enumerate() {
            let scaled = *score * rules.scale;
            let scaled = rules.softcap.map_or(scaled, |cap| cap * (scaled / cap).tanh());
            // A select, not a sum: what lies in slots nobody has written is never calculated with.
            *score = if seen.contains(&(b * LANES + l)) { scaled } else { f32::NEG_INFINITY };
            most[l] = most[l].max(*score);
        }
    }
    let most = most.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = [0f32; LANES];
    for lanes in scores.iter_mut() {
        for (score, total) in lanes.iter_mut().zip(&mut total) {
            *score = math::exp::<FMA>(*score - most);
            *total += *score;
        }
    }
    let inverse = 1.0 / simd::sum_lanes(total);
    scores.iter_mut().flatten().for_each(|score| *score *= inverse);
}

#[cfg(test)]
mod tests {
    use super::super::blocks::store;
    use super::*;
    use candle_core::{DType, Device};
    use std::sync::Arc;

    fn wave(rows: usize, columns: usize, pace: f32) -> Tensor {
        let values = (0..rows * columns).map(|i| (i as f32 * pace).sin()).collect::<Vec<f32>>();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn rules(window: Option<usize>, softcap: Option<f32>) -> Attention {
        let shape = HeadShape { heads: 6, kv_heads: 2, dim: 20 };
        Attention { shape, scale: 0.4, softcap, window }
    }

    /// A pool with 45 positions in blocks 3, 0, 5 and 9 in blocks 1, and the spans that continue them.
    fn scene(rules: &Attention) -> (Tensor, Vec<Span>) {
        let shape = rules.shape;
        let size = (6, 2, shape.kv_heads, shape.dim * BLOCK_LEN);
        // Slots nobody has written hold NaN: reading one would show.
        let pool = Tensor::full(f32::NAN, size, &Device::Cpu).unwrap().contiguous().unwrap();
        let blocks: [Arc<[u32]>; 2] = [Arc::from([3u32, 0, 5]), Arc::from([1u32])];
        for (i, (blocks, len)) in blocks.iter().zip([48, 12]).enumerate() {
            let span = Span { rows: 0..len, start: 0, blocks: blocks.clone() };
            store(&pool, &wave(len, shape.row(), 0.3 + i as f32), shape, &[span]).unwrap();
        }
        let [first, second] = blocks;
        let spans = vec![
            Span { rows: 0..37, start: 8, blocks: first },
            Span { rows: 37..38, start: 9, blocks: second },
        ];
        (pool, spans)
    }

    #[test]
    fn agrees_with_candle_over_scattered_blocks() {
        for (window, softcap) in [(None, None), (Some(3), None), (Some(20), Some(2.0))] {
            let rules = rules(window, softcap);
            let (pool, spans) = scene(&rules);
            let qkv = wave(38, rules.shape.row(), 0.7);
            let ours = rules.forward(&qkv, &pool, &spans).unwrap();
            let theirs = rules.forward_with_candle(&qkv, &pool, &spans).unwrap();
            let gap = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f32>().unwrap() < 1e-5, "{window:?} {softcap:?}");
        }
        assert_eq!(DType::F32.size_in_bytes(), 4);
    }

    #[test]
    fn a_query_has_the_same_bits_alone_and_in_a_bunch() {
        let rules = rules(Some(18), None);
        let (pool, spans) = scene(&rules);
        let qkv = wave(38, rules.shape.row(), 0.7);
        let together = rules.forward(&qkv, &pool, &spans).unwrap().to_vec2::<f32>().unwrap();
        for (row, expected) in together.iter().take(37).enumerate() {
            let one = qkv.narrow(0, row, 1).unwrap();
            let span = Span { rows: 0..1, start: 8 + row, blocks: spans[0].blocks.clone() };
            let alone = rules.forward(&one, &pool, &[span]).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(&alone[0], expected, "row {row}");
        }
    }
}
