//! One group of output rows in safe Rust: the reference, and the path of CPUs without a special one.

use super::activations::Activations;
use super::tiles::{Format, Line, Tiles};
use super::{BATCH, BLOCK, GroupColumns, ROWS};
use crate::kernels::simd::{self, Task};
use half::f16;

// x [rows, in] -> the group's columns of the result
pub(super) fn group(tiles: &Tiles, x: &Activations, result: &mut GroupColumns) {
    simd::on_widest_unit(Group { tiles, group: result.group, x, result });
}

struct Group<'a, 'b> {
    tiles: &'a Tiles,
    group: usize,
    x: &'a Activations,
    result: &'a mut GroupColumns<'b>,
}

impl Task for Group<'_, '_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Group { tiles, group, x, result } = self;
        let (format, zero) = (tiles.format(), tiles.format().zero_point());
        let (scales, minima) = (tiles.scales(group), tiles.minima(group));
        let mut sums = vec![[0f32; ROWS]; x.rows()];
        for (block, lines) in tiles.quants(group).chunks(format.lines()).enumerate() {
            let quants = unpack(format, lines);
            let scales = scales[block].map(|s| f16::from_bits(s).to_f32());
            let minima = minima.get(block).map(|m| m.map(|m| f16::from_bits(m).to_f32()));
            let tile = Tile { quants, scales, minima, zero };
            for (t, sums) in sums.iter_mut().enumerate() {
                let (bunch, count) = x.bunch(t / BATCH * BATCH);
                let at = block * count + t % BATCH;
                tile.add::<FMA>(&bunch.quants[at], bunch.scales[at], bunch.sums[at], sums);
            }
        }
        sums.iter().enumerate().for_each(|(row, sums)| result.put(row, sums));
    }
}

/// One tile, unpacked once for all rows of activations.
struct Tile {
    quants: [[i16; BLOCK]; ROWS],
    scales: [f32; ROWS],
    minima: Option<[f32; ROWS]>,
    zero: i32,
}

impl Tile {
    /// Adds one block of activations times the tile.
    #[inline(always)]
    fn add<const FMA: bool>(
        &self,
        a: &[i8; BLOCK],
        scale: f32,
        sum: i32,
        result: &mut [f32; ROWS],
    ) {
        let a = a.map(i16::from);
        for (row, result) in result.iter_mut().enumerate() {
            let dot = dot(&self.quants[row], &a) - self.zero * sum;
            *result = simd::multiply_add::<FMA>(dot as f32, self.scales[row] * scale, *result);
        }
        let Some(minima) = &self.minima else { return };
        let sum = sum as f32 * scale;
        for (minimum, result) in minima.iter().zip(result) {
            *result = simd::multiply_add::<FMA>(*minimum, sum, *result);
        }
    }
}

/// The quants of a tile row by row.
#[inline(always)]
fn unpack(format: Format, tile: &[Line]) -> [[i16; BLOCK]; ROWS] {
    let mut quants = [[0i16; BLOCK]; ROWS];
    for (step, line) in tile.iter().take(BLOCK / 4).enumerate() {
        for (quants, four) in quants.iter_mut().zip(line.0.as_chunks::<4>().0) {
            for (j, byte) in four.iter().enumerate() {
                if format == Format::Q8_0 {
                    quants[4 * step + j] = i16::from(*byte);
                } else if step < 4 {
                    quants[4 * step + j] = i16::from(byte & 15);
                    quants[16 + 4 * step + j] = i16::from(byte >> 4);
                }
            }
        }
    }
    if format.has_fifth_bits() {
        add_fifth_bits(&mut quants, &tile[4]);
    }
    quants
}

#[inline(always)]
fn add_fifth_bits(quants: &mut [[i16; BLOCK]; ROWS], fifth: &Line) {
    for (row, quants) in quants.iter_mut().enumerate() {
        for (input, q) in quants.iter_mut().enumerate() {
            let (step, byte) = (input / 4, 4 * row + input % 4);
            *q |= i16::from(fifth.0[8 * step + byte / 8] >> (byte % 8) & 1) << 4;
        }
    }
}

#[inline(always)]
fn dot(a: &[i16; BLOCK], b: &[i16; BLOCK]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
