//! Whether a vector may be used on a model.

use super::card::{ModelPin, Pinned};
use super::digest;
use crate::error::{Error, Result};
use std::fmt;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::spec::ModelSpec;

/// Digits of a file's weights hash that accept another model by name.
const ACCEPT_DIGITS: usize = 12;
/// What accepts a file that names no model.
const UNPINNED: &str = "unpinned";

/// Something to tell about a vector that is used all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Another build, fine-tune, or none in particular; the caller accepted it.
    ModelDiffers {
        /// What the file says it was made on.
        made_on: String,
    },
    /// The chat template is another one.
    TemplateDiffers,
    /// The tokenizer is another one.
    TokenizerDiffers,
}

impl Warning {
    /// Its name in receipts.
    pub fn code(&self) -> &'static str {
        match self {
            Warning::ModelDiffers { .. } => "model_differs",
            Warning::TemplateDiffers => "template_differs",
            Warning::TokenizerDiffers => "tokenizer_differs",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::ModelDiffers { made_on } => {
                write!(f, "was made on {made_on}; it is used as you asked")
            }
            Warning::TemplateDiffers => f.write_str("was made under another chat template"),
            Warning::TokenizerDiffers => f.write_str("was made with another tokenizer"),
        }
    }
}

impl ModelPin {
    /// The identity of an opened model. One without a tokenizer has the hash of no bytes there, so that vectors can be
    /// used on token ids, with the warning that the tokenizer differs.
    pub fn of(model: &Model, pinned: Pinned) -> Result<ModelPin> {
        let (spec, identity) = (model.decoder().spec(), model.identity());
        let tokenizer = model.tokenizer().map(|tokenizer| tokenizer.sha256().to_owned());
        Ok(ModelPin {
            arch: spec.arch.name.to_owned(),
            d_model: spec.d_model,
            family_sha256: family_sha256(spec),
            n_layers: spec.n_layers(),
            name: model.name().to_owned(),
            pinned,
            quantization: identity.quantization.clone(),
            revision: model.revision().map(str::to_owned),
            template_sha256: model.template().ok().map(|t| t.sha256().to_owned()),
            tokenizer_sha256: tokenizer.unwrap_or_else(|_| digest::sha256(b"")),
            vocab_size: spec.vocab_size,
            weights_sha256: identity.weights_sha256.clone(),
        })
    }
}

/// SHA-256 of the numbers of an architecture, as compact JSON with sorted keys.
pub fn family_sha256(spec: &ModelSpec) -> String {
    let json = format!(
        "{{\"arch\":\"{}\",\"d_ff\":{},\"d_model\":{},\"n_heads\":{},\"n_kv_heads\":{},\"n_layers\":{},\"vocab_size\":{}}}",
        spec.arch.name,
        spec.d_ff,
        spec.d_model,
        spec.n_heads,
        spec.n_kv_heads,
        spec.n_layers(),
        spec.vocab_size
    );
    digest::sha256(json.as_bytes())
}

/// Holds a file's model against the one that is to be steered. `accept` is what the caller wrote to use it anyway.
pub(crate) fn admit<'a>(
    made_on: Option<&ModelPin>,
    model: &ModelPin,
    accept: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Warning>> {
    let mut accept = accept.into_iter();
    let Some(made_on) = made_on else {
        let made_on = "no model in particular (an import that named none)";
        return accepted(made_on.to_owned(), accept.find(|text| *text == UNPINNED), UNPINNED);
    };
    let mut warnings = Vec::new();
    if made_on.weights_sha256 != model.weights_sha256 {
        same_shape("d_model", made_on.d_model, model.d_model)?;
        same_shape("n_layers", made_on.n_layers, model.n_layers)?;
        let hash = made_on.weights_sha256.as_str();
        let named = accept.find(|text| text.len() >= ACCEPT_DIGITS && hash.starts_with(text));
        let shown = format!("{} ({})", made_on.name, made_on.quantization);
        warnings = accepted(shown, named, hash.get(..ACCEPT_DIGITS).unwrap_or(hash))?;
    }
    if made_on.template_sha256 != model.template_sha256 {
        warnings.push(Warning::TemplateDiffers);
    }
    if made_on.tokenizer_sha256 != model.tokenizer_sha256 {
        warnings.push(Warning::TokenizerDiffers);
    }
    Ok(warnings)
}

fn same_shape(field: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::ModelShape { field, found, expected }) }
}

/// A warning if the caller named this file's model, and otherwise the refusal that says how to.
fn accepted(made_on: String, named: Option<&str>, accept: &str) -> Result<Vec<Warning>> {
    if named.is_some() {
        return Ok(vec![Warning::ModelDiffers { made_on }]);
    }
    Err(Error::ModelMismatch { made_on, accept: accept.to_owned() })
}
