//! Everything a request may need, shared by all of them.

use crate::error::ApiError;
use crate::keys::Keys;
use crate::learning::{LazyLearning, Learning};
use crate::metrics::Metrics;
use crate::persistence::Persistence;
use crate::preparation::Preparation;
use crate::settings::{Params, Settings};
use crate::steer::{Setup, Steering};
use crate::wire::error::Code;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use trimtab_runtime::Model;
use trimtab_runtime::engine::{Engine, EngineOptions};
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_steering::spec::{GuardLibrary, SteeredModel};

/// A model that is served.
pub struct App {
    pub(crate) model: Arc<Model>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) steering: Steering,
    pub(crate) library: GuardLibrary,
    pub(crate) keep: Persistence,
    pub(crate) preparation: Preparation,
    pub(crate) learner: LazyLearning,
    /// When it began to be served, in Unix seconds.
    pub(crate) since: u64,
    /// `tt-` and 12 digits over build, weights, device and type.
    pub(crate) fingerprint: String,
}

/// Unix seconds. A clock before 1970 is wrong anyway.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl App {
    fn new(
        model: Arc<Model>,
        engine: Arc<Engine>,
        settings: Settings,
        (steering, keep): (Steering, Persistence),
    ) -> Arc<App> {
        let device = model.decoder().device().kind();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(App {
            learner: LazyLearning::new(settings.learning),
            preparation: Preparation::new(settings.max_body, cores),
            keys: Keys::new(&settings.keys),
            metrics: Arc::new(Metrics::new(&settings.build, device)),
            steering,
            library: GuardLibrary::new(model.clone()),
            keep,
            since: now(),
            fingerprint: fingerprint(&model, &settings),
            model,
            engine,
            settings,
        })
    }

    /// What guards need of the model: policies are made ready there.
    pub fn library(&self) -> &GuardLibrary {
        &self.library
    }

    /// What learns, started if it was not needed before.
    pub(crate) async fn learning(&self) -> Result<&Learning, ApiError> {
        self.learner.of((&self.model, &self.engine), &self.keep, &self.metrics).await
    }

    /// The name that is shown for the model.
    pub(crate) fn name(&self) -> &str {
        self.settings.names.first().map_or(self.model.name(), String::as_str)
    }

    /// Whether a name is the model's.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.model.name() == name || self.settings.names.iter().any(|other| other == name)
    }
}

/// How a model is served: [`Server::builder`] makes one, and what is not said has a default.
pub struct Server {
    model: Arc<Model>,
    engine: EngineOptions,
    settings: Option<Settings>,
    steering: Option<Steering>,
    keep: Persistence,
}

impl Server {
    /// A server without vectors, without keys and without state.
    pub fn builder(model: impl Into<Arc<Model>>) -> Server {
        let (engine, keep) = (EngineOptions::default(), Persistence::nothing());
        Server { model: model.into(), engine, settings: None, steering: None, keep }
    }

    /// How its engine runs.
    #[must_use]
    pub fn engine(mut self, options: EngineOptions) -> Server {
        self.engine = options;
        self
    }

    /// Limits, names and keys.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Server {
        self.settings = Some(settings);
        self
    }

    /// The vectors, policies and presets that requests may name.
    #[must_use]
    pub fn steering(mut self, steering: Steering) -> Server {
        self.steering = Some(steering);
        self
    }

    /// What it remembers.
    #[must_use]
    pub fn keep(mut self, keep: Persistence) -> Server {
        self.keep = keep;
        self
    }

    /// Starts the engine. [`App::router`] of the result is an axum router, to be served or nested.
    pub fn build(self) -> Result<Arc<App>, ApiError> {
        let settings = match self.settings {
            Some(settings) => settings,
            None => Params::default()
                .check()
                .map_err(|misfit| ApiError::new(Code::Internal, misfit.to_string()))?,
        };
        let steering = match self.steering {
            Some(steering) => steering,
            None => {
                Steering::new(SteeredModel::of(&self.model)?, Setup::default(), self.keep.clone())
            }
        };
        let (decoder, pool) = (self.model.decoder().clone(), self.model.pool().clone());
        let engine = Arc::new(Engine::start(decoder, pool, self.engine)?);
        Ok(App::new(self.model, engine, settings, (steering, self.keep)))
    }
}

fn fingerprint(model: &Model, settings: &Settings) -> String {
    let build = &settings.build;
    let digits = Fingerprint::builder("trimtab.system")
        .text(&build.version)
        .text(&build.git)
        .text(&model.identity().weights_sha256)
        .text(model.decoder().device().kind())
        .text(&build.dtype)
        .finish()
        .to_string();
    format!("tt-{}", digits.get(..12).unwrap_or_default())
}
