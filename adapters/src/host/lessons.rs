//! A lesson on its way: checked when it comes, taught when it is its turn.

use super::config::{AdapterConfig, Learner};
use super::detail::report_again;
use super::duels::DuelVote;
use super::evidence::Evidence;
use super::feedback::{
    AnswerRef, FeedbackReport, FeedbackStatus, ForeignAnswer, Lesson, Remark, VersionChange,
};
use super::key::AdapterKey;
use super::pinned::AnswerRecord;
use super::remarks::{
    Heard, about, digest_of, heard, in_vocabulary, name_of, name_of_pair, name_of_text, said,
};
use super::rosa_lessons::Judged;
use super::shared::Shared;
use super::shelf;
use crate::error::{Error, Result};
use crate::rosa::Judgement;
use crate::store::LessonRow;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::fingerprint::Fingerprint;

/// What is to be done.
pub(super) enum Task {
    Judged(Vec<Judged>),
    /// A pair for a taste, the better answer first.
    Preferred(Box<[Evidence; 2]>),
    /// A duel is decided.
    Chosen(DuelVote),
    /// It teaches nothing, for this reason.
    Nothing(&'static str),
}

/// A lesson that may wait its turn.
pub(super) struct Prepared {
    pub(super) key: AdapterKey,
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) said_sha256: String,
    pub(super) said: Value,
    pub(super) task: Task,
}

/// What a lesson is when it comes.
pub(super) enum Arrived {
    /// It was taught before.
    Known(FeedbackReport),
    /// It has to be taught.
    New(Box<Prepared>),
}

impl Prepared {
    fn new(key: AdapterKey, subject: String, said: (Value, String), task: Task) -> Prepared {
        let digest = Fingerprint::builder("trimtab.lesson").text(key.owner()).text(key.id());
        let digest = digest.text(&subject).finish().to_string();
        let id = format!("fb-{}", digest.get(..24).unwrap_or(&digest));
        let (said, said_sha256) = said;
        Prepared { key, id, subject, said_sha256, said, task }
    }

    /// A choice of a duel, whose name is the lesson's.
    pub(super) fn chosen(key: AdapterKey, duel: &str, vote: DuelVote) -> Prepared {
        Prepared {
            key,
            id: duel.to_owned(),
            subject: duel.to_owned(),
            said_sha256: Fingerprint::builder("trimtab.vote")
                .text(vote.as_str())
                .finish()
                .to_string(),
            said: json!({"choice": vote.as_str()}),
            task: Task::Chosen(vote),
        }
    }

    /// A report of this lesson in which nothing has come of it yet.
    pub(super) fn report(&self, from: u32) -> FeedbackReport {
        let id = self.key.id().to_owned();
        FeedbackReport {
            object: "feedback".to_owned(),
            id: self.id.clone(),
            status: FeedbackStatus::Queued,
            reason: None,
            duplicate: false,
            adapter: VersionChange { id, from, version: from },
            step: None,
            guards: Vec::new(),
            bandit: None,
        }
    }

    /// The report of what was said before, if it was this.
    pub(super) fn known(&self, row: &LessonRow) -> Result<FeedbackReport> {
        known(row, &self.said_sha256, &self.subject)
    }
}

fn known(row: &LessonRow, said_sha256: &str, subject: &str) -> Result<FeedbackReport> {
    if row.said_sha256 == said_sha256 {
        return report_again(row);
    }
    let response = subject.split('#').next().unwrap_or(subject).to_owned();
    Err(Error::FeedbackExists { response })
}

/// A subject of its own for what teaches nothing by what it is: something else may still be said of the answer.
fn aside(subject: &str, said_sha256: &str) -> String {
    format!("{subject}~{}", said_sha256.get(..16).unwrap_or(said_sha256))
}

/// Checks a lesson that comes.
pub(super) async fn arrive(shared: &Shared, owner: &str, lesson: Lesson) -> Result<Arrived> {
    match lesson {
        Lesson::Remark(answer, remark) => remarked(shared, owner, &answer, &remark).await,
        Lesson::Preference { preferred, rejected } => {
            preferred_to(shared, owner, &preferred, &rejected).await
        }
        Lesson::ForeignRemark(adapter, answer, remark) => {
            let key = AdapterKey::new(owner, adapter)?;
            foreign(shared, key, answer, &remark).await
        }
        Lesson::ForeignPreference { adapter, winner, loser } => {
            let key = AdapterKey::new(owner, adapter)?;
            foreign_pair(shared, key, winner, loser).await
        }
    }
}

