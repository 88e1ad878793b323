//! Rotary position embedding: frequencies, scalings and tables.
//!
//! Frequencies are rounded to f32 and multiplied by the position in f32, as transformers does: more exact
//! angles would only move us away from the arithmetic the weights were trained with.

pub use crate::kernels::qk_norm_rope::{RopeStyle, RopeTable};

use crate::decoder::spec::SpecError;
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};

/// How frequencies are changed for longer contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not.
    None,
    /// Position interpolation: every frequency divided by `factor` (arXiv 2306.15595).
    Linear {
        /// Context multiple.
        factor: f64,
    },
    /// Llama 3.1's rule: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Context multiple.
        factor: f64,
        /// Below context/this wavelength-wise, divided.
        low_freq_factor: f64,
        /// Above, kept.
        high_freq_factor: f64,
        /// Context of pre-training.
        original_context: usize,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// Context multiple.
        factor: f64,
        /// Context of pre-training.
        original_context: usize,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is interpolated.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded to whole dimensions.
        truncate: Rounding,
        /// Factor on cos and sin; `None` for 0.1·ln(factor) + 1.
        attention_factor: Option<f64>,
    },
    /// LongRoPE (arXiv 2402.13753): a divisor per frequency, one list below and one above the original context.
    ///
    /// Which list is used is fixed when the model is loaded, by the context it is loaded with: keys already in a
    /// cache cannot change their rotation when a sequence grows past the border, and a cache that was read with one
    /// list must not be continued, shared or rewound with the other. A context up to the border therefore gives every
    /// sequence what its length asks for; a longer one gives the long list to all.
    LongRope {
        /// Divisors for contexts up to `original_context`.
        short: Vec<f64>,
        /// Divisors for longer ones.
        long: Vec<f64>,
        /// Context of pre-training.
        original_context: usize,
        /// Factor on cos and sin.
        attention_factor: f64,
    },
    /// Divisors stored in the file as a tensor (`rope_freqs.weight`), how GGUF writes Llama 3.1's rule.
    Divisors(Vec<f64>),
}

/// Whether YaRN rounds the ends of its ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Outwards to whole dimensions, the paper's code.
    Whole,
    /// Not.
    Exact,
}

/// One rotary table.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Frequency base θ.
    pub base: f64,
    /// Leading elements of a head that are rotated; even.
    pub rotary_dim: usize,
    /// Pairing.
    pub style: RopeStyle,
    /// Scaling.
    pub scaling: RopeScaling,
}

