//! How keys and values lie in the pool, and how they get there.
//!
//! A block holds 16 positions of every key–value head: keys as `[dim, 16]`, so that one register holds one dimension
//! of 16 keys, and values as `[16, dim]`, so that a weighted sum reads them in a row. A layer's pool is
//! `[blocks, 2, kv_heads, dim·16]`, keys first.

use super::qk_norm_rope::HeadShape;
use super::values;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt as _;
use std::ops::Range;
use std::sync::Arc;

/// How keys and values are kept. They are calculated with as f32.
pub(super) trait Stored: Copy + Send + Sync + 'static {
    /// As they are kept, in their own place or in `room`.
    fn narrow<'a>(values: &'a [f32], room: &'a mut Vec<Self>) -> &'a [Self];
    /// As they are calculated with, in their own place or in `room`.
    fn widen<'a>(stored: &'a [Self], room: &'a mut Vec<f32>) -> &'a [f32];
}

impl Stored for f32 {
    fn narrow<'a>(values: &'a [f32], _: &'a mut Vec<f32>) -> &'a [f32] {
        values
    }

    fn widen<'a>(stored: &'a [f32], _: &'a mut Vec<f32>) -> &'a [f32] {
        stored
    }
}

impl Stored for f16 {
    fn narrow<'a>(values: &'a [f32], room: &'a mut Vec<f16>) -> &'a [f16] {
        room.resize(values.len(), f16::ZERO);
        room.convert_from_f32_slice(values);
        room
    }

    fn widen<'a>(stored: &'a [f16], room: &'a mut Vec<f32>) -> &'a [f32] {
        room.resize(stored.len(), 0.0);
        stored.convert_to_f32_slice(room);
        room
    }
}

/// Positions a block holds.
pub const BLOCK_LEN: usize = 16;

/// Where one row's queries are and where its keys lie.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Its rows in the packed order.
    pub rows: Range<usize>,
    /// Absolute position of its first token.
    pub start: usize,
    /// Pool blocks that hold positions 0, `BLOCK_LEN`, 2·`BLOCK_LEN`, …
    pub blocks: Arc<[u32]>,
}

impl Span {
    /// Positions seen by its last token.
    pub(crate) fn seen(&self) -> usize {
        self.start + self.rows.len()
    }

    /// Its rows, cut where a block ends.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let first = self.start / BLOCK_LEN;
        let blocks = self.blocks.iter().enumerate().skip(first);
        let count = if self.rows.is_empty() { 0 } else { self.seen().div_ceil(BLOCK_LEN) - first };
        blocks.take(count).map(|(i, block)| {
            let from = self.start.max(i * BLOCK_LEN);
            let to = self.seen().min((i + 1) * BLOCK_LEN);
            let rows = self.rows.start + from - self.start..self.rows.start + to - self.start;
            Piece { rows, block: *block, inside: from % BLOCK_LEN }
        })
    }

    /// Whether its blocks hold all its positions and lie in a pool of so many blocks.
    pub(super) fn fits(&self, blocks: usize) -> bool {
        self.seen() <= self.blocks.len() * BLOCK_LEN
            && self.blocks.iter().all(|b| (*b as usize) < blocks)
    }
}

/// Rows of a span whose keys lie in one block.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Packed rows.
    pub rows: Range<usize>,
    pub block: u32,
    /// Slot of the first row.
    pub inside: usize,
}

/// Writes the keys and values of every span's rows.
// pool [blocks, 2, kv_heads, dim·BLOCK_LEN], qkv [Σtime, row]
pub(crate) fn store(pool: &Tensor, qkv: &Tensor, shape: HeadShape, spans: &[Span]) -> Result<()> {
    if pool.device().is_cpu() {
        return pool.inplace_op2(&qkv.contiguous()?, &Store { shape, spans });
    }
    spans.iter().try_for_each(|span| store_with_candle(pool, qkv, shape, span))
}

// as `store`, one span
fn store_with_candle(pool: &Tensor, qkv: &Tensor, shape: HeadShape, span: &Span) -> Result<()> {
    let HeadShape { kv_heads, dim, .. } = shape;
    for Piece { rows, block, inside } in span.pieces() {
        let count = rows.len();
        let new = qkv.narrow(0, rows.start, count)?.to_dtype(pool.dtype())?;
        let part = |from: usize| new.narrow(1, from, shape.kv())?.reshape((count, kv_heads, dim));
        let keys = part(shape.q())?.permute((1, 2, 0))?.contiguous()?;
        let values = part(shape.q() + shape.kv())?.permute((1, 0, 2))?.contiguous()?;
        let place = pool.narrow(0, block as usize, 1)?;
        let keys_at = place.narrow(1, 0, 1)?.reshape((kv_heads, dim, BLOCK_LEN))?;
        let values_at = place.narrow(1, 1, 1)?.reshape((kv_heads, BLOCK_LEN, dim))?;
        keys_at.slice_set(&keys, 2, inside)?;
        values_at.slice_set(&values, 1, inside)?;
    }
    Ok(())
}

