//! One tile: a few queries of one span under the heads that share a key–value head, chunk after chunk.
#![allow(unsafe_code)] // the AVX-512 functions are called where they can run; the blocks say why

use super::super::blocks::Span;
use super::super::math;
use super::super::qk_norm_rope::HeadShape;
use super::super::simd::{self, LANES, multiply_add};
use super::super::threads::Parts;
#[cfg(target_arch = "x86_64")]
use super::super::wide::Avx512;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::scratch::{CHUNK, CHUNK_BLOCKS, Found, PANEL, ROWS, Room, Share, Start};
use super::{Attention, Element, lanes};
use crate::kernels::blocks::BLOCK_LEN;
use std::ops::Range;

/// What computes scores and weighted sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Lanes the compiler vectorises.
    Lanes,
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Unit {
    /// The fastest this CPU has.
    pub(super) fn best() -> Unit {
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = Avx512::detect() {
            return Unit::Avx512(unit);
        }
        Unit::Lanes
    }
}

/// What the tiles of one call share.
#[derive(Clone, Copy)]
pub(super) struct Job<'a, E> {
    pub rules: &'a Attention,
    pub unit: Unit,
    /// `[Σtime, row]`
    pub qkv: &'a [f32],
    /// `[blocks, 2, kv_heads, dim·BLOCK_LEN]`
    pub pool: &'a [E],
}

/// Queries of one span and heads of one group. A row of a tile is a query's head; a query's heads are neighbours.
#[derive(Debug, Clone)]
pub(super) struct Tile<'a> {
    pub span: &'a Span,
    /// Packed rows.
    pub queries: Range<usize>,
    pub heads: Range<usize>,
}

impl Tile<'_> {
    pub(super) fn rows(&self) -> usize {
        self.queries.len() * self.heads.len()
    }

    fn position(&self, query: usize) -> usize {
        self.span.start + query - self.span.rows.start
    }

    /// The chunks that hold what its queries see.
    pub(super) fn chunks(&self, rules: &Attention) -> Range<usize> {
        let oldest = rules.visible(self.position(self.queries.start)).start;
        oldest / CHUNK..(self.position(self.queries.end)).div_ceil(CHUNK)
    }

    /// What each query sees of a chunk, counted from its first key.
    fn seen(&self, rules: &Attention, chunk: usize) -> [Range<usize>; ROWS] {
        let inside = |position: usize| position.saturating_sub(chunk * CHUNK).min(CHUNK);
        std::array::from_fn(|i| {
            if i >= self.queries.len() {
                return 0..0;
            }
            let visible = rules.visible(self.position(self.queries.start + i));
            inside(visible.start)..inside(visible.end)
        })
    }
}

