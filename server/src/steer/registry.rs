//! What may be steered by on the served model, and what is said of it.

use super::repository::StoredSettings;
use super::vector_root::{self, Access};
use super::{Bench, INLINE_LIMIT, Setup};
use crate::wire::error::Code;
use crate::wire::vector::{ScaleObject, VectorObject};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::site::Site;
use trimtab_steering::SteerOptions;
use trimtab_steering::compose::dose::{Dosed, drift};
use trimtab_steering::file::card::{Operation, OperationKind, SiteCard, Status};
use trimtab_steering::file::{Warning, sha256};
use trimtab_steering::spec::{
    AdmitTerms, FieldError, InlineFile, LoadedVector, SteeredModel, VectorLookup,
};

/// Everything that requests can name. Never changed: a new one takes its place.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) settings: StoredSettings,
    pub(crate) vectors: BTreeMap<String, Arc<LoadedVector>>,
}

/// What is known of a vector, without its header.
pub(crate) fn object(loaded: &LoadedVector, frame: &SteeredModel) -> VectorObject {
    let card = loaded.file.card();
    let foreign = |w: &Warning| matches!(w, Warning::ModelDiffers { .. });
    let accepted = loaded.warnings.iter().any(foreign);
    VectorObject {
        object: "steering.vector".to_owned(),
        id: loaded.label.clone(),
        sha256: loaded.sha256.clone(),
        content_sha256: loaded.file.content_sha256().to_owned(),
        op: OperationKind::from(card.operation),
        rank: loaded.file.directions().first().map_or(1, |direction| direction.rank()),
        sites: card.sites.keys().map(ToString::to_string).collect(),
        scale: ScaleObject { default: card.scale.default, safe: card.scale.safe },
        status: status(card.status).to_owned(),
        dose_per_unit: dose_per_unit(loaded, frame),
        model_match: if accepted { "accepted" } else { "exact" }.to_owned(),
        template_match: !loaded.warnings.contains(&Warning::TemplateDiffers),
        bytes: loaded.bytes,
        warnings: told(loaded, frame),
        header: None,
    }
}

fn told(loaded: &LoadedVector, frame: &SteeredModel) -> Vec<String> {
    let drift = drift(&Dosed::new(&loaded.file, &SteerOptions::default()), &frame.norms);
    let drift = drift.map(|_| "stream_norm_drift");
    loaded.warnings.iter().map(Warning::code).chain(drift).map(str::to_owned).collect()
}

fn dose_per_unit(loaded: &LoadedVector, frame: &SteeredModel) -> BTreeMap<String, f64> {
    let card = loaded.file.card();
    let dose = |(site, entry): (&Site, &SiteCard)| {
        let norm = frame.norms.get(site).copied().or(entry.stream_norm)?;
        let dose = match card.operation {
            Operation::Add => f64::from(entry.magnitude?) / f64::from(norm),
            Operation::Rotate { degrees } => {
                2.0 * (f64::from(degrees).abs() / 2.0).to_radians().sin()
            }
            Operation::Project | Operation::Clamp { .. } => return None,
        };
        Some((site.to_string(), dose))
    };
    card.sites.iter().filter_map(dose).collect()
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Measured => "measured",
        Status::Unmeasured => "unmeasured",
        Status::Null => "null",
    }
}

impl VectorLookup for Bench<'_> {
    fn registered(&self, id: &str) -> Option<Arc<LoadedVector>> {
        self.state.vectors.get(id).cloned()
    }

    fn source(&self, source: &str) -> Result<Arc<LoadedVector>, FieldError> {
        let Setup { sources, upload_limit, .. } = *self.setup;
        if sources == Access::Closed {
            return Err(closed("source"));
        }
        let root = self.setup.vector_root.as_deref();
        self.loaded(source, &vector_root::read(source, root, sources, upload_limit)?)
    }

    fn inline(&self, file: &InlineFile) -> Result<Arc<LoadedVector>, FieldError> {
        if self.setup.inline == Access::Closed {
            return Err(closed("inline"));
        }
        let bytes = decoded(&file.safetensors_b64)?;
        hashes_to(&bytes, &file.sha256)?;
        self.loaded("inline", &bytes)
    }
}

impl Bench<'_> {
    fn loaded(&self, label: &str, bytes: &[u8]) -> Result<Arc<LoadedVector>, FieldError> {
        let terms = AdmitTerms::default();
        LoadedVector::read(label, bytes, &self.frame.pin, terms).map(Arc::new)
    }
}

fn closed(field: &str) -> FieldError {
    let problem = format!("is switched off; start the server with --allow-{field}, or use id");
    FieldError::new(Code::SourceDisabled, "", problem)
}

fn decoded(text: &str) -> Result<Vec<u8>, FieldError> {
    // Looked at before it is decoded: four characters are three bytes, less two for padding.
    if text.len() as u64 / 4 * 3 > INLINE_LIMIT + 2 {
        return Err(vector_root::too_long(INLINE_LIMIT, "safetensors_b64"));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let bytes =
        bytes.map_err(|e| FieldError::value("safetensors_b64", format!("is no base64: {e}")))?;
    vector_root::fits(bytes, INLINE_LIMIT, "safetensors_b64")
}

/// Refuses bytes that are not those that were meant. The fault is at the field `sha256`.
pub(crate) fn hashes_to(bytes: &[u8], expected: &str) -> Result<(), FieldError> {
    let found = sha256(bytes);
    if found == expected {
        return Ok(());
    }
    let problem = format!("is not the hash of the file, which is {found}");
    Err(FieldError::new(Code::ContentHashMismatch, "sha256", problem))
}
