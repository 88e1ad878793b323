//! The layout: 16 output rows × 32 inputs at a time, so that one register holds the same step of 16 rows.
//!
//! In a tile of 4-bit quants, byte 4r+j of the g-th 64 bytes holds, for row r, input 4g+j in its low half and input
//! 16+4g+j in its high half: one load feeds two four-wide dot products of 16 rows. 8-bit quants have one input per
//! byte, 5-bit quants keep their fifth bits apart as eight 64-bit masks. Tiles of a group follow one another along
//! the inputs, groups along the outputs. All quants are unsigned; formats with a zero point subtract it.
#![allow(unsafe_code)] // a mark on a type of bytes

use super::{BLOCK, ROWS};
use crate::kernels::arena::{Arena, Part, Plain};
use candle_core::Result;
use half::f16;

/// A file's block format of 32 weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)] // ggml's own names
pub(crate) enum Format {
    /// 4 bits, scale.
    Q4_0,
    /// 4 bits, scale and minimum.
    Q4_1,
    /// 5 bits, scale.
    Q5_0,
    /// 5 bits, scale and minimum.
    Q5_1,
    /// 8 bits, scale.
    Q8_0,
}

impl Format {
    /// Bytes of one block in a file.
    fn block_bytes(self) -> usize {
        match self {
            Format::Q4_0 => 18,
            Format::Q4_1 => 20,
            Format::Q5_0 => 22,
            Format::Q5_1 => 24,
            Format::Q8_0 => 34,
        }
    }

    /// Bytes before a file block's quants: scale, minimum, fifth bits.
    fn quants_at(self) -> usize {
        match self {
            Format::Q4_0 | Format::Q8_0 => 2,
            Format::Q4_1 => 4,
            Format::Q5_0 => 6,
            Format::Q5_1 => 8,
        }
    }

    /// What is subtracted from a quant; 0 where a block has a minimum instead.
    pub(super) fn zero_point(self) -> i32 {
        match self {
            Format::Q4_0 => 8,
            Format::Q5_0 => 16,
            Format::Q8_0 => 128,
            Format::Q4_1 | Format::Q5_1 => 0,
        }
    }

    pub(super) fn has_minimum(self) -> bool {
        matches!(self, Format::Q4_1 | Format::Q5_1)
    }

    pub(super) fn has_fifth_bits(self) -> bool {
        matches!(self, Format::Q5_0 | Format::Q5_1)
    }

    /// 64-byte lines of one tile.
    pub(super) fn lines(self) -> usize {
        match self {
            Format::Q4_0 | Format::Q4_1 => 4,
            Format::Q5_0 | Format::Q5_1 => 5,
            Format::Q8_0 => 8,
        }
    }

    /// The 32 unsigned quants of a file block.
    fn unpack(self, block: &[u8]) -> [u8; BLOCK] {
        let quants = &block[self.quants_at()..];
        let fifth = if self.has_fifth_bits() {
            let at = self.quants_at() - 4;
            u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
        } else {
            0
        };
        std::array::from_fn(|i| match self {
            // Signed bytes become unsigned around the zero point.
            Format::Q8_0 => quants[i] ^ 0x80,
            _ => {
                let nibble = if i < 16 { quants[i] & 15 } else { quants[i - 16] >> 4 };
                nibble | ((fifth >> i & 1) as u8) << 4
            }
        })
    }
}

/// One cache line, aligned as one.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct Line(pub [u8; 64]);

// SAFETY: any bytes are bytes.
unsafe impl Plain for Line {}

/// A quantised matrix `[out, in]` in tiles.
#[derive(Debug)]
pub(crate) struct Tiles {
    format: Format,
    out: usize,
    blocks: usize,
    /// `[groups, blocks, lines]`
    quants: Part<Line>,
    /// f16 bits, `[groups, blocks, ROWS]`
    scales: Part<[u16; ROWS]>,
    /// f16 bits, `[groups, blocks, ROWS]`; empty for formats without minima.
    minima: Part<[u16; ROWS]>,
}