// pool [blocks, 2, kv_heads, dim·BLOCK_LEN] -> keys and values [kv_heads, seen, dim] of a span in order
pub(super) fn gather(pool: &Tensor, shape: HeadShape, span: &Span) -> Result<[Tensor; 2]> {
    let HeadShape { kv_heads, dim, .. } = shape;
    let held = span.seen().div_ceil(BLOCK_LEN);
    let index = Tensor::new(&span.blocks[..held], pool.device())?;
    let blocks = pool.index_select(&index, 0)?.to_dtype(DType::F32)?;
    let keys = blocks.narrow(1, 0, 1)?.reshape((held, kv_heads, dim, BLOCK_LEN))?;
    let keys = keys.permute((1, 0, 3, 2))?.reshape((kv_heads, held * BLOCK_LEN, dim))?;
    let values = blocks.narrow(1, 1, 1)?.reshape((held, kv_heads, BLOCK_LEN, dim))?;
    let values = values.permute((1, 0, 2, 3))?.reshape((kv_heads, held * BLOCK_LEN, dim))?;
    let seen = |t: Tensor| t.narrow(1, 0, span.seen())?.contiguous();
    Ok([seen(keys)?, seen(values)?])
}

struct Store<'a> {
    shape: HeadShape,
    spans: &'a [Span],
}

impl InplaceOp2 for Store<'_> {
    fn name(&self) -> &'static str {
        "store-keys-and-values"
    }

    // pool [blocks, 2, kv_heads, dim·BLOCK_LEN], qkv [Σtime, row]
    fn cpu_fwd(
        &self,
        pool: &mut CpuStorage,
        pool_layout: &Layout,
        qkv: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let (time, width) = layout.shape().dims2()?;
        let blocks = pool_layout.dims().first().copied().unwrap_or(0);
        let fits = |s: &Span| s.fits(blocks) && s.rows.end <= time;
        if width != self.shape.row() || !self.spans.iter().all(fits) {
            candle_core::bail!("keys of {time} rows of {width} do not fit their caches");
        }
        let qkv = values(qkv, layout)?;
        match pool {
            CpuStorage::F32(pool) => self.put_all(pool, qkv),
            CpuStorage::F16(pool) => self.put_all(pool, qkv),
            _ => candle_core::bail!("the pool holds neither f32 nor f16"),
        }
        Ok(())
    }
}

impl Store<'_> {
    // pool [blocks, 2, kv_heads, dim·BLOCK_LEN], qkv [Σtime, row]
    fn put_all<E: Stored>(&self, pool: &mut [E], qkv: &[f32]) {
        let size = 2 * self.shape.kv() * BLOCK_LEN;
        let width = self.shape.row();
        for piece in self.spans.iter().flat_map(Span::pieces) {
            let block = &mut pool[piece.block as usize * size..(piece.block as usize + 1) * size];
            put(self.shape, block, &piece, &qkv[piece.rows.start * width..piece.rows.end * width]);
        }
    }
}

// block [2, kv_heads, dim·BLOCK_LEN], rows [piece, row]
pub(super) fn put<E: Stored>(shape: HeadShape, block: &mut [E], piece: &Piece, rows: &[f32]) {
    let HeadShape { kv_heads, dim, .. } = shape;
    let (keys_at, values_at) = block.split_at_mut(shape.kv() * BLOCK_LEN);
    let mut room = Vec::new();
    for (row, inside) in rows.chunks_exact(shape.row()).zip(piece.inside..) {
        let (keys, values) = E::narrow(&row[shape.q()..], &mut room).split_at(shape.kv());
        for head in 0..kv_heads {
            let key = &keys[head * dim..(head + 1) * dim];
            let at = &mut keys_at[head * dim * BLOCK_LEN..(head + 1) * dim * BLOCK_LEN];
            for (line, k) in at.as_chunks_mut::<BLOCK_LEN>().0.iter_mut().zip(key) {
                line[inside] = *k;
            }
            let at = (head * BLOCK_LEN + inside) * dim;
            values_at[at..at + dim].copy_from_slice(&values[head * dim..(head + 1) * dim]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn what_is_stored_is_gathered_in_order_either_way() {
        let shape = HeadShape { heads: 2, kv_heads: 2, dim: 3 };
        let qkv: Vec<f32> = (0..20 * shape.row()).map(|i| i as f32).collect();
        let qkv = Tensor::from_vec(qkv, (20, shape.row()), &Device::Cpu).unwrap();
        let spans = [
            Span { rows: 0..12, start: 10, blocks: Arc::from([3u32, 0]) },
            Span { rows: 12..20, start: 0, blocks: Arc::from([2u32]) },
        ];
        let pool = || Tensor::zeros((4, 2, 2, 3 * BLOCK_LEN), DType::F32, &Device::Cpu).unwrap();
        let (ours, theirs) = (pool(), pool());
        store(&ours, &qkv, shape, &spans).unwrap();
        spans.iter().for_each(|s| store_with_candle(&theirs, &qkv, shape, s).unwrap());
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&ours), flat(&theirs));
        let [keys, values] = gather(&ours, shape, &spans[0]).unwrap();
        let expected = |from: usize| {
            let part = qkv.narrow(0, 0, 12).unwrap().narrow(1, from, 6).unwrap();
            flat(&part.reshape((12, 2, 3)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap())
        };
        let written = |t: Tensor| flat(&t.narrow(1, 10, 12).unwrap().contiguous().unwrap());
        assert_eq!(written(keys), expected(6));
        assert_eq!(written(values), expected(12));
    }

    #[test]
    fn a_span_outside_its_cache_is_refused() {
        let shape = HeadShape { heads: 1, kv_heads: 1, dim: 2 };
        let qkv = Tensor::zeros((17, shape.row()), DType::F32, &Device::Cpu).unwrap();
        let pool = Tensor::zeros((1, 2, 1, 32), DType::F32, &Device::Cpu).unwrap();
        for blocks in [[0u32], [1]] {
            let spans = [Span { rows: 0..17, start: 0, blocks: Arc::from(blocks) }];
            assert!(store(&pool, &qkv, shape, &spans).is_err());
        }
    }
}
