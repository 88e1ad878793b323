//! Vectors that were read and may be used on the served model, and what is said of them.

use super::asked::Origin;
use super::fault::Fault;
use super::frame::Frame;
use super::jail;
use super::shelf::StoredSettings;
use super::{INLINE_LIMIT, Setup};
use crate::wire::error::Code;
use crate::wire::flag::Flag;
use crate::wire::steering::Op;
use crate::wire::vector::{ScaleObject, VectorObject};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_steering::compose::dose::{Dosed, drift};
use trimtab_steering::file::card::{Operation, Status};
use trimtab_steering::file::{Warning, sha256};
use trimtab_steering::steer::NullVectors;
use trimtab_steering::{SteerOptions, VectorFile};

/// Everything that requests can name. Never changed: a new one takes its place.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) settings: StoredSettings,
    pub(crate) vectors: BTreeMap<String, Arc<Loaded>>,
}

/// What whoever brings a file says beside it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) accept: Option<&'a str>,
    pub(crate) null: NullVectors,
}

/// A file that belongs to the served model.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its id or source; `inline` for one that came with the request.
    pub(crate) label: String,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<VectorFile>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) null: NullVectors,
}

impl Loaded {
    /// Reads a file and holds it against the model.
    pub(crate) fn read(
        label: &str,
        bytes: &[u8],
        frame: &Frame,
        terms: Terms<'_>,
    ) -> Result<Loaded, Fault> {
        let told = |e| Fault::of(e, "");
        let file = VectorFile::from_bytes(bytes).map_err(told)?;
        let warnings = file.admit(&frame.pin, terms.accept).map_err(told)?;
        let card = file.card();
        if card.status == Status::Null && terms.null == NullVectors::Refuse {
            let name = card.name.clone();
            return Err(told(trimtab_steering::Error::StatusNull { name }));
        }
        let (label, sha256) = (label.to_owned(), sha256(bytes));
        let (bytes, file) = (bytes.len() as u64, Arc::new(file));
        Ok(Loaded { label, sha256, bytes, file, warnings, null: terms.null })
    }

    /// What is known of it, without its header.
    pub(crate) fn object(&self, frame: &Frame) -> VectorObject {
        let card = self.file.card();
        let foreign = |w: &Warning| matches!(w, Warning::ModelDiffers { .. });
        let accepted = self.warnings.iter().any(foreign);
        VectorObject {
            object: "steering.vector".to_owned(),
            id: self.label.clone(),
            sha256: self.sha256.clone(),
            content_sha256: self.file.content_sha256().to_owned(),
            op: Op::from(card.operation),
            rank: self.file.directions().first().map_or(1, |direction| direction.rank()),
            sites: card.sites.keys().map(ToString::to_string).collect(),
            scale: ScaleObject { default: card.scale.default, safe: card.scale.safe },
            status: status(card.status).to_owned(),
            dose_per_unit: self.dose_per_unit(frame),
            model_match: if accepted { "accepted" } else { "exact" }.to_owned(),
            template_match: match self.warnings.contains(&Warning::TemplateDiffers) {
                true => Flag::No,
                false => Flag::Yes,
            },
            bytes: self.bytes,
            warnings: self.told(frame),
            header: None,
        }
    }

    fn told(&self, frame: &Frame) -> Vec<String> {
        let drift = drift(&Dosed::new(&self.file, &SteerOptions::default()), &frame.norms);
        let drift = drift.map(|_| "stream_norm_drift");
        self.warnings.iter().map(Warning::code).chain(drift).map(str::to_owned).collect()
    }

    fn dose_per_unit(&self, frame: &Frame) -> BTreeMap<String, f64> {
        let card = self.file.card();
        let dose = |(site, entry): (&trimtab_runtime::site::Site, &_)| {
            let entry: &trimtab_steering::file::card::SiteCard = entry;
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
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Measured => "measured",
        Status::Unmeasured => "unmeasured",
        Status::Null => "null",
    }
}

/// The file a request names, wherever it is.
pub(crate) fn find(
    origin: Origin<'_>,
    (frame, setup, state): (&Frame, &Setup, &State),
) -> Result<Arc<Loaded>, Fault> {
    let terms = Terms::default();
    match origin {
        Origin::Id(id) => state.vectors.get(id).cloned().ok_or_else(|| unknown("id", id)),
        Origin::Source(_) if setup.sources == jail::Door::Closed => Err(closed("source")),
        Origin::Source(text) => {
            let root = setup.vector_root.as_deref();
            let bytes = jail::read(text, root, setup.sources, setup.upload_limit)?;
            let loaded = Loaded::read(text, &bytes, frame, terms);
            loaded.map(Arc::new).map_err(|e| e.under("source"))
        }
        Origin::Inline(_) if setup.inline == jail::Door::Closed => Err(closed("inline")),
        Origin::Inline(inline) => {
            let bytes = decoded(&inline.safetensors_b64).map_err(|e| e.under("inline"))?;
            hashes_to(&bytes, &inline.sha256).map_err(|e| e.under("inline"))?;
            let loaded = Loaded::read("inline", &bytes, frame, terms);
            loaded.map(Arc::new).map_err(|e| e.under("inline"))
        }
    }
}

/// There is no vector of this name.
pub(crate) fn unknown(field: &str, id: &str) -> Fault {
    Fault::new(Code::VectorNotFound, field, format!("is {id:?}, and no such vector is registered"))
}

fn closed(field: &'static str) -> Fault {
    let problem = format!("is switched off; start the server with --allow-{field}, or use id");
    Fault::new(Code::SourceDisabled, field, problem)
}

fn decoded(text: &str) -> Result<Vec<u8>, Fault> {
    // Looked at before it is decoded: four characters are three bytes, less two for padding.
    if text.len() as u64 / 4 * 3 > INLINE_LIMIT + 2 {
        return Err(jail::too_long(INLINE_LIMIT, "safetensors_b64"));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let bytes = bytes.map_err(|e| Fault::value("safetensors_b64", format!("is no base64: {e}")))?;
    jail::fits(bytes, INLINE_LIMIT, "safetensors_b64")
}

/// Refuses bytes that are not those somebody meant. The fault is at the field `sha256`.
pub(crate) fn hashes_to(bytes: &[u8], expected: &str) -> Result<(), Fault> {
    let found = sha256(bytes);
    if found == expected {
        return Ok(());
    }
    let problem = format!("is not the hash of the file, which is {found}");
    Err(Fault::new(Code::ContentHashMismatch, "sha256", problem))
}
