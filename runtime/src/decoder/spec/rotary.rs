//! The rotary tables that a `config.json` asks for.
//!
//! Two generations of keys are in the wild: `rope_theta` with `rope_scaling`, and `rope_parameters`, which may
//! hold one entry per attention type. Both are read, and a file that has both must say the same in both: transformers
//! takes one or the other, by its version.

use super::SpecError;
use super::arch::Architecture;
use super::json::Json;
use super::model_type::{ModelType, Partial, Yarn};
use crate::decoder::rope::{RopeScaling, RopeSpec, RopeStyle, Rounding};
use serde_json::Value;

/// Where a table's numbers are looked for.
struct Reader<'a> {
    json: &'a Json<'a>,
    kind: &'static ModelType,
    head_dim: usize,
}

/// The global table first, the local one (if any) last: the order `ModelSpec::check` relies on.
pub(super) fn read(
    json: &Json,
    kind: &'static ModelType,
    head_dim: usize,
) -> Result<Vec<RopeSpec>, SpecError> {
    let arch = Architecture::named(kind.arch)?;
    let reader = Reader { json, kind, head_dim };
    let base = json.number("rope_theta")?.unwrap_or(kind.rope_base);
    let local_base = match arch.local_base {
        Some(usual) => Some(json.number("rope_local_base_freq")?.unwrap_or(usual)),
        None => None,
    };
    let older = json.child("rope_scaling");
    let Some(newer) = json.child("rope_parameters") else {
        return reader.tables(older.as_ref(), base, local_base);
    };
    let tables = reader.tables(Some(&newer), base, local_base)?;
    if let Some(older) = older {
        let base_of = |at: usize| tables.get(at).map(|table| table.base);
        let other = reader.tables(Some(&older), base_of(0).unwrap_or(base), base_of(1))?;
        let says = |tables: &[RopeSpec]| -> Vec<(f64, RopeScaling)> {
            tables.iter().map(|table| (table.base, table.scaling.clone())).collect()
        };
        if says(&tables) != says(&other) {
            let problem = "is given beside rope_parameters, which says something else; keep one";
            return Err(SpecError::value(json.name("rope_scaling"), problem));
        }
    }
    Ok(tables)
}

impl Reader<'_> {
    /// The tables of one object of parameters.
    fn tables(
        &self,
        parameters: Option<&Json>,
        base: f64,
        local_base: Option<f64>,
    ) -> Result<Vec<RopeSpec>, SpecError> {
        let of = |name| parameters.and_then(|p: &Json| p.child(name));
        let (global, local) = (of("full_attention"), of("sliding_attention"));
        if global.is_some() || local.is_some() {
            return Ok(vec![
                self.table(global.as_ref(), base)?,
                self.table(local.as_ref(), local_base.unwrap_or(base))?,
            ]);
        }
        let global = self.table(parameters, base)?;
        let Some(local_base) = local_base else {
            return Ok(vec![global]);
        };
        let local = RopeSpec { base: local_base, scaling: RopeScaling::None, ..global.clone() };
        Ok(vec![global, local])
    }

    fn table(&self, parameters: Option<&Json>, base: f64) -> Result<RopeSpec, SpecError> {
        let inner = |key: &'static str| parameters.map(|p| p.number(key)).transpose();
        let partial = match inner("partial_rotary_factor")?.flatten() {
            Some(partial) => Some(partial),
            None => self.json.number("partial_rotary_factor")?,
        };
        let partial = partial.unwrap_or(1.0);
        // Other classes read it with some scalings and not with others.
        let usable =
            partial == 1.0 || self.kind.partial == Partial::Read && partial > 0.0 && partial <= 1.0;
        if !usable {
            let problem = format!("is {partial}, which is not supported for {}", self.kind.name);
            return Err(SpecError::value("partial_rotary_factor", problem));
        }
        Ok(RopeSpec {
            base: inner("rope_theta")?.flatten().unwrap_or(base),
            rotary_dim: (self.head_dim as f64 * partial) as usize,
            style: RopeStyle::Halves,
            scaling: match parameters {
                Some(p) => self.scaling(p)?,
                None => RopeScaling::None,
            },
        })
    }

    fn context(&self) -> Result<usize, SpecError> {
        let context = self.json.integer("max_position_embeddings")?;
        Ok(context.unwrap_or(self.kind.context_length))
    }

    /// The context of pre-training: the field beside the table's goes before the one in it.
    fn original(&self, p: &Json) -> Result<Option<usize>, SpecError> {
        let field = "original_max_position_embeddings";
        Ok(match self.json.integer(field)? {
            Some(n) => Some(n),
            None => p.integer(field)?.or(self.kind.original_context),
        })
    }

    fn scaling(&self, p: &Json) -> Result<RopeScaling, SpecError> {
        let kind = match p.text("rope_type")? {
            Some(kind) => kind,
            None => p.text("type")?.unwrap_or("default"),
        };
        let need = |key: &'static str| p.number(key)?.ok_or_else(|| p.missing(key));
        match kind {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: need("factor")? }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original_context: self
                    .original(p)?
                    .ok_or_else(|| p.missing("original_max_position_embeddings"))?,
            }),
            // Phi-3 had two other words for it.
            "longrope" | "su" => self.long_rope(p),
            "yarn" if self.kind.yarn == Yarn::LongRope => self.long_rope(p),
            "yarn" => yarn(p, self.original(p)?.unwrap_or(self.context()?)),
            other => Err(SpecError::value("rope_type", format!("{other:?} is not supported"))),
        }
    }

    fn long_rope(&self, p: &Json) -> Result<RopeScaling, SpecError> {
        let list = |key: &'static str| p.numbers(key)?.ok_or_else(|| p.missing(key));
        let context = self.context()?;
        let original_context = self.original(p)?.unwrap_or(context);
        let stretch = context as f64 / original_context as f64;
        let factor = p.number("factor")?.unwrap_or(stretch);
        let derived = if factor <= 1.0 {
            1.0
        } else {
            (1.0 + factor.ln() / (original_context as f64).ln()).sqrt()
        };
        Ok(RopeScaling::LongRope {
            short: list("short_factor")?,
            long: list("long_factor")?,
            original_context,
            attention_factor: p.number("attention_factor")?.unwrap_or(derived),
        })
    }
}

fn yarn(p: &Json, original_context: usize) -> Result<RopeScaling, SpecError> {
    let exact = p.object.get("truncate") == Some(&Value::Bool(false));
    for key in ["mscale", "mscale_all_dim"] {
        if p.number(key)?.is_some() {
            return Err(SpecError::value(key, "is not supported"));
        }
    }
    Ok(RopeScaling::Yarn {
        factor: p.number("factor")?.ok_or_else(|| p.missing("factor"))?,
        original_context,
        beta_fast: p.number("beta_fast")?.unwrap_or(32.0),
        beta_slow: p.number("beta_slow")?.unwrap_or(1.0),
        truncate: if exact { Rounding::Exact } else { Rounding::Whole },
        attention_factor: p.number("attention_factor")?,
    })
}
