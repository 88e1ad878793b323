//! What administrators do: vectors come and go, presets and the server default change.
//!
//! Every change is stored before it is in force, so that what was answered as done survives a crash.

use super::layer::{Layer, LayerSource};
use super::registry::{State, hashes_to, object};
use super::repository::{Lock, StoredSettings, StoredVector};
use super::resolve::resolve;
use super::{Steering, held, vector_root};
use crate::error::ApiError;
use crate::wire::error::Code;
use crate::wire::steering as wire;
use crate::wire::vector::{
    Check, Checked, LimitsObject, LoadVector, PutSteering, SteeringObject, UploadQuery, VectorList,
    VectorObject,
};
use std::sync::{Arc, TryLockError};
use trimtab_steering::spec::{AdmitTerms, FieldError, LoadedVector, not_registered};
use trimtab_steering::steer::NullVectors;

/// Letters in the name of a vector or a preset.
const NAME_LIMIT: usize = 64;

/// Whether something new is there.
#[derive(Debug, Clone, PartialEq)]
pub enum Registered {
    /// It was registered.
    Created(Box<VectorObject>),
    /// The same file was registered under this name already.
    Known(Box<VectorObject>),
}

impl Steering {
    /// All registered vectors.
    pub fn list(&self) -> VectorList {
        let state = self.state();
        let data = state.vectors.values().map(|loaded| object(loaded, &self.frame)).collect();
        VectorList { object: "list".to_owned(), data }
    }

    /// One registered vector, with all that its file says.
    pub fn describe(&self, id: &str) -> Result<VectorObject, ApiError> {
        let state = self.state();
        let loaded = state.vectors.get(id).ok_or_else(|| not_registered("id", id))?;
        let header = serde_json::from_str(&loaded.file.header()?);
        Ok(VectorObject { header: header.ok(), ..object(loaded, &self.frame) })
    }

    /// Registers the bytes of a native file.
    pub fn upload(
        &self,
        id: &str,
        bytes: Vec<u8>,
        query: &UploadQuery,
    ) -> Result<Registered, ApiError> {
        named("id", id)?;
        let bytes = vector_root::fits(bytes, self.setup.upload_limit, "file")?;
        let stored = StoredVector {
            id: id.to_owned(),
            sha256: trimtab_steering::file::sha256(&bytes),
            bytes,
            source: None,
            accept_model: query.accept_model.clone(),
            null: null(query.allow_null),
        };
        self.one_at_a_time(|| self.register(stored, "file"))
    }

    /// Registers a file that the server finds itself.
    pub fn load(&self, asked: &LoadVector) -> Result<Registered, ApiError> {
        named("id", &asked.id)?;
        self.one_at_a_time(|| {
            let (root, limit) = (self.setup.vector_root.as_deref(), self.setup.upload_limit);
            let bytes = vector_root::read(&asked.source, root, self.setup.sources, limit)
                .map_err(|fault| fault.under("source"))?;
            if let Some(sha256) = &asked.sha256 {
                hashes_to(&bytes, sha256)?;
            }
            let stored = StoredVector {
                id: asked.id.clone(),
                sha256: trimtab_steering::file::sha256(&bytes),
                bytes,
                source: Some(asked.source.clone()),
                accept_model: asked.accept_model.clone(),
                null: null(asked.allow_null),
            };
            self.register(stored, "source")
        })
    }

    /// Forgets a vector that neither the server default nor a preset names.
    pub fn delete(&self, id: &str) -> Result<(), ApiError> {
        let _changing = held(&self.change);
        let mut state = State::clone(&self.state());
        if state.vectors.remove(id).is_none() {
            return Err(not_registered("id", id).into());
        }
        if let Some(user) = user(&state.settings, id) {
            let problem = format!("is {id:?}, which {user} names; change that first");
            return Err(FieldError::new(Code::InUse, "id", problem).into());
        }
        self.shelf.delete_vector(id)?;
        self.publish(state);
        Ok(())
    }

    /// What is done to every answer, and what requests can name.
    pub fn settings(&self) -> SteeringObject {
        self.object(&self.state().settings)
    }

    /// Replaces presets and server default, if no other change has come since.
    pub fn put_settings(&self, put: PutSteering) -> Result<SteeringObject, ApiError> {
        let _changing = held(&self.change);
        let mut state = State::clone(&self.state());
        let version = state.settings.version;
        if put.expected_version != version {
            let problem = format!(
                "is {}, and version {version} is in force; read it again",
                put.expected_version
            );
            return Err(FieldError::new(Code::VersionConflict, "expected_version", problem).into());
        }
        state.settings = StoredSettings {
            version: version + 1,
            default: put.default,
            lock: if put.locked == Some(true) { Lock::Locked } else { Lock::Open },
            allow: put.allow.unwrap_or_default(),
            presets: put.presets.unwrap_or_default(),
        };
        self.admit(&state)?;
        self.shelf.put_settings(&state.settings)?;
        let warnings = self.warn(&state);
        let object = SteeringObject { warnings, ..self.object(&state.settings) };
        self.publish(state);
        Ok(object)
    }

    /// What a steering object would do. Makes no token.
    pub fn check(&self, check: &Check) -> Result<Checked, ApiError> {
        let resolved = self.now().resolve(Some(&check.steering), None, None)?;
        let doses = resolved.lowered.site_doses();
        Ok(Checked {
            ok: true,
            dose: doses.into_iter().map(|(site, dose)| (site.to_string(), dose)).collect(),
            warnings: resolved.warnings,
            resolved: resolved.request,
        })
    }

