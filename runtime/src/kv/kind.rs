//! The type keys and values are kept as.
//!
//! f16 halves their memory. Everything is calculated in f32 all the same: what is stored is rounded once, and every
//! query, those of the same pass included, reads it as it is stored. So passes, rewinds and forks stay exact.

use candle_core::DType;

/// The type keys and values are kept as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum KvType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit IEEE floats: half the memory, eleven bits of precision, nothing above 65,504.
    F16,
}

impl KvType {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        self.dtype().size_in_bytes()
    }

    /// Its name, such as `f32`.
    pub fn name(self) -> &'static str {
        self.dtype().as_str()
    }

    pub(super) fn dtype(self) -> DType {
        match self {
            KvType::F32 => DType::F32,
            KvType::F16 => DType::F16,
        }
    }
}
