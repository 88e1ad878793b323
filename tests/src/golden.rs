//! Golden tensors that other programs wrote.

use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

pub use crate::golden_path as path;

/// The tensors of a golden file.
pub struct Golden {
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    /// Reads a safetensors file under `tests/golden`.
    ///
    /// # Panics
    /// If the file cannot be read: a test without its golden proves nothing.
    #[allow(clippy::expect_used)] // test support: a missing golden must fail the test
    pub fn read(relative: &str) -> Golden {
        let tensors = candle_core::safetensors::load(path(relative), &Device::Cpu);
        Golden { tensors: tensors.expect("golden file") }
    }

    /// The names in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor as f32.
    ///
    /// # Panics
    /// If the file has none of this name.
    #[allow(clippy::expect_used)] // test support: a missing golden must fail the test
    pub fn tensor(&self, name: &str) -> Tensor {
        let tensor = self.tensors.get(name).expect(name);
        tensor.to_dtype(DType::F32).expect("f32")
    }

    /// Token ids.
    ///
    /// # Panics
    /// If the file has none of this name.
    #[allow(clippy::expect_used)] // test support: a missing golden must fail the test
    pub fn tokens(&self, name: &str) -> Vec<u32> {
        let tensor = self.tensors.get(name).expect(name);
        tensor.to_dtype(DType::U32).and_then(|t| t.to_vec1()).expect("token ids")
    }
}

/// Largest |a − b| over the largest |b|.
///
/// # Panics
/// If the shapes differ.
#[allow(clippy::expect_used)] // test support: shapes that differ must fail the test
pub fn relative_gap(a: &Tensor, b: &Tensor) -> f32 {
    let most = |t: &Tensor| t.abs().and_then(|t| t.max_all()?.to_scalar::<f32>());
    let gap = (a - b).and_then(|d| most(&d)).expect("equal shapes");
    gap / most(b).expect("a tensor of numbers")
}
