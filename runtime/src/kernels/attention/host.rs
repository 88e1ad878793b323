//! Attention on the CPU, on host slices: what is calculated where, and by which thread.
#![allow(unsafe_code)] // tasks write disjoint parts of one slice; each block says why it is sound

use super::super::blocks::{self, Piece, Span};
use super::super::qk_norm_rope::{Angles, HeadNorms, HeadShape, Preparation, RopeTable};
use super::super::simd::{self, LANES, Task};
use super::super::threads::{self, Parts};
use super::super::values;
use super::scratch::{self, Found, ROWS, Room};
use super::tile::{Job, Tile, Unit};
use super::{Attention, Element};
use crate::kernels::blocks::BLOCK_LEN;
use candle_core::{
    CpuStorage, CustomOp2, InplaceOp1, Layout, Result, Shape, Tensor, bail as refuse,
};
use std::cell::Cell;
use std::ops::Range;

/// Rows from which preparing them is worth waking the other threads.
const MANY_ROWS: usize = 8;
/// Fewer tiles per thread than this are cut into chunks.
const FEW_TILES: usize = 4;
/// Parts per thread that so few tiles are cut into.
const PARTS: usize = 8;
/// From so many portions per thread on, a task has several.
const MANY_PORTIONS: usize = 16;
/// Portions of such a task.
const RUN: usize = 3;

/// What lies between a block's projections and its attention.
#[derive(Clone, Copy)]
pub(crate) struct HeadStep<'a> {
    /// Norms of queries and keys.
    pub norms: Option<&'a HeadNorms>,
    /// Rotation.
    pub table: &'a RopeTable,
    /// Absolute position of every packed row.
    pub positions: &'a [u32],
    /// The rows' caches.
    pub spans: &'a [Span],
}

impl Attention {
    /// One block's attention on the CPU: norms and rotates queries and keys in place, stores keys and values, attends.
    // qkv [Σtime, row] (changed), pool [blocks, 2, kv_heads, dim·BLOCK_LEN] -> out [Σtime, heads·dim]
    pub(crate) fn on_host(
        &self,
        step: HeadStep<'_>,
        pool: &Tensor,
        qkv: &mut [f32],
        out: &mut [f32],
    ) -> Result<()> {
        Angles::read(step.table, |angles| {
            let how = Preparation { shape: self.shape, norms: step.norms, angles };
            how.check(qkv.len(), step.positions)?;
            let rows = Cell::new(Some((qkv, out)));
            pool.inplace_op1(&Serve { step: Step { rules: self, step, how }, rows })
        })
    }

    /// Refuses spans that would read outside the pool or leave a packed row without its span.
    fn check(&self, spans: &[Span], sizes: [usize; 2], pool: &Layout) -> Result<()> {
        let [rows, out] = sizes;
        let blocks = pool.dims().first().copied().unwrap_or(0);
        let mut next = 0;
        for span in spans {
            if span.rows.start != next || span.rows.end < next || !span.fits(blocks) {
                refuse!("attention span {span:?} does not fit its cache");
            }
            next = span.rows.end;
        }
        let fits = pool.shape().elem_count() == blocks * 2 * self.shape.kv() * BLOCK_LEN;
        if rows != next * self.shape.row() || out != next * self.shape.q() || !fits {
            refuse!("attention over {next} rows with {rows} values and room for {out}");
        }
        if !pool.is_contiguous() || pool.start_offset() != 0 {
            refuse!("attention over a part of a pool: {pool:?}");
        }
        Ok(())
    }
}

struct Serve<'a> {
    step: Step<'a>,
    /// `[Σtime, row]` and `[Σtime, heads·dim]`, taken when the operation runs.
    rows: Cell<Option<(&'a mut [f32], &'a mut [f32])>>,
}

impl InplaceOp1 for Serve<'_> {
    fn name(&self) -> &'static str {
        "attention-on-host"
    }

    // pool [blocks, 2, kv_heads, dim·BLOCK_LEN]
    fn cpu_fwd(&self, pool: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let Some((qkv, out)) = self.rows.take() else { refuse!("attention has run already") };
        let Step { rules, step, .. } = &self.step;
        rules.check(step.spans, [qkv.len(), out.len()], layout)?;
        match pool {
            CpuStorage::F32(pool) => self.step.serve(pool, qkv, out),
            CpuStorage::F16(pool) => self.step.serve(pool, qkv, out),
            _ => refuse!("the pool holds neither f32 nor f16"),
        }
    }
}

#[derive(Clone, Copy)]
struct Step<'a> {
    rules: &'a Attention,
    step: HeadStep<'a>,
    how: Preparation<'a>,
}

