//! The formats of super-blocks, ggml's "K-quants": 256 weights share an f16 scale (and minimum), blocks of 16 or 32 of
//! them have small integer scales (and minima) of their own.
//!
//! The tiles are those of [`super::tiles`]: 16 output rows × 32 inputs. The quants' low bits lie in nibbles or crumbs,
//! so that one 64-byte load holds several four-input steps of 16 rows; high bits follow in lines of their own. The
//! integer scales become bytes, two per row and tile; that is all a tile is larger than the file's block, at most 4 %.
//!
//! A tile's products are exact integers. With their integer scales (on AVX-512 applied as floats, elsewhere as
//! integers) and the activation's scale they are added, tile after tile, to the super-block's sum in f32; that sum times the super-block's scale, and its minimum's
//! likewise, is added to the row's. The order is the same whatever the number of rows.
#![allow(unsafe_code)] // a mark on a type of bytes

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
mod file;
pub(super) mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
pub(super) mod vnni;

pub(crate) use file::KFormat;

use crate::kernels::arena::{Arena, Part, Plain};
use candle_core::Result;

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
pub(in crate::kernels) struct RowPairs([u8; 2 * ROWS]);

// SAFETY: any bytes are bytes.
unsafe impl Plain for RowPairs {}

/// A matrix `[out, in]` of super-blocks in tiles.
#[derive(Debug)]
pub(crate) struct SuperTiles {
    format: KFormat,
    out: usize,
    /// Super-blocks in a row.
    supers: usize,
    /// `[groups, supers, PARTS, lines]`
    quants: Part<Line>,
    /// `[groups, supers, PARTS]`
    pairs: Part<RowPairs>,
    /// f16 bits, `[groups, supers, ROWS]`
    scales: Part<[u16; ROWS]>,
    /// f16 bits, `[groups, supers, ROWS]`; empty for formats without minima.
    minima: Part<[u16; ROWS]>,
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
    /// Repacks the super-blocks of one matrix, or of several with the same input, one above the other.
    // parts of [out_i, width] -> [Σout, width]
    pub(crate) fn pack(
        arena: &mut Arena,
        format: KFormat,
        parts: &[&[u8]],
        width: usize,
    ) -> Result<Self> {
        let (supers, bytes) = (width / WIDTH, parts.iter().map(|p| p.len()).sum::<usize>());
        let row = supers * format.block_bytes();
        let whole = |part: &&[u8]| !part.is_empty() && part.len().is_multiple_of(row);
        if !width.is_multiple_of(WIDTH) || row == 0 || bytes == 0 || !parts.iter().all(whole) {
            candle_core::bail!("{bytes} bytes of {format:?} are no rows of width {width}");
        }
        let out = bytes / row;
        let all = out.div_ceil(ROWS) * supers;
        let minima = if format.has_minimum() { all } else { 0 };
        let mut packed = SuperTiles {
            format,
            out,
            supers,
            quants: arena.take(all * PARTS * format.lines())?,
            pairs: arena.take(all * PARTS)?,
            scales: arena.take(all)?,
            minima: arena.take(minima)?,
        };
        let file = parts.iter().flat_map(|part| part.chunks_exact(format.block_bytes()));
        for (i, block) in file.enumerate() {
            let (row, column) = (i / supers, i % supers);
            packed.put(row / ROWS * supers + column, row % ROWS, &format.read(block));
        }
        Ok(packed)
    }

    /// Writes one row of the super-block at this index.
    fn put(&mut self, at: usize, row: usize, block: &SuperBlock) {
        self.scales[at][row] = block.scale;
        if let Some(minima) = self.minima.get_mut(at) {
            minima[row] = block.minimum;
        }
        let (lines, low_bits) = (self.format.lines(), self.format.low_bits());
        let tiles = self.quants.chunks_mut(lines).zip(self.pairs.iter_mut()).skip(at * PARTS);
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

    /// One row in f32: an embedding.
    // -> out [width]
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        let (group, lane) = (row / ROWS, row % ROWS);
        let number = |numbers: &[u16; ROWS]| f16::from_bits(numbers[lane]).to_f32();
        let (format, zero) = (self.format, self.format.zero_point());
        for (of, out) in self.supers(group).zip(out.chunks_mut(WIDTH)) {
            let (scale, minimum) = (number(of.scales), of.minima.map_or(0.0, number));
            let tiles = of.quants.chunks(format.lines()).zip(of.pairs);
            for ((tile, pairs), out) in tiles.zip(out.chunks_mut(BLOCK)) {
                let halves = halves(format, pairs, lane);
                let halves =
                    halves.map(|(own, least)| (scale * own as f32, minimum * least as f32));
                for (input, out) in out.iter_mut().enumerate() {
                    let (own, least) = halves[input / (BLOCK / 2)];
                    *out =
                        own * (i32::from(quant(format, tile, lane, input)) - zero) as f32 - least;
                }
            }
        }
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
