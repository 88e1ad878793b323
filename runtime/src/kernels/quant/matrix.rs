//! A quantised matrix, in blocks or in super-blocks.

use super::activations::Activations;
use super::k::{self, KFormat, SuperTiles};
use super::tiles::{Format, Tiles};
#[cfg(all(test, target_arch = "x86_64"))]
use super::unit;
#[cfg(target_arch = "x86_64")]
use super::unit::{Avx2, AvxVnni};
use super::{Grid, Kernel, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, vnni};
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
    /// Repacks a file's blocks; `None` for formats we do not serve, or if they do not fill `[out, width]` exactly.
    pub(crate) fn pack(dtype: GgmlDType, file: &[u8], out: usize, width: usize) -> Option<Self> {
        let blocks = |format| Tiles::pack(format, file, out, width).map(Matrix::Blocks);
        let supers = |format| SuperTiles::pack(format, file, out, width).map(Matrix::SuperBlocks);
        match dtype {
            GgmlDType::Q4_0 => blocks(Format::Q4_0),
            GgmlDType::Q4_1 => blocks(Format::Q4_1),
            GgmlDType::Q5_0 => blocks(Format::Q5_0),
            GgmlDType::Q5_1 => blocks(Format::Q5_1),
            GgmlDType::Q8_0 => blocks(Format::Q8_0),
            GgmlDType::Q2K => supers(KFormat::Q2_K),
            GgmlDType::Q3K => supers(KFormat::Q3_K),
            GgmlDType::Q4K => supers(KFormat::Q4_K),
            GgmlDType::Q5K => supers(KFormat::Q5_K),
            GgmlDType::Q6K => supers(KFormat::Q6_K),
            GgmlDType::Q8_1
            | GgmlDType::Q8K
            | GgmlDType::F32
            | GgmlDType::F16
            | GgmlDType::BF16 => None,
        }
    }

    /// The rows of several matrices as one; `None` if they differ in format or width, or do not fill their tiles.
    pub(crate) fn stack(parts: &[&Matrix]) -> Option<Matrix> {
        let blocks = parts.iter().map(|part| match part {
            Matrix::Blocks(tiles) => Some(tiles),
            Matrix::SuperBlocks(_) => None,
        });
        if let Some(blocks) = blocks.collect::<Option<Vec<&Tiles>>>() {
            return Tiles::stack(&blocks).map(Matrix::Blocks);
        }
        let supers = parts.iter().map(|part| match part {
            Matrix::SuperBlocks(tiles) => Some(tiles),
            Matrix::Blocks(_) => None,
        });
        SuperTiles::stack(&supers.collect::<Option<Vec<&SuperTiles>>>()?).map(Matrix::SuperBlocks)
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

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Matrix::Blocks(tiles) => tiles.bytes(),
            Matrix::SuperBlocks(tiles) => tiles.bytes(),
        }
    }

    /// One row in f32, `[width]`: an embedding.
    pub(crate) fn row(&self, row: usize) -> Vec<f32> {
        match self {
            Matrix::Blocks(tiles) => tiles.row(row),
            Matrix::SuperBlocks(tiles) => tiles.row(row),
        }
    }

    pub(super) fn groups(&self) -> usize {
        match self {
            Matrix::Blocks(tiles) => tiles.groups(),
            Matrix::SuperBlocks(tiles) => tiles.groups(),
        }
    }

    // x [rows, in] -> the group's columns of the result
    pub(super) fn group(&self, kernel: Kernel, group: usize, x: &Activations, result: &Grid) {
        match self {
            Matrix::Blocks(tiles) => match kernel {
                Kernel::Portable => portable::group(tiles, group, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx2 => avx2::group::<Avx2>(tiles, group, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::AvxVnni => avx2::group::<AvxVnni>(tiles, group, x, result),
                #[cfg(all(test, target_arch = "x86_64"))]
                Kernel::Avx512Vl => avx2::group::<unit::Avx512Vl>(tiles, group, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni => vnni::group(tiles, group, x, result),
            },
            Matrix::SuperBlocks(tiles) => match kernel {
                Kernel::Portable => k::portable::group(tiles, group, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx2 => k::avx2::group::<Avx2>(tiles, group, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::AvxVnni => k::avx2::group::<AvxVnni>(tiles, group, x, result),
                #[cfg(all(test, target_arch = "x86_64"))]
                Kernel::Avx512Vl => k::avx2::group::<unit::Avx512Vl>(tiles, group, x, result),
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni => k::vnni::group(tiles, group, x, result),
            },
        }
    }
}