impl Step<'_> {
    // pool [blocks, 2, kv_heads, dim·BLOCK_LEN], qkv [Σtime, row] -> out [Σtime, heads·dim]
    fn serve<E: Element>(&self, pool: &mut [E], qkv: &mut [f32], out: &mut [f32]) -> Result<()> {
        self.store(pool, qkv)?;
        let job = Job { rules: self.rules, unit: Unit::best(), qkv, pool };
        attend(job, self.step.spans, out);
        Ok(())
    }

    // pool [blocks, 2, kv_heads, dim·BLOCK_LEN], qkv [Σtime, row], prepared here
    fn store<E: Element>(&self, pool: &mut [E], qkv: &mut [f32]) -> Result<()> {
        let shape = self.rules.shape;
        let width = shape.row();
        let pieces: Vec<Piece> = self.step.spans.iter().flat_map(Span::pieces).collect();
        each_once(&pieces)?;
        let many = self.step.positions.len() >= MANY_ROWS;
        let (pool, qkv) = (Parts::of(pool), Parts::of(qkv));
        let task = |i: usize| {
            let Piece { rows, block, .. } = &pieces[i];
            let size = 2 * shape.kv() * BLOCK_LEN;
            // SAFETY: a piece has its own rows, and `each_once` has seen that it has its own block.
            let (rows_of, block) = unsafe {
                (
                    qkv.part(rows.start * width, rows.len() * width),
                    pool.part(*block as usize * size, size),
                )
            };
            self.how.rows(rows_of, &self.step.positions[rows.clone()]);
            blocks::put(shape, block, &pieces[i], rows_of);
        };
        if many {
            threads::global().run(pieces.len(), &task)
        } else {
            (0..pieces.len()).for_each(task)
        }
        Ok(())
    }
}

/// Refuses a block that two sequences would write.
fn each_once(pieces: &[Piece]) -> Result<()> {
    let mut blocks: Vec<u32> = pieces.iter().map(|p| p.block).collect();
    blocks.sort_unstable();
    match blocks.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => refuse!("block {} would be written by two sequences", pair[0]),
        None => Ok(()),
    }
}

/// Attention of rows whose keys are stored, with the result as a new tensor.
pub(super) struct Paged<'a> {
    pub rules: &'a Attention,
    pub spans: &'a [Span],
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
        let Paged { rules, spans } = *self;
        let (rows, _) = layout.shape().dims2()?;
        let qkv = values(qkv, layout)?;
        let mut out = vec![0f32; rows * rules.shape.q()];
        rules.check(spans, [qkv.len(), out.len()], pool_layout)?;
        let unit = Unit::best();
        match pool {
            CpuStorage::F32(pool) => attend(Job { rules, unit, qkv, pool }, spans, &mut out),
            CpuStorage::F16(pool) => attend(Job { rules, unit, qkv, pool }, spans, &mut out),
            _ => refuse!("the pool holds neither f32 nor f16"),
        }
        Ok((CpuStorage::F32(out), Shape::from((rows, rules.shape.q()))))
    }
}

/// A tile, or some chunks of one.
struct Portion {
    tile: usize,
    chunks: Range<usize>,
    /// Where what it finds is kept, chunk by chunk; `None` if it is the whole tile.
    slot: Option<usize>,
}

// -> out [Σtime, heads·dim]
pub(super) fn attend<E: Element>(job: Job<'_, E>, spans: &[Span], out: &mut [f32]) {
    let tiles = tiles(job.rules.shape, spans);
    let (portions, slots) = portions(job.rules, &tiles, threads::global().threads());
    let size = ROWS * job.rules.shape.dim + 2 * LANES;
    let mut found = vec![0f32; slots * size];
    let (out, kept) = (Parts::of(out), Parts::of(&mut found));
    let places = Places { out: &out, kept: &kept, size };
    // A few tiles in a row: while one is finished, what the next one reads first is fetched.
    let run = if portions.len() >= MANY_PORTIONS * threads::global().threads() { RUN } else { 1 };
    let run = run.max(portions.len().div_ceil(threads::MOST_TASKS));
    threads::global().run(portions.len().div_ceil(run), &|task| {
        let end = portions.len().min((task + 1) * run);
        for i in task * run..end {
            let portion = &portions[i];
            let next = (i + 1 < end).then(|| &tiles[portions[i + 1].tile]);
            let tile = &tiles[portion.tile];
            simd::on_widest_unit(Visit { job, tile, portion, next, places });
        }
    });
    // Chunks that were kept are joined in their order, whichever task found them.
    let mut rest = portions.iter().filter(|p| p.slot.is_some()).peekable();
    while let Some(first) = rest.next() {
        let mut end = first.chunks.end;
        while let Some(more) = rest.next_if(|more| more.tile == first.tile) {
            end = more.chunks.end;
        }
        let whole = Portion { tile: first.tile, chunks: first.chunks.start..end, slot: first.slot };
        simd::on_widest_unit(Join { job, tile: &tiles[first.tile], portion: &whole, places });
    }
}

