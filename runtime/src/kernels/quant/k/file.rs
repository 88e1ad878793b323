//! The five formats as a file has them: super-blocks of 256 weights of one row.

use super::super::BLOCK;
use super::PARTS;

/// Weights of a super-block.
pub(super) const WIDTH: usize = PARTS * BLOCK;

/// A file's format of super-blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)] // ggml's own names
pub(crate) enum KFormat {
    /// 2 bits; scale and minimum of 4 bits per 16 weights.
    Q2_K,
    /// 3 bits; scale of 6 bits per 16.
    Q3_K,
    /// 4 bits; scale and minimum of 6 bits per 32.
    Q4_K,
    /// 5 bits; scale and minimum of 6 bits per 32.
    Q5_K,
    /// 6 bits; scale of 8 bits per 16.
    Q6_K,
}

/// One super-block of one row.
pub(super) struct SuperBlock {
    /// Unsigned.
    pub quants: [u8; WIDTH],
    /// Per 32 weights, what [`KFormat::pairs`] says.
    pub pairs: [[u8; 2]; PARTS],
    /// f16 bits of what the scales are multiplied with.
    pub scale: u16,
    /// The same for the minima; 0 for formats without.
    pub minimum: u16,
}

/// What the two bytes per row and 32 weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairs {
    /// Scale and minimum of all 32.
    ScaleMinimum,
    /// Signed scales of the first and the second 16.
    Scales,
    /// Of each 16 the scale in the low and the minimum in the high four bits.
    Nibbles,
}

impl KFormat {
    /// Bytes of one super-block in a file.
    pub(super) fn block_bytes(self) -> usize {
        match self {
            KFormat::Q2_K => 84,
            KFormat::Q3_K => 110,
            KFormat::Q4_K => 144,
            KFormat::Q5_K => 176,
            KFormat::Q6_K => 210,
        }
    }

    pub(super) fn pairs(self) -> Pairs {
        match self {
            KFormat::Q2_K => Pairs::Nibbles,
            KFormat::Q3_K | KFormat::Q6_K => Pairs::Scales,
            KFormat::Q4_K | KFormat::Q5_K => Pairs::ScaleMinimum,
        }
    }

    pub(super) fn has_minimum(self) -> bool {
        self.pairs() != Pairs::Scales
    }

    /// What is subtracted from a quant.
    pub(super) fn zero_point(self) -> i32 {
        match self {
            KFormat::Q3_K => 4,
            KFormat::Q6_K => 32,
            KFormat::Q2_K | KFormat::Q4_K | KFormat::Q5_K => 0,
        }
    }

    /// Bits of a quant in the lines of low bits.
    pub(super) fn low_bits(self) -> usize {
        match self {
            KFormat::Q2_K | KFormat::Q3_K => 2,
            KFormat::Q4_K | KFormat::Q5_K | KFormat::Q6_K => 4,
        }
    }

    /// Bits of a quant in the lines of high bits.
    pub(super) fn high_bits(self) -> usize {
        match self {
            KFormat::Q2_K | KFormat::Q4_K => 0,
            KFormat::Q3_K | KFormat::Q5_K => 1,
            KFormat::Q6_K => 2,
        }
    }

    /// 64-byte lines of one tile: 512 quants are one line per bit.
    pub(super) fn lines(self) -> usize {
        self.low_bits() + self.high_bits()
    }

    /// Takes a super-block of `block_bytes` apart.
    pub(super) fn read(self, block: &[u8]) -> SuperBlock {
        let number = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        // Where the f16 numbers are.
        let (scale, minimum) = match self {
            KFormat::Q2_K => (number(80), number(82)),
            KFormat::Q3_K => (number(108), 0),
            KFormat::Q4_K | KFormat::Q5_K => (number(0), number(2)),
            KFormat::Q6_K => (number(208), 0),
        };
        SuperBlock {
            quants: std::array::from_fn(|i| self.quant(block, i)),
            pairs: std::array::from_fn(|part| self.pair(block, part)),
            scale,
            minimum,
        }
    }

    /// The i-th quant of a super-block. Files put the same position of several blocks of 32 into one byte.
    fn quant(self, block: &[u8], i: usize) -> u8 {
        let (part, lane) = (i / BLOCK, i % BLOCK);
        // Within each half of the super-block, four blocks of 32.
        let (half, quarter) = (part / 4, part % 4);
        let crumb = |bytes: &[u8]| bytes[32 * half + lane] >> (2 * quarter) & 3;
        let nibble = |bytes: &[u8]| bytes[32 * (part / 2) + lane] >> (4 * (part % 2)) & 15;
        let bit = |bytes: &[u8]| bytes[lane] >> part & 1;
        match self {
            KFormat::Q2_K => crumb(&block[16..]),
            KFormat::Q3_K => crumb(&block[32..]) | bit(block) << 2,
            KFormat::Q4_K => nibble(&block[16..]),
            KFormat::Q5_K => nibble(&block[48..]) | bit(&block[16..]) << 4,
            KFormat::Q6_K => {
                let low = block[64 * half + 32 * (quarter % 2) + lane] >> (4 * (quarter / 2)) & 15;
                low | crumb(&block[128..]) << 4
            }
        }
    }

    /// The scales and minima of one block of 32.
    fn pair(self, block: &[u8], part: usize) -> [u8; 2] {
        match self {
            KFormat::Q2_K => [block[2 * part], block[2 * part + 1]],
            KFormat::Q3_K => [2 * part, 2 * part + 1].map(|i| {
                let packed = &block[96..108];
                let low = packed[i % 8] >> (4 * (i / 8)) & 15;
                let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
                (low | high << 4).wrapping_sub(32)
            }),
            KFormat::Q4_K | KFormat::Q5_K => {
                let packed = &block[4..16];
                if part < 4 {
                    [packed[part] & 63, packed[part + 4] & 63]
                } else {
                    let low = packed[part + 4];
                    [low & 15 | packed[part - 4] >> 6 << 4, low >> 4 | packed[part] >> 6 << 4]
                }
            }
            KFormat::Q6_K => [block[192 + 2 * part], block[193 + 2 * part]],
        }
    }
}