/// A lesson of this owner about the subject, or about the subject by something that taught nothing.
async fn earlier(
    shared: &Shared,
    owner: &str,
    subject: &str,
    said_sha256: &str,
) -> Result<Option<FeedbackReport>> {
    if let Some(row) = shared.store.lesson_of(owner, &aside(subject, said_sha256)).await? {
        return report_again(&row).map(Some);
    }
    match shared.store.lesson_of(owner, subject).await? {
        Some(row) => known(&row, said_sha256, subject).map(Some),
        None => Ok(None),
    }
}

fn kept(shared: &Shared, owner: &str, answer: &AnswerRef) -> Result<Arc<AnswerRecord>> {
    let found = shared.answers().find(owner, answer, Instant::now());
    found.ok_or_else(|| Error::NoAnswer { response: answer.response.clone() })
}

/// Whether a remark is one, before its answer is looked for; and how an adapter learns.
async fn learner(shared: &Shared, key: &AdapterKey) -> Result<Learner> {
    let row = shared.shelf.row(key).await?;
    shared.same_weights(key.id(), &row.weights_sha256)?;
    shelf::config_of(&row)?.check()
}

/// Refuses a remark to a learner of tastes.
async fn of_rosa(shared: &Shared, key: &AdapterKey) -> Result<()> {
    match learner(shared, key).await? {
        Learner::Rosa(_) => Ok(()),
        Learner::Tpop(_) => {
            let problem =
                "is about one answer; an adapter of tpop learns from preferences and duels";
            Err(Error::invalid("feedback", problem))
        }
    }
}

fn vocabulary(shared: &Shared) -> usize {
    shared.model.model().decoder().spec().vocab_size
}

async fn remarked(
    shared: &Shared,
    owner: &str,
    answer: &AnswerRef,
    remark: &Remark,
) -> Result<Arrived> {
    let (subject, said_sha256) = (name_of(answer), digest_of(remark));
    if let Some(report) = earlier(shared, owner, &subject, &said_sha256).await? {
        return Ok(Arrived::Known(report));
    }
    let record = kept(shared, owner, answer)?;
    of_rosa(shared, &record.key).await?;
    let heard = heard(remark, &record.recording.tokens, vocabulary(shared))?;
    let said = (said(&heard), said_sha256);
    Ok(new(record.key.clone(), subject.clone(), said, about(subject, &record, heard)))
}

/// A lesson by one judgement, or one that teaches nothing.
fn new(
    key: AdapterKey,
    subject: String,
    said: (Value, String),
    judged: std::result::Result<Judged, &'static str>,
) -> Arrived {
    let (subject, task) = match judged {
        Ok(judged) => (subject, Task::Judged(vec![judged])),
        Err(why) => (aside(&subject, &said.1), Task::Nothing(why)),
    };
    Arrived::New(Box::new(Prepared::new(key, subject, said, task)))
}

async fn preferred_to(
    shared: &Shared,
    owner: &str,
    preferred: &AnswerRef,
    rejected: &AnswerRef,
) -> Result<Arrived> {
    let names = [name_of(preferred), name_of(rejected)];
    different(&names)?;
    let subject = name_of_pair(&names[0], &names[1]);
    let said = preference(&names[0]);
    if let Some(report) = earlier(shared, owner, &subject, &said.1).await? {
        return Ok(Arrived::Known(report));
    }
    let [better, worse] = [kept(shared, owner, preferred)?, kept(shared, owner, rejected)?];
    if better.key != worse.key {
        return Err(Error::invalid("rejected", "is an answer of another adapter"));
    }
    let is_inserted = better.recording.inserted + worse.recording.inserted > 0;
    let [first, second] = names;
    let pair = [Evidence::recorded(first, &better), Evidence::recorded(second, &worse)];
    let task = match is_inserted {
        true => Task::Nothing("inserted_tokens"),
        false => compared(&learner(shared, &better.key).await?, pair)?,
    };
    let key = better.key.clone();
    Ok(Arrived::New(Box::new(Prepared::new(key, subject, said, task))))
}

fn different([a, b]: &[String; 2]) -> Result<()> {
    if a == b {
        return Err(Error::invalid("rejected", "is the preferred answer"));
    }
    Ok(())
}

/// What is said by preferring one of two.
fn preference(preferred: &str) -> (Value, String) {
    let digest = Fingerprint::builder("trimtab.preference").text(preferred).finish();
    (json!({"preferred": preferred}), digest.to_string())
}

