//! What commands that teach adapters share: a host of them in this process, and answers under one of them.

use super::opened::Opened;
use super::serve::threads;
use crate::error::Result;
use std::path::Path;
use tokio::runtime::Runtime;
use trimtab_adapters::host::{
    AdapterHost, HostLimits, LearningModel, PinnedAdapter, StateReader, StateRecorder,
};
use trimtab_adapters::store::Store;
use trimtab_runtime::monitor::{AnswerView, Heard, Monitor, Senses, Verdict};
use trimtab_steering::monitor::Guard;

/// Whose adapters those of the command line are.
pub const LOCAL: &str = "local";

/// An adapter and what records an answer under it.
pub struct Adapted {
    pub pinned: PinnedAdapter,
    pub recorder: Option<StateRecorder>,
}

/// A guard whose retries run under the adapter, too.
pub struct GuardUnderAdapter {
    pub guard: Guard,
    pub pinned: PinnedAdapter,
}

impl Monitor for GuardUnderAdapter {
    fn watch(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Verdict> {
        Ok(match self.guard.watch(answer)? {
            Verdict::Retry { from, plan: Some((plan, history)), guidance, ban } => {
                let refused = |error: trimtab_adapters::Error| match error {
                    trimtab_adapters::Error::Model(error) => error,
                    error => trimtab_runtime::Error::Invalid {
                        field: "adapter",
                        problem: error.to_string(),
                    },
                };
                let plan = self.pinned.plan(&plan).map_err(refused)?;
                Verdict::Retry { from, plan: Some((plan, history)), guidance, ban }
            }
            verdict => verdict,
        })
    }

    fn rewind(&mut self, tokens: usize) {
        self.guard.rewind(tokens);
    }

    fn senses(&self) -> Senses {
        self.guard.senses()
    }

    fn heard(&mut self, read: Vec<Heard>) -> trimtab_runtime::Result<()> {
        self.guard.heard(read)
    }

    fn give_way(&mut self) -> trimtab_runtime::Result<()> {
        self.guard.give_way()
    }
}

/// A host of adapters, and what runs its work.
pub struct Learning {
    host: AdapterHost,
    store: Store,
    threads: Runtime,
}

impl Learning {
    /// Adapters kept in a folder, or in memory, of a model that nothing else runs.
    pub fn open(folder: Option<&Path>, opened: &Opened, limits: HostLimits) -> Result<Learning> {
        let threads = threads()?;
        let model = LearningModel::new(opened.model.clone(), StateReader::Here);
        let (host, store) = threads.block_on(async {
            let store = match folder {
                Some(folder) => Store::open(folder).await?,
                None => Store::memory().await?,
            };
            let host = AdapterHost::start(store.clone(), model, limits)?;
            Ok::<_, trimtab_adapters::Error>((host, store))
        })?;
        Ok(Learning { host, store, threads })
    }

    /// Ends the work with the state, so that it can be opened again.
    pub fn close(self) {
        let Learning { host, store, threads } = self;
        drop(host);
        threads.block_on(store.close());
    }

    /// The host.
    pub fn host(&self) -> &AdapterHost {
        &self.host
    }

    /// What the host keeps adapters in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for something of the host.
    pub fn wait<T>(&self, work: impl Future<Output = trimtab_adapters::Result<T>>) -> Result<T> {
        Ok(self.threads.block_on(work)?)
    }
}