impl Tiles {
    /// Repacks the blocks of one matrix, or of several with the same input, one above the other.
    // parts of [out_i, width] -> [Σout, width]
    pub(crate) fn pack(
        arena: &mut Arena,
        format: Format,
        parts: &[&[u8]],
        width: usize,
    ) -> Result<Tiles> {
        let (blocks, bytes) = (width / BLOCK, parts.iter().map(|p| p.len()).sum::<usize>());
        let row = blocks * format.block_bytes();
        let whole = |part: &&[u8]| !part.is_empty() && part.len().is_multiple_of(row);
        if !width.is_multiple_of(BLOCK) || row == 0 || bytes == 0 || !parts.iter().all(whole) {
            candle_core::bail!("{bytes} bytes of {format:?} are no rows of width {width}");
        }
        let out = bytes / row;
        let tiles = out.div_ceil(ROWS) * blocks;
        let minima = if format.has_minimum() { tiles } else { 0 };
        let mut packed = Tiles {
            format,
            out,
            blocks,
            quants: arena.take(tiles * format.lines())?,
            scales: arena.take(tiles)?,
            minima: arena.take(minima)?,
        };
        let file = parts.iter().flat_map(|part| part.chunks_exact(format.block_bytes()));
        for (i, block) in file.enumerate() {
            let (row, column) = (i / blocks, i % blocks);
            packed.put(row / ROWS * blocks + column, row % ROWS, block);
        }
        Ok(packed)
    }

    fn put(&mut self, tile: usize, row: usize, block: &[u8]) {
        self.scales[tile][row] = u16::from_le_bytes([block[0], block[1]]);
        if self.format.has_minimum() {
            self.minima[tile][row] = u16::from_le_bytes([block[2], block[3]]);
        }
        let lines = self.format.lines();
        let quants = self.format.unpack(block);
        let lines = &mut self.quants[tile * lines..(tile + 1) * lines];
        for (i, q) in quants.into_iter().enumerate() {
            let (step, byte) = (i / 4, 4 * row + i % 4);
            match self.format {
                Format::Q8_0 => lines[step].0[byte] = q,
                _ => lines[step % 4].0[byte] |= (q & 15) << (4 * (step / 4)),
            }
            if self.format.has_fifth_bits() {
                lines[4].0[8 * step + byte / 8] |= (q >> 4) << (byte % 8);
            }
        }
    }

    pub(crate) fn out(&self) -> usize {
        self.out
    }

    pub(crate) fn width(&self) -> usize {
        self.blocks * BLOCK
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        64 * self.quants.len() + 2 * ROWS * (self.scales.len() + self.minima.len())
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn groups(&self) -> usize {
        self.out.div_ceil(ROWS)
    }

    /// The lines of one group, tile after tile.
    pub(super) fn quants(&self, group: usize) -> &[Line] {
        let per_group = self.blocks * self.format.lines();
        &self.quants[group * per_group..(group + 1) * per_group]
    }

    pub(super) fn scales(&self, group: usize) -> &[[u16; ROWS]] {
        &self.scales[group * self.blocks..(group + 1) * self.blocks]
    }

    /// Empty for formats without minima.
    pub(super) fn minima(&self, group: usize) -> &[[u16; ROWS]] {
        self.minima.get(group * self.blocks..(group + 1) * self.blocks).unwrap_or_default()
    }

    /// The unsigned quant of one row and input of a tile.
    pub(super) fn quant(format: Format, tile: &[Line], row: usize, input: usize) -> u8 {
        let (step, byte) = (input / 4, 4 * row + input % 4);
        let low = match format {
            Format::Q8_0 => return tile[step].0[byte],
            _ => tile[step % 4].0[byte] >> (4 * (step / 4)) & 15,
        };
        if format.has_fifth_bits() {
            return low | (tile[4].0[8 * step + byte / 8] >> (byte % 8) & 1) << 4;
        }
        low
    }

    /// One row in f32: an embedding.
    // -> out [width]
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        let (group, lane) = (row / ROWS, row % ROWS);
        let zero = self.format.zero_point();
        let minima = self.minima(group);
        let tiles = self.quants(group).chunks(self.format.lines()).zip(self.scales(group));
        let blocks = out.as_chunks_mut::<BLOCK>().0.iter_mut();
        for (block, ((tile, scales), out)) in tiles.zip(blocks).enumerate() {
            let scale = f16::from_bits(scales[lane]).to_f32();
            let least = minima.get(block).map_or(0.0, |m| f16::from_bits(m[lane]).to_f32());
            for (input, out) in out.iter_mut().enumerate() {
                let quant = i32::from(Self::quant(self.format, tile, lane, input)) - zero;
                *out = scale * quant as f32 + least;
            }
        }
    }
}
