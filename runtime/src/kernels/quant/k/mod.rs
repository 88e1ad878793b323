//! The formats of super-blocks, ggml's "K-quants": 256 weights share an f16 scale (and minimum), blocks of 16 or 32 of
//! them have small integer scales (and minima) of their own.
//!
//! The tiles are those of [`super::tiles`]: 16 output rows × 32 inputs. The quants' low bits lie in nibbles or crumbs,
//! so that one 64-byte load holds several four-input steps of 16 rows; high bits follow in lines of their own. The
//! integer scales become bytes, two per row and tile; that is all a tile is larger than the file's block, at most 4 %.
//!
//! A tile's product is an exact integer with its integer scales in it. It is multiplied with the activation's scale and
//! added, tile after tile, to the super-block's sum in f32; that sum times the super-block's scale, and its minimum's
//! likewise, is added to the row's. The order is the same whatever the number of rows.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
mod file;
pub(super) mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
pub(super) mod vnni;

pub(crate) use file::KFormat;

use super::tiles::Line;
use super::{BLOCK, ROWS};
use file::{Pairs, SuperBlock, WIDTH};
use half::f16;

/// Tiles of a super-block.
const PARTS: usize = 8;
/// Four-input steps of a tile.
const STEPS: usize = BLOCK / 4;

/// The integer scales of one tile: bytes 2r and 2r+1 are row r's pair.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
struct RowPairs([u8; 2 * ROWS]);

/// A matrix `[out, in]` of super-blocks in tiles.
#[derive(Debug)]
pub(crate) struct SuperTiles {
    format: KFormat,
    out: usize,
    /// Super-blocks in a row.
    supers: usize,
    /// `[groups, supers, PARTS, lines]`
    quants: Vec<Line>,
    /// `[groups, supers, PARTS]`
    pairs: Vec<RowPairs>,
    /// f16 bits, `[groups, supers, ROWS]`
    scales: Vec<[u16; ROWS]>,
    /// f16 bits, `[groups, supers, ROWS]`; empty for formats without minima.
    minima: Vec<[u16; ROWS]>,
}

/// The super-blocks of 16 rows at one place of the width.
struct Super<'a> {
    /// `[PARTS, lines]`
    quants: &'a [Line],
    pairs: &'a [RowPairs],
    scales: &'a [u16; ROWS],
    minima: Option<&'a [u16; ROWS]>,
}

impl SuperTiles {
    /// Repacks a file's super-blocks; `None` if they do not fill `[out, width]` exactly.
    pub(crate) fn pack(format: KFormat, file: &[u8], out: usize, width: usize) -> Option<Self> {
        let supers = width / WIDTH;
        let expected = out.checked_mul(supers)?.checked_mul(format.block_bytes())?;
        if !width.is_multiple_of(WIDTH) || supers == 0 || file.len() != expected {
            return None;
        }
        let all = out.div_ceil(ROWS) * supers;
        let mut packed = SuperTiles {
            format,
            out,
            supers,
            quants: vec![Line([0; 64]); all * PARTS * format.lines()],
            pairs: vec![RowPairs([0; 2 * ROWS]); all * PARTS],
            scales: vec![[0; ROWS]; all],
            minima: vec![[0; ROWS]; if format.has_minimum() { all } else { 0 }],
        };
        for (i, block) in file.chunks_exact(format.block_bytes()).enumerate() {
            let (row, column) = (i / supers, i % supers);
            packed.put(row / ROWS * supers + column, row % ROWS, &format.read(block));
        }
        Some(packed)
    }

    /// The rows of several matrices as one; `None` if they differ in format or width, or do not fill their tiles.
    pub(crate) fn stack(parts: &[&SuperTiles]) -> Option<SuperTiles> {
        let (first, others) = parts.split_first()?;
        let alike = |t: &&SuperTiles| t.format == first.format && t.supers == first.supers;
        // Only the last part may end inside a tile.
        let full = |t: &&SuperTiles| t.out.is_multiple_of(ROWS);
        if !others.iter().all(alike) || !parts.iter().rev().skip(1).all(full) {
            return None;
        }
        Some(SuperTiles {
            format: first.format,
            out: parts.iter().map(|t| t.out).sum(),
            supers: first.supers,
            quants: parts.iter().flat_map(|t| t.quants.iter().copied()).collect(),
            pairs: parts.iter().flat_map(|t| t.pairs.iter().copied()).collect(),
            scales: parts.iter().flat_map(|t| t.scales.iter().copied()).collect(),
            minima: parts.iter().flat_map(|t| t.minima.iter().copied()).collect(),
        })
    }

