//! How a tensor is stored in a file, and how many bytes that takes.

use std::fmt;

use candle_core::DType;
use candle_core::quantized::GgmlDType;

/// The element type of a stored tensor. Types that cannot be loaded are kept by name, so that a
/// file with one odd, unused tensor still opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredType {
    /// 32-bit float.
    F32,
    /// 16-bit float of IEEE 754.
    F16,
    /// 16-bit float with the exponent of `F32`.
    BF16,
    /// 4 bits, a scale for 32 values.
    Q4_0,
    /// 4 bits, a scale and an offset for 32 values.
    Q4_1,
    /// 5 bits, a scale for 32 values.
    Q5_0,
    /// 5 bits, a scale and an offset for 32 values.
    Q5_1,
    /// 8 bits, a scale for 32 values.
    Q8_0,
    /// 8 bits, a scale and a sum for 32 values; meant for activations.
    Q8_1,
    /// 2 bits in nested blocks of 256; printed `Q2_K`.
    Q2K,
    /// 3 bits in nested blocks of 256; printed `Q3_K`.
    Q3K,
    /// 4 bits in nested blocks of 256; printed `Q4_K`.
    Q4K,
    /// 5 bits in nested blocks of 256; printed `Q5_K`.
    Q5K,
    /// 6 bits in nested blocks of 256; printed `Q6_K`.
    Q6K,
    /// 8 bits in blocks of 256, meant for activations; printed `Q8_K`.
    Q8K,
    /// A type that has a name but cannot be loaded, such as `IQ4_XS` or `I64`.
    Unsupported(&'static str),
    /// A GGML type number without a known name.
    Unknown(u32),
}

/// What a stored tensor becomes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Dense(DType),
    Quantised(GgmlDType),
}

/// Values per block and bytes per block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) values: u64,
    pub(super) bytes: u64,
}

/// GGML types that are named and measured but not loaded: number, name, values and bytes per block.
const FOREIGN: &[(u32, &str, u64, u64)] = &[
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (31, "Q4_0_4_4", 32, 18),
    (32, "Q4_0_4_8", 32, 18),
    (33, "Q4_0_8_8", 32, 18),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

impl StoredType {
    /// The type with this number in a GGUF file.
    pub(super) fn from_ggml(number: u32) -> Self {
        match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            9 => Self::Q8_1,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            15 => Self::Q8K,
            30 => Self::BF16,
            _ => FOREIGN
                .iter()
                .find(|(known, ..)| *known == number)
                .map_or(Self::Unknown(number), |(_, name, ..)| Self::Unsupported(name)),
        }
    }

    /// The type of a safetensors tensor.
    pub(super) fn from_safetensors(dtype: safetensors::Dtype) -> Self {
        use safetensors::Dtype;
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F64 => Self::Unsupported("F64"),
            Dtype::C64 => Self::Unsupported("C64"),
            Dtype::BOOL => Self::Unsupported("BOOL"),
            Dtype::U8 => Self::Unsupported("U8"),
            Dtype::I8 => Self::Unsupported("I8"),
            Dtype::U16 => Self::Unsupported("U16"),
            Dtype::I16 => Self::Unsupported("I16"),
            Dtype::U32 => Self::Unsupported("U32"),
            Dtype::I32 => Self::Unsupported("I32"),
            Dtype::U64 => Self::Unsupported("U64"),
            Dtype::I64 => Self::Unsupported("I64"),
            Dtype::F4 => Self::Unsupported("F4"),
            Dtype::F6_E2M3 => Self::Unsupported("F6_E2M3"),
            Dtype::F6_E3M2 => Self::Unsupported("F6_E3M2"),
            Dtype::F8_E5M2 => Self::Unsupported("F8_E5M2"),
            Dtype::F8_E4M3 => Self::Unsupported("F8_E4M3"),
            Dtype::F8_E8M0 => Self::Unsupported("F8_E8M0"),
            Dtype::F8_E4M3FNUZ => Self::Unsupported("F8_E4M3FNUZ"),
            Dtype::F8_E5M2FNUZ => Self::Unsupported("F8_E5M2FNUZ"),
            // The crate's enum is open: a type it learns later is refused at load like the others.
            _ => Self::Unsupported("a newer safetensors type"),
        }
    }

    /// Whether [`Weights::load`](super::Weights::load) can read this type.
    pub fn is_supported(self) -> bool {
        self.form().is_some()
    }

    /// The GGML type of candle for a block-quantised tensor; `None` for dense and foreign types.
    pub fn quantised(self) -> Option<GgmlDType> {
        match self.form()? {
            Form::Quantised(dtype) => Some(dtype),
            Form::Dense(_) => None,
        }
    }

    /// What the tensor becomes in memory; `None` for a type that cannot be loaded.
    pub(super) fn form(self) -> Option<Form> {
        let form = match self {
            Self::F32 => Form::Dense(DType::F32),
            Self::F16 => Form::Dense(DType::F16),
            Self::BF16 => Form::Dense(DType::BF16),
            Self::Q4_0 => Form::Quantised(GgmlDType::Q4_0),
            Self::Q4_1 => Form::Quantised(GgmlDType::Q4_1),
            Self::Q5_0 => Form::Quantised(GgmlDType::Q5_0),
            Self::Q5_1 => Form::Quantised(GgmlDType::Q5_1),
            Self::Q8_0 => Form::Quantised(GgmlDType::Q8_0),
            Self::Q8_1 => Form::Quantised(GgmlDType::Q8_1),
            Self::Q2K => Form::Quantised(GgmlDType::Q2K),
            Self::Q3K => Form::Quantised(GgmlDType::Q3K),
            Self::Q4K => Form::Quantised(GgmlDType::Q4K),
            Self::Q5K => Form::Quantised(GgmlDType::Q5K),
            Self::Q6K => Form::Quantised(GgmlDType::Q6K),
            Self::Q8K => Form::Quantised(GgmlDType::Q8K),
            Self::Unsupported(_) | Self::Unknown(_) => return None,
        };
        Some(form)
    }

    /// The block of a GGUF tensor; `None` where the size of a value is not known.
    pub(super) fn block(self) -> Option<Block> {
        match self {
            Self::Unsupported(name) => FOREIGN
                .iter()
                .find(|(_, known, ..)| *known == name)
                .map(|&(_, _, values, bytes)| Block { values, bytes }),
            _ => self.form().map(|form| match form {
                Form::Dense(dtype) => Block { values: 1, bytes: dtype.size_in_bytes() as u64 },
                Form::Quantised(dtype) => {
                    Block { values: dtype.block_size() as u64, bytes: dtype.type_size() as u64 }
                }
            }),
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q8_1 => "Q8_1",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Q8K => "Q8_K",
            Self::Unsupported(name) => name,
            Self::Unknown(number) => return write!(out, "GGML type {number}"),
        };
        out.write_str(name)
    }
}