impl RopeSpec {
    /// Refuses numbers no rotation can use.
    pub(crate) fn check(&self, head_dim: usize) -> Result<(), SpecError> {
        let half = self.rotary_dim / 2;
        if self.rotary_dim == 0 || !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > head_dim
        {
            return Err(SpecError::value(
                "rotary width",
                format!("is {}, not an even number up to {head_dim}", self.rotary_dim),
            ));
        }
        positive("rope base", self.base)?;
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("rope factor", *factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                positive("rope factor", *factor)?;
                positive("low_freq_factor", *low_freq_factor)?;
                positive("original context", *original_context as f64)?;
                positive("high_freq_factor - low_freq_factor", high_freq_factor - low_freq_factor)
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, .. } => {
                positive("rope factor", *factor)?;
                positive("beta_fast", *beta_fast)?;
                positive("original context", *original_context as f64)?;
                positive("beta_slow", *beta_slow)
            }
            RopeScaling::LongRope { short, long, attention_factor, original_context } => {
                positive("attention factor", *attention_factor)?;
                positive("original context", *original_context as f64)?;
                divisors("short_factor", short, half)?;
                divisors("long_factor", long, half)
            }
            RopeScaling::Divisors(list) => divisors("rope_freqs.weight", list, half),
        }
    }

    /// The longest context that takes LongRoPE's short factors.
    pub fn border(&self) -> Option<usize> {
        match &self.scaling {
            RopeScaling::LongRope { original_context, .. } => Some(*original_context),
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Divisors(_) => None,
        }
    }

    /// `[rotary_dim / 2]` radians per position, and the factor on cos and sin.
    pub fn frequencies(&self, context: usize) -> (Vec<f32>, f32) {
        let dim = self.rotary_dim as f64;
        let plain: Vec<f64> =
            (0..self.rotary_dim / 2).map(|i| 1.0 / self.base.powf(2.0 * i as f64 / dim)).collect();
        let divided = |by: &[f64]| plain.iter().zip(by).map(|(f, d)| f / d).collect::<Vec<f64>>();
        let (scaled, factor) = match &self.scaling {
            RopeScaling::None => (plain, 1.0),
            RopeScaling::Linear { factor } => (plain.iter().map(|f| f / factor).collect(), 1.0),
            RopeScaling::Llama3 { .. } => (self.llama3(&plain), 1.0),
            RopeScaling::Yarn { .. } => self.yarn(&plain),
            RopeScaling::LongRope { short, long, original_context, attention_factor } => {
                let list = if context > *original_context { long } else { short };
                (divided(list), *attention_factor)
            }
            RopeScaling::Divisors(list) => (divided(list), 1.0),
        };
        (scaled.iter().map(|f| *f as f32).collect(), factor as f32)
    }

    fn llama3(&self, plain: &[f64]) -> Vec<f64> {
        let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } =
            self.scaling
        else {
            return plain.to_vec();
        };
        let turns = |f: f64| original_context as f64 * f / std::f64::consts::TAU;
        let one = |f: &f64| {
            let smooth = (turns(*f) - low_freq_factor) / (high_freq_factor - low_freq_factor);
            let kept = smooth.clamp(0.0, 1.0);
            f * kept + f / factor * (1.0 - kept)
        };
        plain.iter().map(one).collect()
    }

    fn yarn(&self, plain: &[f64]) -> (Vec<f64>, f64) {
        let RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
            truncate,
            attention_factor,
        } = self.scaling
        else {
            return (plain.to_vec(), 1.0);
        };
        let dim = self.rotary_dim as f64;
        // The dimension whose wavelength makes `turns` rotations over the original context.
        let dimension = |turns: f64| {
            dim * (original_context as f64 / (turns * std::f64::consts::TAU)).ln()
                / (2.0 * self.base.ln())
        };
        let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
        if truncate == Rounding::Whole {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let blend = |(i, f): (usize, &f64)| {
            let interpolated = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            f / factor * interpolated + f * (1.0 - interpolated)
        };
        let scale = attention_factor.unwrap_or_else(|| yarn_attention_factor(factor));
        (plain.iter().enumerate().map(blend).collect(), scale)
    }
}

/// YaRN's recommended factor on cos and sin.
pub(crate) fn yarn_attention_factor(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
}

fn positive(field: &str, value: f64) -> Result<(), SpecError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(SpecError::value(field, format!("is {value}, not a positive number")))
}

fn divisors(field: &str, list: &[f64], expected: usize) -> Result<(), SpecError> {
    if list.len() != expected {
        return Err(SpecError::value(field, format!("has {} values of {expected}", list.len())));
    }
    list.iter().try_for_each(|d| positive(field, *d))
}

impl RopeTable {
    // -> cos, sin [context, rotary_dim / 2]
    pub(crate) fn new(spec: &RopeSpec, context: usize, device: &Device) -> Result<Self> {
        let (frequencies, factor) = spec.frequencies(context);
        let half = frequencies.len();
        let angles = (0..context).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles
            .map(|a| {
                let (s, c) = a.sin_cos();
                (s * factor, c * factor)
            })
            .unzip();
        let table = |values: Vec<f32>| {
            Tensor::from_vec(values, (context, half), device).map_err(Error::tensor("rope table"))
        };
        Ok(RopeTable {
            cos: table(cos)?,
            sin: table(sin)?,
            rotary_dim: spec.rotary_dim,
            style: spec.style,
        })
    }
}
