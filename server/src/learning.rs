//! The host of adapters behind a server, started when it is first needed.
//!
//! A server whose requests name no adapter starts no learner. Without a state folder what is learnt is kept in memory, in a
//! store of its own, and receipts say so.

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::persistence::Persistence;
use crate::settings::Switch;
use std::sync::Arc;
use tokio::sync::OnceCell;
use trimtab_adapters::host::{AdapterHost, HostLimits, HostLoad, LearningModel, StateReader};
use trimtab_adapters::store::Store;
use trimtab_runtime::Model;
use trimtab_runtime::engine::Engine;

/// The warning of receipts where what is learnt ends with the server.
const IN_MEMORY: &str = "adapter_in_memory";

/// What learns, and where its traces are kept.
#[derive(Clone)]
pub(crate) struct Learning {
    pub(crate) host: AdapterHost,
    pub(crate) keep: Persistence,
    lasting: Lasting,
}

/// Whether what is learnt outlives the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Kept,
    InMemory,
}

impl Learning {
    async fn start(
        (model, engine): (&Arc<Model>, &Arc<Engine>),
        keep: &Persistence,
        limits: HostLimits,
        metrics: &Arc<Metrics>,
    ) -> Result<Learning, ApiError> {
        let (store, lasting) = match keep.store() {
            Some(store) => (store, Lasting::Kept),
            None => (Store::memory().await?, Lasting::InMemory),
        };
        let keep = match lasting {
            Lasting::Kept => keep.clone(),
            Lasting::InMemory => Persistence::in_store(store.clone(), Switch::Off),
        };
        if lasting == Lasting::InMemory {
            tracing::warn!("adapters are kept in memory: this server has no state folder");
            tokio::spawn(keep.clone().tend());
        }
        let learnt = LearningModel::new(model.clone(), StateReader::Engine(engine.clone()));
        let host = AdapterHost::start(store, learnt, limits)?;
        let metrics = metrics.clone();
        host.on_report(move |report, took| metrics.taught(report, took));
        Ok(Learning { host, keep, lasting })
    }

    /// What receipts have to say about where things are kept.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        (self.lasting == Lasting::InMemory).then_some(IN_MEMORY)
    }
}

/// A learner that may not have been needed yet.
pub(crate) struct LazyLearning {
    cell: OnceCell<Learning>,
    limits: HostLimits,
}

impl LazyLearning {
    pub(crate) fn new(limits: HostLimits) -> LazyLearning {
        LazyLearning { cell: OnceCell::new(), limits }
    }

    /// The learner, started if it was not yet.
    pub(crate) async fn of(
        &self,
        model: (&Arc<Model>, &Arc<Engine>),
        keep: &Persistence,
        metrics: &Arc<Metrics>,
    ) -> Result<&Learning, ApiError> {
        self.cell.get_or_try_init(|| Learning::start(model, keep, self.limits, metrics)).await
    }

    /// What it has to do; nothing if it was never needed.
    pub(crate) fn load(&self) -> HostLoad {
        self.cell.get().map(|learning| learning.host.load()).unwrap_or_default()
    }
}
