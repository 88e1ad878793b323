//! Steering on the server: which vectors there are, what every answer gets, and what one request comes to.
//!
//! Everything that requests can name is one immutable state behind a pointer. A request takes the pointer once and
//! keeps what it resolved; a change makes another state and never touches the old one. So a running answer cannot notice
//! it, and no cached prefix has to go: prefixes carry the fingerprint of what filled them.
//!
//! Reading never waits for a change: files are read, checked and stored before the pointer moves.

mod admin;
mod guards;
mod layer;
mod lock;
mod registry;
mod repository;
mod resolve;
mod resolved;
#[cfg(test)]
mod tests;
mod vector_root;

pub use admin::Registered;
pub(crate) use guards::{Cause, Guards};
pub(crate) use layer::LayerSource;
pub use repository::{Lock, NoRepository, Repository, StoredSettings, StoredVector};
pub use resolved::{Facts, GateCounts, Resolved};
pub use vector_root::Access;

use crate::error::ApiError;
use crate::wire::steering as wire;
use layer::{Layer, REQUEST};
use registry::State;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use trimtab_runtime::printable::Line;
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::spec::{AdmitTerms, FieldError, LoadedVector, SpecContext, SteeredModel};

/// Bytes of a vector inside a request.
pub(crate) const INLINE_LIMIT: u64 = 4 << 20;
/// Bytes of an uploaded vector unless the server says otherwise.
const UPLOAD_LIMIT: u64 = 64 << 20;
/// Vectors in one request unless the server says otherwise.
const VECTORS: usize = 8;

/// What requests may do, and how much of it.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The only folder from which files are read.
    pub vector_root: Option<PathBuf>,
    /// Whether requests may name sources.
    pub sources: Access,
    /// Whether requests may bring vectors.
    pub inline: Access,
    /// How hard vectors may push.
    pub dose: DoseLimit,
    /// Vectors in one request, those of default and preset included.
    pub vector_limit: usize,
    /// Bytes of a vector file.
    pub upload_limit: u64,
    /// Policies that monitors may name.
    pub policies: BTreeMap<String, Arc<Policy>>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            vector_root: None,
            sources: Access::Closed,
            inline: Access::Closed,
            dose: DoseLimit::default(),
            vector_limit: VECTORS,
            upload_limit: UPLOAD_LIMIT,
            policies: BuiltIn::policies(),
        }
    }
}

/// What requests may be steered by.
pub struct Steering {
    frame: SteeredModel,
    setup: Setup,
    shelf: Box<dyn Repository>,
    state: RwLock<Arc<State>>,
    /// Held from before something is stored until it is in force.
    change: Mutex<()>,
    /// Held while a file is read and checked: one at a time.
    load: Mutex<()>,
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Steering {
    /// Without vectors, presets or default.
    pub fn new(frame: SteeredModel, setup: Setup, shelf: impl Repository + 'static) -> Steering {
        Steering {
            frame,
            setup,
            shelf: Box::new(shelf),
            state: RwLock::default(),
            change: Mutex::default(),
            load: Mutex::default(),
        }
    }

    /// Takes back what a shelf kept. What cannot be used any more, as after a change of the model, is left out and
    /// returned with the reason; requests that name it, through the server default too, are refused.
    pub fn restore(
        &self,
        vectors: Vec<StoredVector>,
        settings: Option<StoredSettings>,
    ) -> Vec<(String, ApiError)> {
        let _changing = held(&self.change);
        let mut state = State::clone(&self.state());
        let mut left_out = Vec::new();
        for stored in vectors {
            let terms = AdmitTerms { accept: stored.accept_model.as_deref(), null: stored.null };
            match LoadedVector::read(&stored.id, &stored.bytes, &self.frame.pin, terms) {
                Ok(loaded) => {
                    state.vectors.insert(stored.id, Arc::new(loaded));
                }
                Err(fault) => {
                    let refusal = fault.under(&stored.id).into();
                    left_out.push((stored.id, refusal));
                }
            }
        }
        state.settings = settings.unwrap_or_default();
        self.warn(&state);
        self.publish(state);
        left_out
    }

    /// Tells the log what weakens a lock.
    fn warn(&self, state: &State) -> Vec<String> {
        let warnings = lock::warnings(self.bench(state, None));
        for warning in &warnings {
            tracing::warn!("steering settings: {}", Line(warning));
        }
        warnings
    }

    /// What is in force at this moment, for requests with several prompts: a change between two of them must not tell.
    pub(crate) fn now(&self) -> Now<'_> {
        Now { steering: self, state: self.state() }
    }

    /// The names of the presets.
    pub fn presets(&self) -> Vec<String> {
        self.state().settings.presets.keys().cloned().collect()
    }

    /// Bytes that a vector file may have.
    pub(crate) fn upload_limit(&self) -> usize {
        usize::try_from(self.setup.upload_limit).unwrap_or(usize::MAX)
    }