    fn object(&self, settings: &StoredSettings) -> SteeringObject {
        SteeringObject {
            version: settings.version,
            default: settings.default.clone(),
            locked: settings.lock == Lock::Locked,
            allow: settings.allow.clone(),
            presets: settings.presets.clone(),
            warnings: Vec::new(),
            limits: LimitsObject { dose: self.setup.dose.site, vectors: self.setup.vector_limit },
        }
    }

    fn one_at_a_time<T>(&self, load: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let _loading = match self.load.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let told = "another vector is being loaded; try again in a moment";
                return Err(ApiError::new(Code::Busy, told));
            }
        };
        load()
    }

    fn register(&self, stored: StoredVector, field: &str) -> Result<Registered, ApiError> {
        let terms = AdmitTerms { accept: stored.accept_model.as_deref(), null: stored.null };
        let loaded = LoadedVector::read(&stored.id, &stored.bytes, &self.frame.pin, terms);
        let loaded = loaded.map_err(|e| e.under(field))?;
        let _changing = held(&self.change);
        let mut state = State::clone(&self.state());
        if let Some(known) = state.vectors.get(&stored.id) {
            if known.sha256 == stored.sha256 {
                return Ok(Registered::Known(Box::new(object(known, &self.frame))));
            }
            let problem = format!("is {:?}, which is another file; delete it first", stored.id);
            return Err(FieldError::new(Code::IdInUse, "id", problem).into());
        }
        self.shelf.put_vector(&stored)?;
        let object = object(&loaded, &self.frame);
        let reachable = state.settings.allow.contains(&stored.id);
        state.vectors.insert(stored.id, Arc::new(loaded));
        if reachable {
            self.warn(&state);
        }
        self.publish(state);
        Ok(Registered::Created(Box::new(object)))
    }

    /// Refuses settings under which some request could not be steered as they say, whatever its prompt.
    fn admit(&self, state: &State) -> Result<(), ApiError> {
        for (index, id) in state.settings.allow.iter().enumerate() {
            if !state.vectors.contains_key(id) {
                return Err(not_registered(&format!("allow[{index}]"), id).into());
            }
        }
        let default = state.settings.default.as_ref().map(|object| Layer {
            voice: LayerSource::Body("default".to_owned()),
            object,
            lock: state.settings.lock,
        });
        let nested = |path: &str, object: &wire::Steering| match &object.preset {
            None => Ok(()),
            Some(_) => {
                Err(FieldError::value(format!("{path}.preset"), "is set; a preset cannot name one"))
            }
        };
        if let Some(layer) = &default {
            nested("default", layer.object)?;
            if layer.object.use_default == Some(false) {
                let problem = "is false; to have no default, leave it out";
                return Err(FieldError::value("default.use_default", problem).into());
            }
            resolve(self.bench(state, None), std::slice::from_ref(layer))?;
        }
        for (name, object) in &state.settings.presets {
            named("presets", name)?;
            let path = format!("presets.{name}");
            nested(&path, object)?;
            let with_default = object.use_default != Some(false);
            if !with_default && state.settings.lock == Lock::Locked {
                let problem = "is false, and the default is to be locked";
                return Err(FieldError::value(format!("{path}.use_default"), problem).into());
            }
            let layer = Layer { voice: LayerSource::Body(path), object, lock: Lock::Open };
            let layers: Vec<Layer<'_>> =
                default.iter().filter(|_| with_default).cloned().chain([layer]).collect();
            resolve(self.bench(state, None), &layers)?;
        }
        Ok(())
    }
}

fn null(allow: Option<bool>) -> NullVectors {
    match allow {
        Some(true) => NullVectors::Allow,
        Some(false) | None => NullVectors::Refuse,
    }
}

/// Refuses names that would not survive a path, a log line or `model@preset`.
fn named(field: &str, name: &str) -> Result<(), FieldError> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && name.len() <= NAME_LIMIT && name.chars().all(known) {
        return Ok(());
    }
    let problem = format!(
        "has {name:?}, expected 1 to {NAME_LIMIT} letters, digits, dots, dashes or underscores, a letter or digit first"
    );
    Err(FieldError::value(field, problem))
}

/// Whether a monitor names a vector.
fn watches(object: &wire::Steering, id: &str) -> bool {
    let Some(monitor) = &object.monitor else { return false };
    let retry = monitor.retry.iter().flat_map(|retry| retry.vectors.iter().flatten());
    let mut retry = retry.map(|vector| {
        let gate = vector.gate.as_ref().and_then(|gate| gate.vector.as_deref());
        [vector.id.as_deref(), gate]
    });
    monitor.watch.iter().any(|watch| watch.vector.as_deref() == Some(id))
        || retry.any(|names| names.contains(&Some(id)))
}

/// Whether settings name a vector, and where.
fn user(settings: &StoredSettings, id: &str) -> Option<String> {
    let names = |object: &wire::Steering| {
        let mut vectors = object.vectors.iter().flatten();
        vectors.any(|vector| {
            let gate = vector.gate.as_ref().and_then(|gate| gate.vector.as_deref());
            vector.id.as_deref() == Some(id) || gate == Some(id)
        }) || watches(object, id)
    };
    if settings.default.as_ref().is_some_and(names) {
        return Some("the server default".to_owned());
    }
    if settings.allow.iter().any(|allowed| allowed == id) {
        return Some("the allow list".to_owned());
    }
    let preset = settings.presets.iter().find(|(_, object)| names(object));
    preset.map(|(name, _)| format!("preset {name}"))
}