/// What a tile reads of one chunk, and what it reads after it.
struct Blocks<'a, E> {
    keys: [&'a [E]; CHUNK_BLOCKS],
    values: [&'a [E]; CHUNK_BLOCKS],
    next: [&'a [E]; CHUNK_BLOCKS],
}

impl<E: Element> Job<'_, E> {
    /// Lays out a tile's queries, scaled.
    // -> panel [dim / PANEL, rows, PANEL]
    #[inline(always)]
    pub(super) fn pack(&self, tile: &Tile, panel: &mut Vec<f32>) {
        let HeadShape { dim, .. } = self.rules.shape;
        let (rows, width) = (tile.rows(), self.rules.shape.row());
        panel.resize(dim.div_ceil(PANEL) * rows * PANEL, 0.0);
        for (i, query) in tile.queries.clone().enumerate() {
            for (h, head) in tile.heads.clone().enumerate() {
                let q = &self.qkv[query * width + head * dim..][..dim];
                let row = i * tile.heads.len() + h;
                let places = panel.chunks_exact_mut(PANEL).skip(row).step_by(rows);
                for (place, q) in places.zip(q.chunks(PANEL)) {
                    scaled(q, self.rules.scale, place);
                }
            }
        }
    }

    /// What a tile finds in one chunk, relative to the chunk's own largest scores; what comes `after` it is fetched.
    #[inline(always)]
    pub(super) fn visit<const FMA: bool>(
        &self,
        tile: &Tile,
        chunk: usize,
        (after, its_chunk): (&Tile, usize),
        room: &mut Room,
    ) {
        let dim = self.rules.shape.dim;
        let (rows, per_query) = (tile.rows(), tile.heads.len());
        let seen = tile.seen(self.rules, chunk);
        let seen = &seen[..tile.queries.len()];
        let blocks = Blocks {
            keys: self.blocks(tile, chunk, 0),
            values: self.blocks(tile, chunk, 1),
            next: self.blocks(after, its_chunk, 0),
        };
        let needed = seen.iter().map(|s| s.end).max().unwrap_or(0).div_ceil(BLOCK_LEN);
        let first = seen.iter().map(|s| s.start).min().unwrap_or(0) / BLOCK_LEN;
        room.scores.resize(ROWS * CHUNK, 0.0);
        self.score::<FMA>(rows, &blocks, first..needed, room);
        room.chunk.mixed.resize(rows * dim, 0.0);
        for row in 0..rows {
            let scores = &mut room.scores[row * CHUNK..(row + 1) * CHUNK];
            let scores = scores.as_chunks_mut::<LANES>().0;
            let found = weigh::<FMA>(self.rules.softcap, scores, &seen[row / per_query]);
            (room.chunk.most[row], room.chunk.total[row]) = found;
        }
        self.mix_all::<FMA>(seen, per_query, &blocks, room);
    }

    /// Keys (0) or values (1) of a tile's group in a chunk, block by block; nothing where there is no block.
    #[inline(always)]
    fn blocks(&self, tile: &Tile, chunk: usize, which: usize) -> [&[E]; CHUNK_BLOCKS] {
        let HeadShape { heads, kv_heads, dim } = self.rules.shape;
        let group = tile.heads.start / (heads / kv_heads);
        let mut found: [&[E]; CHUNK_BLOCKS] = [&[]; CHUNK_BLOCKS];
        let blocks = tile.span.blocks.iter().skip(chunk * CHUNK_BLOCKS);
        for (found, block) in found.iter_mut().zip(blocks) {
            let at = ((*block as usize * 2 + which) * kv_heads + group) * dim * BLOCK_LEN;
            *found = &self.pool[at..at + dim * BLOCK_LEN];
        }
        found
    }

    #[inline(always)]
    fn score<const FMA: bool>(
        &self,
        rows: usize,
        blocks: &Blocks<'_, E>,
        needed: Range<usize>,
        room: &mut Room,
    ) {
        let Some(keys) = blocks.keys.get(needed.clone()) else { return };
        let shape = (rows, self.rules.shape.dim);
        let scores = &mut room.scores[needed.start * BLOCK_LEN..];
        match self.unit {
            Unit::Lanes => {
                lanes::score::<E, FMA>(&room.panel, rows, keys, scores, &mut room.wide);
            }
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512(_) => {
                let ahead = &blocks.values[needed];
                // SAFETY: the unit shows that the CPU has it.
                unsafe { avx512::score(&room.panel, shape, [keys, ahead], scores) }
            }
        }
    }

    /// Sums the chunk's weighted values. What a query does not see is never calculated with: even a weight of 0 would
    /// spread a NaN. So queries share the values that all of them see, and read the rest alone.
    #[inline(always)]
    fn mix_all<const FMA: bool>(
        &self,
        seen: &[Range<usize>],
        per_query: usize,
        blocks: &Blocks<'_, E>,
        room: &mut Room,
    ) {
        let rows = |queries: Range<usize>| queries.start * per_query..queries.end * per_query;
        let all = rows(0..seen.len());
        let from = seen.iter().map(|s| s.start).max().unwrap_or(0);
        let to = seen.iter().map(|s| s.end).min().unwrap_or(0);
        let shared = from..to.max(from);
        if !shared.is_empty() && seen.iter().all(|s| s.start == from) {
            self.mix::<FMA>(all, (shared.clone(), Start::Zero), blocks, room);
        } else {
            room.chunk.mixed.fill(0.0);
            for (i, seen) in seen.iter().enumerate() {
                let older = seen.start..seen.end.min(from);
                self.mix::<FMA>(rows(i..i + 1), (older, Start::Sum), blocks, room);
            }
            self.mix::<FMA>(all, (shared.clone(), Start::Sum), blocks, room);
        }
        for (i, seen) in seen.iter().enumerate() {
            let newer = seen.start.max(shared.end)..seen.end;
            self.mix::<FMA>(rows(i..i + 1), (newer, Start::Sum), blocks, room);
        }
    }

    #[inline(always)]
    fn mix<const FMA: bool>(
        &self,
        rows: Range<usize>,
        (positions, start): (Range<usize>, Start),
        blocks: &Blocks<'_, E>,
        room: &mut Room,
    ) {
        if positions.is_empty() {
            return;
        }
        let dim = self.rules.shape.dim;
        let values = &blocks.values[..positions.end.div_ceil(BLOCK_LEN)];
        let weights = &room.scores[rows.start * CHUNK..rows.end * CHUNK];
        let mixed = &mut room.chunk.mixed[rows.start * dim..rows.end * dim];
        let share = Share { weights, values, ahead: &blocks.next, positions, start };
        match self.unit {
            Unit::Lanes => lanes::mix::<E, FMA>(&share, 0, mixed, dim, &mut room.wide),
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512(_) => {
                // SAFETY: the unit shows that the CPU has it.
                unsafe { avx512::mix(&share, mixed, dim) };
                let whole = dim - dim % LANES;
                if whole < dim {
                    lanes::mix::<E, FMA>(&share, whole, mixed, dim, &mut room.wide);
                }
            }
        }
    }

    /// Adds what a chunk gave to what the chunks before it gave, for the queries that see any of it.
    #[inline(always)]
    pub(super) fn join<const FMA: bool>(
        &self,
        tile: &Tile,
        chunk: usize,
        sum: &mut Found,
        new: &Found,
    ) {
        let dim = self.rules.shape.dim;
        let seen = tile.seen(self.rules, chunk);
        let (mut old_factor, mut new_factor) = ([0f32; LANES], [0f32; LANES]);
        let mut most = sum.most;
        for (l, most) in most.iter_mut().enumerate() {
            *most = if new.most[l] > *most { new.most[l] } else { *most };
            old_factor[l] = math::exp::<FMA>(sum.most[l] - *most);
            new_factor[l] = math::exp::<FMA>(new.most[l] - *most);
        }
        let rows = sum.mixed.chunks_exact_mut(dim).zip(new.mixed.chunks_exact(dim)).enumerate();
        for (row, (sums, news)) in rows {
            if seen[row / tile.heads.len()].is_empty() {
                continue;
            }
            // Nothing yet. A chunk that was all NaN has a total, which is NaN, and stays.
            if sum.total[row] == 0.0 {
                (sum.most[row], sum.total[row]) = (new.most[row], new.total[row]);
                sums.copy_from_slice(news);
                continue;
            }
            let (old, fresh) = (old_factor[row], new_factor[row]);
            sum.most[row] = most[row];
            sum.total[row] = multiply_add::<FMA>(new.total[row], fresh, sum.total[row] * old);
            for (sum, new) in sums.iter_mut().zip(news) {
                *sum = multiply_add::<FMA>(*new, fresh, *sum * old);
            }
        }
    }

    /// Writes a tile's rows.
    ///
    /// # Safety
    /// No other task writes or reads them meanwhile.
    // sum [rows, dim] -> out [Σtime, heads·dim]
    #[inline(always)]
    pub(super) unsafe fn write(&self, tile: &Tile, sum: &Found, out: &Parts<f32>) {
        let shape = self.rules.shape;
        let width = tile.heads.len() * shape.dim;
        let per_query = sum.mixed.chunks_exact(width).zip(tile.queries.clone()).enumerate();
        for (i, (sums, query)) in per_query {
            let at = query * shape.q() + tile.heads.start * shape.dim;
            // SAFETY: the caller promises that the rows are its own.
            let outs = unsafe { out.part(at, width) };
            let rows = outs.chunks_exact_mut(shape.dim).zip(sums.chunks_exact(shape.dim));
            for (row, (outs, sums)) in (i * tile.heads.len()..).zip(rows) {
                let inverse = 1.0 / sum.total[row];
                for (out, sum) in outs.iter_mut().zip(sums) {
                    *out = sum * inverse;
                }
            }
        }
    }
}

// x [n] -> out [at least n]
#[inline(always)]
fn scaled(x: &[f32], factor: f32, out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = x * factor);
}

