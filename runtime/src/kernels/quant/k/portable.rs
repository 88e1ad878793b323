//! One group of output rows in safe Rust: the reference, and the path of CPUs without a special one.

use super::super::activations::Activations;
use super::super::tiles::Line;
use super::super::{BATCH, BLOCK, GroupColumns, ROWS};
use super::{PARTS, STEPS, Super, SuperTiles, halves};
use crate::kernels::simd::{self, Task};
use half::f16;

// x [rows, in] -> the group's columns of the result
pub(in super::super) fn group(tiles: &SuperTiles, x: &Activations, result: &mut GroupColumns) {
    simd::on_widest_unit(Group { tiles, group: result.group, x, result });
}

struct Group<'a, 'b> {
    tiles: &'a SuperTiles,
    group: usize,
    x: &'a Activations,
    result: &'a mut GroupColumns<'b>,
}

/// A super-block's sums of one row of activations: over the scales, over the minima.
type Sums = [[f32; ROWS]; 2];

impl Task for Group<'_, '_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Group { tiles, group, x, result } = self;
        let mut sums = vec![[0f32; ROWS]; x.rows()];
        for (i, of) in tiles.supers(group).enumerate() {
            let mut parts: Vec<Sums> = vec![[[0.0; ROWS]; 2]; x.rows()];
            for part in 0..PARTS {
                let tile = Tile::unpack(tiles, &of, part);
                for (t, parts) in parts.iter_mut().enumerate() {
                    let (bunch, count) = x.bunch(t / BATCH * BATCH);
                    let at = (i * PARTS + part) * count + t % BATCH;
                    tile.add::<FMA>(&bunch.quants[at], bunch.scales[at], parts);
                }
            }
            let widen = |numbers: &[u16; ROWS]| numbers.map(|n| f16::from_bits(n).to_f32());
            let (scales, minima) = (widen(of.scales), of.minima.map(widen));
            for ([own, least], sums) in parts.iter().zip(&mut sums) {
                for row in 0..ROWS {
                    let sum = simd::multiply_add::<FMA>(own[row], scales[row], sums[row]);
                    let minimum = minima.map_or(0.0, |m| -m[row]);
                    sums[row] = simd::multiply_add::<FMA>(least[row], minimum, sum);
                }
            }
        }
        sums.iter().enumerate().for_each(|(row, sums)| result.put(row, sums));
    }
}

/// One tile, unpacked once for all rows of activations.
struct Tile {
    /// Less the zero point.
    quants: [[i16; BLOCK]; ROWS],
    /// Scale and minimum of each 16.
    halves: [[(i32, i32); 2]; ROWS],
}

impl Tile {
    #[inline(always)]
    fn unpack(tiles: &SuperTiles, of: &Super, part: usize) -> Tile {
        let (format, zero) = (tiles.format, tiles.format.zero_point() as i16);
        let lines = &of.quants[part * format.lines()..(part + 1) * format.lines()];
        let (low, high) = lines.split_at(format.low_bits());
        let mut quants = [[-zero; BLOCK]; ROWS];
        add_bits(low, 0, &mut quants);
        add_bits(high, format.low_bits(), &mut quants);
        Tile { quants, halves: std::array::from_fn(|row| halves(format, &of.pairs[part], row)) }
    }

    /// Adds one block of activations times the tile.
    #[inline(always)]
    fn add<const FMA: bool>(&self, a: &[i8; BLOCK], scale: f32, [own, least]: &mut Sums) {
        let a = a.map(i16::from);
        let (first, second) = a.split_at(BLOCK / 2);
        let sum = |a: &[i16]| a.iter().map(|a| i32::from(*a)).sum::<i32>();
        let a_sums = [sum(first), sum(second)];
        for (row, [(scale_1, least_1), (scale_2, least_2)]) in self.halves.iter().enumerate() {
            let (q_1, q_2) = self.quants[row].split_at(BLOCK / 2);
            let product = scale_1 * dot(q_1, first) + scale_2 * dot(q_2, second);
            own[row] = simd::multiply_add::<FMA>(product as f32, scale, own[row]);
            let minimum = least_1 * a_sums[0] + least_2 * a_sums[1];
            least[row] = simd::multiply_add::<FMA>(minimum as f32, scale, least[row]);
        }
    }
}

/// Adds the quants' bits in these lines, which belong at bit `at`.
#[inline(always)]
fn add_bits(lines: &[Line], at: usize, quants: &mut [[i16; BLOCK]; ROWS]) {
    let (bits, mask) = (lines.len(), (1 << lines.len()) - 1);
    for step in 0..if lines.is_empty() { 0 } else { STEPS } {
        let (line, shift) = (&lines[step % bits], step / bits * bits);
        for (quants, four) in quants.iter_mut().zip(line.0.as_chunks::<4>().0) {
            for (q, byte) in quants[4 * step..].iter_mut().zip(four) {
                *q += i16::from(byte >> shift & mask) << at;
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
