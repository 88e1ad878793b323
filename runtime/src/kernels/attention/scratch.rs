//! Working memory of a tile: kept by each thread, so that a decode step allocates nothing for it.

use super::super::simd::LANES;
use crate::kernels::blocks::BLOCK_LEN;
use std::cell::Cell;
use std::ops::Range;

/// The most rows, of one query and one head each, that share the loads of keys and values.
pub(super) const ROWS: usize = 12;
/// Blocks of one chunk.
pub(super) const CHUNK_BLOCKS: usize = 8;
/// Keys of one chunk.
pub(super) const CHUNK: usize = CHUNK_BLOCKS * BLOCK_LEN;
/// Dimensions of a query that lie together in a panel: a constant distance between rows is an address the CPU adds
/// up by itself.
pub(super) const PANEL: usize = 64;

// One register of scores is one block of keys; the state of all rows is one register.
const _: () = assert!(LANES == BLOCK_LEN && ROWS <= LANES);

/// What is known of some rows after some keys: largest scores, sums of weights relative to them, weighted values.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub most: [f32; LANES],
    pub total: [f32; LANES],
    /// `[rows, dim]`
    pub mixed: Vec<f32>,
}

impl Found {
    /// Nothing seen yet; what the weighted values are does not count until then.
    pub(super) fn clear(&mut self, size: usize) {
        self.most = [f32::NEG_INFINITY; LANES];
        self.total = [0.0; LANES];
        self.mixed.resize(size, 0.0);
    }
}

/// Values to be added up with their weights.
#[derive(Debug, Clone)]
pub(super) struct Share<'a, E> {
    /// `[rows, CHUNK]`
    pub weights: &'a [f32],
    /// `[BLOCK_LEN, dim]` per block of the chunk.
    pub values: &'a [&'a [E]],
    /// What is read next: the keys of the next chunk, if it is this thread's.
    pub ahead: &'a [&'a [E]],
    /// Positions in the chunk.
    pub positions: Range<usize>,
    pub start: Start,
}

/// What a sum begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// 0, whatever lies in its place.
    Zero,
    /// What lies in its place.
    Sum,
}

/// Working memory of one tile.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Scaled queries, `[dim / PANEL, rows, PANEL]`.
    pub panel: Vec<f32>,
    /// Scores, then weights, `[rows, CHUNK]`.
    pub scores: Vec<f32>,
    /// Of all chunks so far.
    pub sum: Found,
    /// Of one chunk.
    pub chunk: Found,
    /// A block widened to f32.
    pub wide: Vec<f32>,
}

thread_local! {
    static ROOM: Cell<Option<Box<Room>>> = const { Cell::new(None) };
}

/// This thread's memory. A tile gives it back with [`give_back`]; no closure, because a closure would not be compiled
/// for the vector unit of the code around it.
pub(super) fn take() -> Box<Room> {
    ROOM.take().unwrap_or_default()
}

/// Keeps the memory for this thread's next tile.
pub(super) fn give_back(room: Box<Room>) {
    ROOM.set(Some(room));
}