/// Every span's rows and every head, in tiles of at most `ROWS`.
fn tiles(shape: HeadShape, spans: &[Span]) -> Vec<Tile<'_>> {
    let per_group = shape.heads / shape.kv_heads;
    let heads = per_group.min(ROWS);
    let queries = ROWS / heads;
    let mut tiles = Vec::new();
    for span in spans {
        for group in 0..shape.kv_heads {
            let group = group * per_group..(group + 1) * per_group;
            for head in group.clone().step_by(heads) {
                let heads = head..group.end.min(head + heads);
                tiles.extend(span.rows.clone().step_by(queries).map(|first| Tile {
                    span,
                    queries: first..span.rows.end.min(first + queries),
                    heads: heads.clone(),
                }));
            }
        }
    }
    tiles
}

/// Work for the threads, and how many chunks have to be kept for joining.
fn portions(rules: &Attention, tiles: &[Tile], threads: usize) -> (Vec<Portion>, usize) {
    let chunks = || tiles.iter().map(|t| t.chunks(rules));
    let few = threads > 1 && tiles.len() < FEW_TILES * threads;
    let all: usize = if few { chunks().map(|c| c.len()).sum() } else { 0 };
    let step = if few { all.div_ceil(PARTS * threads).max(1) } else { usize::MAX };
    let mut portions = Vec::with_capacity(tiles.len());
    let mut slots = 0;
    for (tile, chunks) in chunks().enumerate() {
        if chunks.len() <= step {
            portions.push(Portion { tile, chunks, slot: None });
            continue;
        }
        for from in chunks.clone().step_by(step) {
            let chunks = from..chunks.end.min(from + step);
            let slot = Some(slots);
            slots += chunks.len();
            portions.push(Portion { tile, chunks, slot });
        }
    }
    (portions, slots)
}

#[derive(Clone, Copy)]
struct Places<'a> {
    /// `[Σtime, heads·dim]`
    out: &'a Parts<'a, f32>,
    /// Slots of `size`: largest scores, sums of weights, weighted values.
    kept: &'a Parts<'a, f32>,
    size: usize,
}

struct Visit<'a, E> {
    job: Job<'a, E>,
    tile: &'a Tile<'a>,
    portion: &'a Portion,
    /// The tile that comes after it.
    next: Option<&'a Tile<'a>>,
    places: Places<'a>,
}

impl<E: Element> Task for Visit<'_, E> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Visit { job, tile, portion, next, places } = self;
        let mut room = scratch::take();
        job.pack(tile, &mut room.panel);
        room.sum.clear(tile.rows() * job.rules.shape.dim);
        for (i, chunk) in portion.chunks.clone().enumerate() {
            let last = chunk + 1 == portion.chunks.end;
            let after = if last { next.map(|t| (t, t.chunks(job.rules).start)) } else { None };
            job.visit::<FMA>(tile, chunk, after.unwrap_or((tile, chunk + 1)), &mut room);
            let Some(slot) = portion.slot else {
                let Room { sum, chunk: new, .. } = &mut *room;
                job.join::<FMA>(tile, chunk, sum, new);
                continue;
            };
            // SAFETY: every chunk of every tile has its own slot.
            let place = unsafe { places.kept.part((slot + i) * places.size, places.size) };
            keep(&room.chunk, place);
        }
        if portion.slot.is_none() {
            // SAFETY: a tile has its own queries and heads, and is one task.
            unsafe { job.write(tile, &room.sum, places.out) };
        }
        scratch::give_back(room);
    }
}

struct Join<'a, E> {
    job: Job<'a, E>,
    tile: &'a Tile<'a>,
    portion: &'a Portion,
    places: Places<'a>,
}

impl<E: Element> Task for Join<'_, E> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Join { job, tile, portion, places } = self;
        let values = tile.rows() * job.rules.shape.dim;
        let mut room = scratch::take();
        let Room { sum, chunk: new, .. } = &mut *room;
        sum.clear(values);
        for (slot, chunk) in (portion.slot.unwrap_or(0)..).zip(portion.chunks.clone()) {
            // SAFETY: the tasks that wrote the slots are done.
            let place = unsafe { places.kept.part(slot * places.size, places.size) };
            recall(place, values, new);
            job.join::<FMA>(tile, chunk, sum, new);
        }
        // SAFETY: a tile has its own queries and heads, and is joined by one task.
        unsafe { job.write(tile, sum, places.out) };
        scratch::give_back(room);
    }
}

fn keep(found: &Found, place: &mut [f32]) {
    let (state, mixed) = place.split_at_mut(2 * LANES);
    state[..LANES].copy_from_slice(&found.most);
    state[LANES..].copy_from_slice(&found.total);
    mixed[..found.mixed.len()].copy_from_slice(&found.mixed);
}

fn recall(place: &[f32], values: usize, found: &mut Found) {
    let (state, mixed) = place.split_at(2 * LANES);
    found.most.copy_from_slice(&state[..LANES]);
    found.total.copy_from_slice(&state[LANES..]);
    found.mixed.clear();
    found.mixed.extend_from_slice(&mixed[..values]);
}