    /// How many vectors are registered.
    pub fn vector_count(&self) -> usize {
        self.state().vectors.len()
    }

    fn bench<'a>(&'a self, state: &'a State, prompt: Option<&'a [u32]>) -> Bench<'a> {
        Bench { frame: &self.frame, setup: &self.setup, state, prompt }
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a state into force. The caller holds `change`.
    fn publish(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }
}

/// What a request is resolved with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bench<'a> {
    frame: &'a SteeredModel,
    setup: &'a Setup,
    state: &'a State,
    /// `None` where a request is only looked at.
    prompt: Option<&'a [u32]>,
}

impl Bench<'_> {
    fn context(&self) -> SpecContext<'_> {
        let (model, policies, prompt) = (self.frame, &self.setup.policies, self.prompt);
        SpecContext { model, vectors: self, policies, prompt }
    }
}

/// Steering as it is at one moment.
pub(crate) struct Now<'a> {
    steering: &'a Steering,
    state: Arc<State>,
}

impl Now<'_> {
    /// What a request is steered by: the server default, then the preset, then the request. The preset is the one the
    /// request names, or the one that stands in the model's name. Without a prompt the request is only looked at.
    pub(crate) fn resolve(
        &self,
        asked: Option<&wire::Steering>,
        preset: Option<&str>,
        prompt: Option<&[u32]>,
    ) -> Result<Resolved, ApiError> {
        self.resolve_set(&Objects { asked, preset, setting: None }, prompt)
    }

    /// The same with a setting behind everything else.
    pub(crate) fn resolve_set(
        &self,
        objects: &Objects<'_>,
        prompt: Option<&[u32]>,
    ) -> Result<Resolved, ApiError> {
        let layers = layers(&self.state, objects)?;
        resolve::resolve(self.steering.bench(&self.state, prompt), &layers)
    }
}

/// The objects that one request brings or names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Objects<'a> {
    pub(crate) asked: Option<&'a wire::Steering>,
    /// The preset that stands in the model's name.
    pub(crate) preset: Option<&'a str>,
    /// What an adapter has chosen, and what refusals call it; it comes behind the request.
    pub(crate) setting: Option<(&'a LayerSource, &'a wire::Steering)>,
}

/// A lock that guards no value cannot be left in a bad state by a panic.
fn held(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The objects that are put together for one request, in their order.
fn layers<'a>(state: &'a State, objects: &Objects<'a>) -> Result<Vec<Layer<'a>>, ApiError> {
    let Objects { asked, preset: of_model, setting } = *objects;
    let setting =
        setting.map(|(voice, object)| Layer { voice: voice.clone(), object, lock: Lock::Open });
    let named = asked.and_then(|asked| asked.preset.as_deref());
    let named = named.or(setting.as_ref().and_then(|layer| layer.object.preset.as_deref()));
    let preset = preset(state, named, of_model)?;
    let asked = asked.map(|object| Layer {
        voice: LayerSource::Body(REQUEST.to_owned()),
        object,
        lock: Lock::Open,
    });
    let says = |layer: &Option<Layer<'_>>| layer.as_ref().and_then(|l| l.object.use_default);
    let use_default = says(&asked).or_else(|| says(&preset));
    let wants_default = use_default.unwrap_or(true);
    let default = state.settings.default.as_ref().filter(|_| wants_default).map(|object| Layer {
        voice: LayerSource::Server("the server default".to_owned(), "steering"),
        object,
        lock: state.settings.lock,
    });
    let object = |layer: &Option<Layer<'a>>| layer.as_ref().map(|layer| layer.object);
    let claim = lock::Claim {
        asked: object(&asked),
        preset: object(&preset),
        default: object(&default),
        use_default,
    };
    lock::hold(state, &claim)?;
    Ok([default, preset, asked, setting].into_iter().flatten().collect())
}

fn preset<'a>(
    state: &'a State,
    named: Option<&str>,
    of_model: Option<&str>,
) -> Result<Option<Layer<'a>>, ApiError> {
    const PARAM: &str = "steering.preset";
    let (name, param) = match (named, of_model) {
        (None, None) => return Ok(None),
        (Some(named), Some(other)) if named != other => {
            let problem = format!("is {named}, and the model's name asks for {other}; name one");
            return Err(FieldError::value(PARAM, problem).into());
        }
        (Some(name), _) => (name, PARAM),
        (None, Some(name)) => (name, "model"),
    };
    match state.settings.presets.get(name) {
        Some(object) => {
            let voice = LayerSource::Server(format!("preset {name}"), param);
            Ok(Some(Layer { voice, object, lock: Lock::Open }))
        }
        None => {
            let known: Vec<&str> = state.settings.presets.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let problem = format!("is {name:?}, which is no preset; there is {known}");
            Err(FieldError::value(param, problem).into())
        }
    }
}