/// Turns a row's scores into weights: 0 outside `seen`, eˢ⁻ᵐ inside. Gives m, the largest score, and their sum.
// scores [blocks, LANES]
#[inline(always)]
pub(super) fn weigh<const FMA: bool>(
    softcap: Option<f32>,
    scores: &mut [[f32; LANES]],
    seen: &Range<usize>,
) -> (f32, f32) {
    let blocks = seen.start / LANES..seen.end.div_ceil(LANES);
    let Some(scores) = scores.get_mut(blocks.clone()) else { return (f32::NEG_INFINITY, 0.0) };
    let mut most = [f32::NEG_INFINITY; LANES];
    for (b, lanes) in (blocks.start..).zip(scores.iter_mut()) {
        if let Some(cap) = softcap {
            lanes.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
        }
        if b * LANES < seen.start || (b + 1) * LANES > seen.end {
            // A select, not a sum: what lies in slots that were not written is never calculated with.
            for (l, score) in lanes.iter_mut().enumerate() {
                let there = seen.contains(&(b * LANES + l));
                *score = if there { *score } else { f32::NEG_INFINITY };
            }
        }
        for (most, score) in most.iter_mut().zip(lanes) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    let most = simd::largest_lane(most);
    let mut total = [0f32; LANES];
    for lanes in scores {
        for (score, total) in lanes.iter_mut().zip(&mut total) {
            *score = math::exp::<FMA>(*score - most);
            *total += *score;
        }
    }
    (most, simd::sum_lanes(total))
}
