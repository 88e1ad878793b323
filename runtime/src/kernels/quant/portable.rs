//! One group of output rows in safe Rust: the reference, and the path of CPUs without a special one.

use super::activations::Activations;
use super::tiles::Tiles;
use super::{BLOCK, ROWS};
use crate::kernels::simd::{self, Task};
use half::f16;

// -> result [time, ROWS]
pub(super) fn group(tiles: &Tiles, group: usize, x: &Activations, result: &mut [f32]) {
    simd::on_widest_unit(Group { tiles, group, x, result });
}

struct Group<'a> {
    tiles: &'a Tiles,
    group: usize,
    x: &'a Activations,
    result: &'a mut [f32],
}

impl Task for Group<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Group { tiles, group, x, result } = self;
        let (format, zero) = (tiles.format(), tiles.format().zero_point());
        let (scales, minima) = (tiles.scales(group), tiles.minima(group));
        for (block, lines) in tiles.quants(group).chunks(format.lines()).enumerate() {
            // Unpacked once for all rows of activations.
            let mut quants = [[0i16; BLOCK]; ROWS];
            for (row, quants) in quants.iter_mut().enumerate() {
                for (input, q) in quants.iter_mut().enumerate() {
                    *q = i16::from(Tiles::quant(format, lines, row, input));
                }
            }
            let scales = scales[block].map(|s| f16::from_bits(s).to_f32());
            let minima = minima.get(block).map(|m| m.map(|m| f16::from_bits(m).to_f32()));
            for (t, result) in result.chunks_mut(ROWS).enumerate() {
                let (a, scale, sum) = x.row(t);
                let (a, scale, sum) = (a[block].map(i16::from), scale[block], sum[block]);
                for (row, result) in result.iter_mut().enumerate() {
                    let dot = dot(&quants[row], &a) - zero * sum;
                    *result = simd::multiply_add::<FMA>(dot as f32, scales[row] * scale, *result);
                    if let Some(minima) = &minima {
                        let sum = sum as f32 * scale;
                        *result = simd::multiply_add::<FMA>(minima[row], sum, *result);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[i16; BLOCK], b: &[i16; BLOCK]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
