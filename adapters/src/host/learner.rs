//! The thread that teaches, one lesson after the other.

use super::feedback::FeedbackReport;
use super::lessons::Prepared;
use super::queue::LessonQueue;
use super::shared::Shared;
use super::teaching::teach;
use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// A lesson and where its report goes.
pub(super) struct Job {
    pub(super) prepared: Prepared,
    /// None where nothing waits for it.
    pub(super) reply: Option<oneshot::Sender<Result<FeedbackReport>>>,
}

/// The thread's line. It is closed with the last owner; what waits then is still taught.
pub(super) struct LearnerThread {
    queue: Arc<LessonQueue<Job>>,
}

impl LearnerThread {
    pub(super) fn start(shared: Arc<Shared>) -> Result<LearnerThread> {
        let queue = Arc::new(LessonQueue::new(shared.limits.waiting));
        // A statement's connection goes back to the store by a task, which must run also when no lesson is being taught.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.map_err(Error::io("learner"))?;
        let line = queue.clone();
        let thread = std::thread::Builder::new().name("trimtab-learner".to_owned());
        let started = thread.spawn(move || run(&shared, &runtime, &line));
        started.map_err(Error::io("learner"))?;
        Ok(LearnerThread { queue })
    }

    pub(super) fn queue(&self) -> &LessonQueue<Job> {
        &self.queue
    }
}

impl Drop for LearnerThread {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn run(shared: &Shared, runtime: &Runtime, queue: &LessonQueue<Job>) {
    while let Some((key, Job { prepared, reply })) = queue.next() {
        // A lesson that fails in a way nothing foresaw must not be the last one.
        let taught = AssertUnwindSafe(|| {
            let began = Instant::now();
            let report = runtime.block_on(teach(shared, &prepared));
            if let Some(new) = report.as_ref().ok().filter(|report| !report.duplicate) {
                shared.tell(new, began.elapsed());
            }
            report
        });
        let report = catch_unwind(taught).unwrap_or_else(|_| {
            Err(Error::from(trimtab_runtime::Error::Misuse("the learner failed at a lesson")))
        });
        queue.end(&key);
        if let Some(reply) = reply {
            // A client that has gone can ask again.
            reply.send(report).ok();
        }
    }
}