/// One answer is better than another: for ROSA a reward of 1 for the first and, in a second step, of −1 for the second. A
/// sign that the adapter's `signs` does not allow teaches nothing, and the other step is taken all the same.
fn compared(learner: &Learner, pair: [Evidence; 2]) -> Result<Task> {
    match learner {
        Learner::Rosa(_) => {
            let [better, worse] = pair;
            Ok(Task::Judged(vec![
                Judged { evidence: better, judgement: Judgement::value(1.0) },
                Judged { evidence: worse, judgement: Judgement::value(-1.0) },
            ]))
        }
        Learner::Tpop(_) => Ok(Task::Preferred(Box::new(pair))),
    }
}

async fn foreign(
    shared: &Shared,
    key: AdapterKey,
    answer: ForeignAnswer,
    remark: &Remark,
) -> Result<Arrived> {
    of_rosa(shared, &key).await?;
    readable(shared, &answer)?;
    let (subject, said_sha256) = (name_of_text(&answer), digest_of(remark));
    if let Some(report) = taught(shared, &key, &subject, &said_sha256).await? {
        return Ok(Arrived::Known(report));
    }
    let heard = heard(remark, &answer.tokens, vocabulary(shared))?;
    let said = (said(&heard), said_sha256);
    let judged = match heard {
        Heard::Nothing(why) => Err(why),
        Heard::Judgement(judgement) => {
            Ok(Judged { evidence: Evidence::foreign(subject.clone(), answer), judgement })
        }
        Heard::Rewritten(tokens, judgement) => {
            let answer = ForeignAnswer { tokens, ..answer };
            Ok(Judged { evidence: Evidence::foreign(subject.clone(), answer), judgement })
        }
    };
    Ok(new(key, subject, said, judged))
}

/// As [`earlier`], of one adapter: the same text may be said to several.
async fn taught(
    shared: &Shared,
    key: &AdapterKey,
    subject: &str,
    said_sha256: &str,
) -> Result<Option<FeedbackReport>> {
    let lesson =
        |subject: String| async move { shared.store.lesson(key.owner(), key.id(), &subject).await };
    if let Some(row) = lesson(aside(subject, said_sha256)).await? {
        return report_again(&row).map(Some);
    }
    match lesson(subject.to_owned()).await? {
        Some(row) => known(&row, said_sha256, subject).map(Some),
        None => Ok(None),
    }
}

fn readable(shared: &Shared, answer: &ForeignAnswer) -> Result<()> {
    let vocabulary = vocabulary(shared);
    in_vocabulary("prompt", &answer.prompt, vocabulary)?;
    in_vocabulary("answer", &answer.tokens, vocabulary)?;
    let (tokens, room) = (answer.prompt.len() + answer.tokens.len(), shared.model.model().room());
    if answer.prompt.is_empty() || answer.tokens.is_empty() || tokens > room {
        let problem =
            format!("has {tokens} tokens; a prompt and an answer of at most {room} in all");
        return Err(Error::invalid("answer", problem));
    }
    Ok(())
}

async fn foreign_pair(
    shared: &Shared,
    key: AdapterKey,
    winner: ForeignAnswer,
    loser: ForeignAnswer,
) -> Result<Arrived> {
    let learner = learner(shared, &key).await?;
    readable(shared, &winner)?;
    readable(shared, &loser)?;
    let names = [name_of_text(&winner), name_of_text(&loser)];
    different(&names)?;
    let subject = name_of_pair(&names[0], &names[1]);
    let said = preference(&names[0]);
    if let Some(report) = taught(shared, &key, &subject, &said.1).await? {
        return Ok(Arrived::Known(report));
    }
    let [first, second] = names;
    let pair = [Evidence::foreign(first, winner), Evidence::foreign(second, loser)];
    let task = compared(&learner, pair)?;
    Ok(Arrived::New(Box::new(Prepared::new(key, subject, said, task))))
}

/// Refuses a pair to a taste that cannot know what was compared.
pub(super) fn comparable(config: &AdapterConfig) -> Result<()> {
    match config {
        AdapterConfig::Tpop(taste) if !taste.arms.is_empty() => {
            let problem = "is of answers; this adapter compares settings, by duels";
            Err(Error::invalid("preferred", problem))
        }
        AdapterConfig::Tpop(_) | AdapterConfig::Rosa { .. } => Ok(()),
    }
}
