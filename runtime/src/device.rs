//! The device a model runs on, and the one door through which numbers come back from it.
//!
//! This is the only file that asks which candle backends were compiled in.

use crate::error::{Error, Result};
use crate::kernels::{quant, threads};
use candle_core::Tensor;
use std::str::FromStr;

/// Where a model should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// CUDA, then Metal, then the CPU: the first that was built in and answers.
    #[default]
    Best,
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
    /// The Metal device.
    Metal,
}

/// An opened device.
#[derive(Debug, Clone)]
pub struct Device {
    inner: candle_core::Device,
}

impl DeviceChoice {
    /// Opens the device.
    pub fn open(self) -> Result<Device> {
        let refused = |name: &str, e: candle_core::Error| Error::Device {
            name: name.to_owned(),
            reason: e.to_string(),
        };
        let inner = match self {
            DeviceChoice::Cpu => candle_core::Device::Cpu,
            DeviceChoice::Cuda(n) => {
                candle_core::Device::new_cuda(n).map_err(|e| refused(&format!("cuda:{n}"), e))?
            }
            DeviceChoice::Metal => {
                candle_core::Device::new_metal(0).map_err(|e| refused("metal", e))?
            }
            DeviceChoice::Best => candle_core::Device::new_cuda(0)
                .or_else(|_| candle_core::Device::new_metal(0))
                .unwrap_or(candle_core::Device::Cpu),
        };
        Ok(Device { inner })
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            None if text == "metal" => Ok(Self::Metal),
            Some(("cuda", n)) if n.parse::<usize>().is_ok() => {
                Ok(Self::Cuda(n.parse().unwrap_or(0)))
            }
            _ => Err(Error::Invalid {
                field: "device",
                problem: format!("{text:?} is none of cpu, cuda, cuda:N, metal"),
            }),
        }
    }
}

impl Device {
    /// The CPU.
    pub fn cpu() -> Self {
        Device { inner: candle_core::Device::Cpu }
    }

    /// The candle device, for code that makes tensors.
    pub fn candle(&self) -> &candle_core::Device {
        &self.inner
    }

    /// `cpu`, `cuda` or `metal`.
    pub fn kind(&self) -> &'static str {
        match self.inner {
            candle_core::Device::Cpu => "cpu",
            candle_core::Device::Cuda(_) => "cuda",
            candle_core::Device::Metal(_) => "metal",
        }
    }

    /// The backends this build holds, the CPU first.
    pub fn built_in() -> Vec<&'static str> {
        let mut kinds = vec!["cpu"];
        if cfg!(feature = "cuda") {
            kinds.push("cuda");
        }
        if cfg!(feature = "metal") {
            kinds.push("metal");
        }
        kinds
    }
}

/// Sets how many threads CPU kernels use, at most 1,024; possible until the first of them has run.
pub fn set_threads(n: usize) -> Result<()> {
    if n > threads::MOST_THREADS {
        let problem = format!("is {n}, at most {} are started", threads::MOST_THREADS);
        return Err(Error::Invalid { field: "threads", problem });
    }
    if n > 0 && threads::set_threads(n) {
        return Ok(());
    }
    let problem = format!("{n} could not be started; {} are in use", threads());
    Err(Error::Invalid { field: "threads", problem })
}

/// How many threads CPU kernels use.
pub fn threads() -> usize {
    threads::global().threads()
}

/// The instruction set that quantised products run on: `avx512-vnni`, `avx-vnni`, `avx2` or `portable`.
pub fn instruction_set() -> &'static str {
    quant::instruction_set()
}

/// Counts one copy of a step's results, where tests count them.
pub(crate) fn count_copy() {
    #[cfg(feature = "testing")]
    crate::testing::copies::count_one();
}

/// Copies a tensor's values to the host, flat. Counted, because a step may do this once.
pub(crate) fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    count_copy();
    tensor
        .flatten_all()
        .and_then(|t| t.to_dtype(candle_core::DType::F32))
        .and_then(|t| t.to_vec1::<f32>())
        .map_err(Error::tensor("copy to host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_threads_beyond_reason_starts_none() {
        let error = set_threads(100_000).unwrap_err().to_string();
        assert_eq!(error, "threads is 100000, at most 1024 are started");
    }

    #[test]
    fn device_names_parse() {
        assert_eq!("cuda:3".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(3));
        assert_eq!("cpu".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cpu);
        for bad in ["", "gpu", "cuda:", "cuda:x", "cpu:1"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_backend_that_was_not_built_in_says_so() {
        if !cfg!(feature = "cuda") {
            let e = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
            assert!(e.starts_with("device cuda:0 is not usable"), "{e}");
        }
    }
}
