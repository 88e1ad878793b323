//! A quantised matrix, in blocks or in super-blocks.

use super::activations::Activations;
use super::k::{self, KFormat, SuperTiles};
use super::tiles::{Format, Tiles};
use super::{GroupColumns, Kernel, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, vnni};
use crate::kernels::arena::Arena;
use candle_core::Result;
use candle_core::quantized::GgmlDType;

/// A quantised matrix `[out, in]`, repacked for our kernels.
#[derive(Debug)]
pub(crate) enum Matrix {
    /// Of blocks of 32 weights.
    Blocks(Tiles),
    /// Of super-blocks of 256.
    SuperBlocks(SuperTiles),
}

impl Matrix {
    /// Whether our kernels multiply with this format.
    pub(crate) fn serves(dtype: GgmlDType) -> bool {
        kind(dtype).is_some()
    }

    /// Repacks the blocks of one matrix, or of several with the same input, one above the other.
    // parts of [out_i, width] -> [Σout, width]
    pub(crate) fn pack(
        arena: &mut Arena,
        dtype: GgmlDType,
        parts: &[&[u8]],
        width: usize,
    ) -> Result<Self> {
        match kind(dtype) {
            Some(Kind::Blocks(format)) => {
                Tiles::pack(arena, format, parts, width).map(Matrix::Blocks)
            }
            Some(Kind::SuperBlocks(format)) => {
                SuperTiles::pack(arena, format, parts, width).map(Matrix::SuperBlocks)
            }
            None => candle_core::bail!("no kernel multiplies with {dtype:?}"),
        }
    }

    pub(crate) fn out(&self) -> usize {
        match self {
            Matrix::Blocks(tiles) => tiles.out(),
            Matrix::SuperBlocks(tiles) => tiles.out(),
        }
    }

    pub(crate) fn width(&self) -> usize {
        match self {
            Matrix::Blocks(tiles) => tiles.width(),
            Matrix::SuperBlocks(tiles) => tiles.width(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Matrix::Blocks(tiles) => tiles.bytes(),
            Matrix::SuperBlocks(tiles) => tiles.bytes(),
        }
    }

    /// One row in f32: an embedding.
    // -> out [width]
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Matrix::Blocks(tiles) => tiles.read_row(row, out),
            Matrix::SuperBlocks(tiles) => tiles.read_row(row, out),
        }
    }

    pub(super) fn groups(&self) -> usize {
        match self {
            Matrix::Blocks(tiles) => tiles.groups(),
            Matrix::SuperBlocks(tiles) => tiles.groups(),
        }
    }

    // x [rows, in] -> the group's columns of the result
    pub(super) fn group(&self, kernel: Kernel, x: &Activations, result: &mut GroupColumns) {
        match self {
            Matrix::Blocks(tiles) => match kernel {
                Kernel::Portable => portable::group(tiles, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx2(unit) => avx2::group(unit, tiles, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::AvxVnni(unit) => avx2::group(unit, tiles, x, result),
                #[cfg(all(test, target_arch = "x86_64"))]
                Kernel::Avx512Vl(unit) => avx2::group(unit, tiles, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni(unit) => vnni::group(unit, tiles, x, result),
            },
            Matrix::SuperBlocks(tiles) => match kernel {
                Kernel::Portable => k::portable::group(tiles, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx2(unit) => k::avx2::group(unit, tiles, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::AvxVnni(unit) => k::avx2::group(unit, tiles, x, result),
                #[cfg(all(test, target_arch = "x86_64"))]
                Kernel::Avx512Vl(unit) => k::avx2::group(unit, tiles, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni(unit) => k::vnni::group(unit, tiles, x, result),
            },
        }
    }
}

/// Which of our layouts a file's format is packed into.
enum Kind {
    Blocks(Format),
    SuperBlocks(KFormat),
}

fn kind(dtype: GgmlDType) -> Option<Kind> {
    Some(match dtype {
        GgmlDType::Q4_0 => Kind::Blocks(Format::Q4_0),
        GgmlDType::Q4_1 => Kind::Blocks(Format::Q4_1),
        GgmlDType::Q5_0 => Kind::Blocks(Format::Q5_0),
        GgmlDType::Q5_1 => Kind::Blocks(Format::Q5_1),
        GgmlDType::Q8_0 => Kind::Blocks(Format::Q8_0),
        GgmlDType::Q2K => Kind::SuperBlocks(KFormat::Q2_K),
        GgmlDType::Q3K => Kind::SuperBlocks(KFormat::Q3_K),
        GgmlDType::Q4K => Kind::SuperBlocks(KFormat::Q4_K),
        GgmlDType::Q5K => Kind::SuperBlocks(KFormat::Q5_K),
        GgmlDType::Q6K => Kind::SuperBlocks(KFormat::Q6_K),
        GgmlDType::Q8_1 | GgmlDType::Q8K | GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => {
            return None;
        }
    })
}
