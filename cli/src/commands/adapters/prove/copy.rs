//! The copy that is worked on, in a folder that is removed.

use super::answers::{Told, judged};
use crate::commands::learning::{LOCAL, Learning};
use crate::commands::opened::Opened;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trimtab_adapters::host::{
    AdapterConfig, AdapterKey, FeedbackReport, FeedbackStatus, HostLimits, Lesson, PinRequest,
    PinnedAdapter, Remark, Thumb,
};
use trimtab_adapters::rosa::Signs;
use trimtab_adapters::store::now_ms;

const COPY: &str = "proved";
/// Most versions that are reproduced.
const MOST_VERSIONS: usize = 8;
/// How long the thread of a closed host may hold the folder.
const PATIENCE: Duration = Duration::from_secs(5);

/// Versions of a stored adapter, as files, oldest first.
pub struct Copied {
    pub versions: Vec<Vec<u8>>,
    pub config: AdapterConfig,
}

/// What is proved about.
pub enum Subject {
    /// An adapter that is made for the proof.
    Fresh(AdapterConfig),
    Stored(Copied),
}

/// A folder that is removed when this is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear: it lies among its temporary files.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A version and what it answered when it was published.
pub struct PublishedVersion {
    pub version: u32,
    pub told: Vec<Told>,
}

/// An adapter under proof.
pub struct Proving<'a> {
    pub opened: &'a Opened,
    /// The copy's host; it is closed before the folder goes.
    pub learning: Learning,
    pub key: AdapterKey,
    pub config: AdapterConfig,
    /// Most tokens of an answer.
    pub most: usize,
    /// Each version's answers at the time.
    pub history: Vec<PublishedVersion>,
    /// What came of the lessons of a fresh adapter.
    pub lessons: Vec<FeedbackReport>,
    /// What the names of its answers begin with.
    pub name: String,
    answers: usize,
    folder: Removed,
}

impl<'a> Proving<'a> {
    /// Makes the copy, or teaches a fresh adapter.
    pub fn begin(opened: &'a Opened, subject: Subject, most: usize) -> Result<Proving<'a>> {
        let name = format!("prove-{:x}-{}", now_ms(), std::process::id());
        let folder = Removed(std::env::temp_dir().join(format!("trimtab-{name}")));
        let learning = Learning::open(Some(&folder.0), opened, limits())?;
        let key = AdapterKey::new(LOCAL, COPY)?;
        let (config, versions) = match subject {
            Subject::Fresh(config) => (config, None),
            Subject::Stored(copied) => (copied.config, Some(copied.versions)),
        };
        let (history, lessons) = (Vec::new(), Vec::new());
        let mut proving = Proving {
            opened,
            learning,
            key,
            config,
            most,
            history,
            lessons,
            name,
            answers: 0,
            folder,
        };
        proving.learning.wait(proving.learning.host().create(&proving.key, &proving.config))?;
        proving.publish()?;
        match versions {
            None => proving.teach_afresh()?,
            Some(versions) => proving.take_over(&versions)?,
        }
        Ok(proving)
    }

    /// Notes what the newest version answers.
    fn publish(&mut self) -> Result<()> {
        let pinned = self.pin(PinRequest::Newest)?;
        let told = self.told(Some(&pinned), &judged(self.opened)?)?;
        self.history.push(PublishedVersion { version: pinned.version(), told });
        Ok(())
    }

    /// Three lessons, one about each of three answers.
    fn teach_afresh(&mut self) -> Result<()> {
        let AdapterConfig::Rosa { params } = &self.config else { return Ok(()) };
        let thumb = match params.signs {
            Signs::Positive => Thumb::Up,
            Signs::Negative | Signs::Both => Thumb::Down,
        };
        let key = self.key.clone();
        for prompt in judged(self.opened)? {
            let report = self.judge(&key, &prompt, thumb)?.report;
            if report.status == FeedbackStatus::Applied {
                self.publish()?;
            }
            self.lessons.push(report);
        }
        Ok(())
    }

    fn take_over(&mut self, versions: &[Vec<u8>]) -> Result<()> {
        let step = versions.len().div_ceil(MOST_VERSIONS).max(1);
        for (number, file) in (1..).zip(versions) {
            self.learning.wait(self.learning.host().import(&self.key, file))?;
            if number % step == 0 || number == versions.len() {
                self.publish()?;
            }
        }
        Ok(())
    }

    /// A version of the copy.
    pub fn pin(&self, request: PinRequest) -> Result<PinnedAdapter> {
        self.learning.wait(self.learning.host().pin(&self.key, &request))
    }

    /// Has an adapter answer, and judges the answer.
    pub fn judge(&mut self, key: &AdapterKey, prompt: &[u32], thumb: Thumb) -> Result<Judged> {
        let host = self.learning.host().clone();
        let pinned = self.learning.wait(host.pin(key, &PinRequest::Newest))?;
        self.answers += 1;
        let response = format!("{}-{}", self.name, self.answers);
        let record = self.recorded(&pinned, prompt, response)?;
        let (answer, tokens) = (record.answer.clone(), record.recording.tokens.clone());
        host.record(record);
        let lesson = Lesson::Remark(answer, Remark::Thumb(thumb));
        let report = self.learning.wait(host.teach(key.owner(), lesson))?;
        let after = self.learning.wait(host.pin(key, &PinRequest::Newest))?;
        Ok(Judged { report, tokens, before: pinned, after })
    }

    /// Closes the copy's state and opens it again, as after a restart.
    pub fn reopened(self) -> Result<Proving<'a>> {
        let Proving { opened, learning, folder, .. } = self;
        learning.close();
        let learning = again(&folder.0, opened)?;
        Ok(Proving { learning, opened, folder, ..self })
    }

    /// The files of the copy's state.
    pub fn files(&self) -> Result<Vec<Vec<u8>>> {
        let unreadable = |source| Error::Read { path: self.folder.0.clone(), source };
        let entries = std::fs::read_dir(&self.folder.0).map_err(unreadable)?;
        let paths = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        paths.map(|path| std::fs::read(path).map_err(unreadable)).collect()
    }
}

/// Opens a folder that was closed a moment ago: the learner's thread ends soon after its host.
fn again(folder: &Path, opened: &Opened) -> Result<Learning> {
    let closed = Instant::now();
    loop {
        match Learning::open(Some(folder), opened, limits()) {
            Err(Error::State(error))
                if matches!(*error, trimtab_adapters::Error::InUse { .. })
                    && closed.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// An answer that was judged.
pub struct Judged {
    pub report: FeedbackReport,
    pub tokens: Vec<u32>,
    pub before: PinnedAdapter,
    pub after: PinnedAdapter,
}

/// Choices of a program are as fast as they are.
fn limits() -> HostLimits {
    HostLimits { fastest_choice_ms: 0, ..HostLimits::default() }
}