    /// Writes one row of the super-block at this index.
    fn put(&mut self, at: usize, row: usize, block: &SuperBlock) {
        self.scales[at][row] = block.scale;
        if let Some(minima) = self.minima.get_mut(at) {
            minima[row] = block.minimum;
        }
        let (lines, low_bits) = (self.format.lines(), self.format.low_bits());
        let tiles = self.quants.chunks_mut(lines).zip(&mut self.pairs).skip(at * PARTS);
        let blocks = block.quants.as_chunks::<BLOCK>().0.iter().zip(block.pairs);
        for ((tile, pairs), (quants, pair)) in tiles.zip(blocks) {
            pairs.0[2 * row..][..2].copy_from_slice(&pair);
            let (low, high) = tile.split_at_mut(low_bits);
            for (i, q) in quants.iter().enumerate() {
                put_bits(low, row, i, q & ((1 << low_bits) - 1));
                put_bits(high, row, i, q >> low_bits);
            }
        }
    }

    pub(crate) fn out(&self) -> usize {
        self.out
    }

    pub(crate) fn width(&self) -> usize {
        self.supers * WIDTH
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        64 * self.quants.len()
            + 2 * ROWS * (self.pairs.len() + self.scales.len() + self.minima.len())
    }

    pub(super) fn groups(&self) -> usize {
        self.out.div_ceil(ROWS)
    }

    /// The super-blocks of one group along the inputs.
    fn supers(&self, group: usize) -> impl Iterator<Item = Super<'_>> {
        let at = group * self.supers..(group + 1) * self.supers;
        let per_super = PARTS * self.format.lines();
        let quants = self.quants[at.start * per_super..at.end * per_super].chunks_exact(per_super);
        let pairs = self.pairs[at.start * PARTS..at.end * PARTS].chunks_exact(PARTS);
        let minima = self.minima.get(at.clone()).unwrap_or_default();
        let parts = quants.zip(pairs).zip(&self.scales[at]).enumerate();
        parts.map(|(i, ((quants, pairs), scales))| Super {
            quants,
            pairs,
            scales,
            minima: minima.get(i),
        })
    }

    /// One row in f32, `[width]`: an embedding.
    pub(crate) fn row(&self, row: usize) -> Vec<f32> {
        let (group, lane) = (row / ROWS, row % ROWS);
        let number = |numbers: &[u16; ROWS]| f16::from_bits(numbers[lane]).to_f32();
        let (format, zero) = (self.format, self.format.zero_point());
        let mut values = Vec::with_capacity(self.width());
        for of in self.supers(group) {
            let (scale, minimum) = (number(of.scales), of.minima.map_or(0.0, number));
            for (tile, pairs) in of.quants.chunks(format.lines()).zip(of.pairs) {
                let halves = halves(format, pairs, lane);
                let halves =
                    halves.map(|(own, least)| (scale * own as f32, minimum * least as f32));
                values.extend((0..BLOCK).map(|input| {
                    let (own, least) = halves[input / (BLOCK / 2)];
                    own * (i32::from(quant(format, tile, lane, input)) - zero) as f32 - least
                }));
            }
        }
        values
    }
}

/// Lines that hold `bits` of every quant are as many as bits. A byte is a row's and a place's within a step; the steps
/// take turns over the lines first, then over the bits of a byte.
fn place(bits: usize, row: usize, input: usize) -> (usize, usize, usize) {
    let (step, byte) = (input / 4, 4 * row + input % 4);
    (step % bits, byte, step / bits * bits)
}

fn put_bits(lines: &mut [Line], row: usize, input: usize, value: u8) {
    if lines.is_empty() {
        return;
    }
    let (line, byte, shift) = place(lines.len(), row, input);
    lines[line].0[byte] |= value << shift;
}

fn bits(lines: &[Line], row: usize, input: usize) -> u8 {
    if lines.is_empty() {
        return 0;
    }
    let (line, byte, shift) = place(lines.len(), row, input);
    lines[line].0[byte] >> shift & ((1 << lines.len()) - 1)
}

/// The unsigned quant of one row and input of a tile.
fn quant(format: KFormat, tile: &[Line], row: usize, input: usize) -> u8 {
    let (low, high) = tile.split_at(format.low_bits());
    bits(low, row, input) | bits(high, row, input) << format.low_bits()
}

/// Scale and minimum of a row's first and second 16 weights.
fn halves(format: KFormat, pairs: &RowPairs, row: usize) -> [(i32, i32); 2] {
    let pair = [pairs.0[2 * row], pairs.0[2 * row + 1]];
    match format.pairs() {
        Pairs::ScaleMinimum => [(i32::from(pair[0]), i32::from(pair[1])); 2],
        Pairs::Scales => pair.map(|scale| (i32::from(scale as i8), 0)),
        Pairs::Nibbles => pair.map(|both| (i32::from(both & 15), i32::from(both >> 4))),
    }
}
