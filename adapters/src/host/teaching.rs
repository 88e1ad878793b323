//! A lesson when it is its turn: the step or the pair, the report, and the transaction that publishes them.

use super::config::{AdapterConfig, Learner};
use super::detail::{LessonEntry, PairEntry, VersionDetail, read, written};
use super::duel_document::DuelDocument;
use super::duels::DuelVote;
use super::evidence::Evidence;
use super::feedback::{BanditSummary, FeedbackReport, FeedbackStatus, VersionChange};
use super::lessons::{Prepared, Task, comparable};
use super::pinned::AdapterState;
use super::resident::StateName;
use super::rosa_lessons::{Judged, Stepped, Steps, summary};
use super::shared::{Held, Shared};
use super::shelf::{VersionDraft, detail_of, reason_of, warning};
use super::taste_space::{TasteSpace, digest_of};
use crate::error::{Error, Result};
use crate::rosa::RosaState;
use crate::store::{AdapterVersion, Cause, LessonRow, Published, StoredDuel, now_ms};
use crate::tpop::{DuelOrder, DuelPair, LearnOutcome, Learned, PairLabel, TieRule, TpopState};
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;

/// Teaches a lesson and writes down what came of it.
pub(super) async fn teach(shared: &Shared, prepared: &Prepared) -> Result<FeedbackReport> {
    let (owner, id) = (prepared.key.owner(), prepared.key.id());
    if let Some(row) = shared.store.lesson(owner, id, &prepared.subject).await? {
        return prepared.known(&row);
    }
    match &prepared.task {
        Task::Nothing(why) => {
            let row = shared.shelf.row(&prepared.key).await?;
            let version = shared.shelf.number(&row).await?;
            let report = rejected(prepared.report(version), Some((*why).to_owned()));
            unpublished(shared, prepared, report, &LessonEntry::Nothing).await
        }
        Task::Judged(lesson) => judged(shared, prepared, lesson).await,
        Task::Preferred(pair) => preferred(shared, prepared, pair).await,
        Task::Chosen(vote) => chosen(shared, prepared, *vote).await,
    }
}

fn rejected(report: FeedbackReport, reason: Option<String>) -> FeedbackReport {
    FeedbackReport { status: FeedbackStatus::Rejected, reason, ..report }
}

fn applied(report: FeedbackReport) -> FeedbackReport {
    let adapter = VersionChange { version: report.adapter.from + 1, ..report.adapter };
    FeedbackReport { status: FeedbackStatus::Applied, adapter, ..report }
}

fn row(prepared: &Prepared, report: &FeedbackReport, entry: &LessonEntry) -> Result<LessonRow> {
    Ok(LessonRow {
        owner: prepared.key.owner().to_owned(),
        adapter: prepared.key.id().to_owned(),
        id: prepared.id.clone(),
        subject: prepared.subject.clone(),
        said_sha256: prepared.said_sha256.clone(),
        when_ms: now_ms(),
        report: written("report", report)?,
        entry: written("entry", entry)?,
        version: None,
    })
}

/// The report as it will be given again: JSON may change a fraction in its last bit.
fn noted(lesson: &LessonRow) -> Result<FeedbackReport> {
    read("report", &lesson.report)
}

/// Writes down a lesson that led to no version.
async fn unpublished(
    shared: &Shared,
    prepared: &Prepared,
    report: FeedbackReport,
    entry: &LessonEntry,
) -> Result<FeedbackReport> {
    let lesson = row(prepared, &report, entry)?;
    shared.store.put_lesson(&lesson).await?;
    noted(&lesson)
}

/// A published state is in memory when the next answer asks for it.
fn keep(shared: &Shared, held: &Held, version: u32, (state, bytes): (AdapterState, usize)) {
    shared.states().keep(StateName { version, ..held.name() }, state, bytes);
}

async fn judged(shared: &Shared, prepared: &Prepared, lesson: &[Judged]) -> Result<FeedbackReport> {
    let held = shared.held(&prepared.key, None).await?;
    let (Learner::Rosa(rosa), AdapterState::Rosa(answered)) = (held.config.check()?, &held.state)
    else {
        return Err(Error::invalid(
            "feedback",
            "is about one answer; this adapter learns from pairs",
        ));
    };
    let mut history = shared.history(&held).await?;
    let (model, history_of) = (shared.model.as_ref(), &mut history);
    let mut steps = Steps { rosa: &rosa, model, answered, history: history_of };
    let Stepped { state, entries } = steps.take(lesson)?;
    let state = state.unwrap_or_else(|| answered.as_ref().clone());
    let is_new = state.version > answered.version;
    let detail = detail_of(&held.config, &AdapterState::Rosa(Arc::new(state.clone())))?;
    let report = FeedbackReport {
        step: summary(&entries, detail.norm),
        guards: entries.iter().flat_map(|entry| entry.guards.clone()).collect(),
        ..prepared.report(held.version)
    };
    let reason = entries.iter().rev().find_map(reason_of);
    let entry = LessonEntry::Steps(entries);
    if !is_new {
        let report = unpublished(shared, prepared, rejected(report, reason), &entry).await?;
        shared.keep_history(held.name(), history);
        return Ok(report);
    }
    let report = published(shared, prepared, &held, (state, detail), (report, entry)).await?;
    if report.status == FeedbackStatus::Applied {
        let version = report.adapter.version;
        shared.keep_history(StateName { version, ..held.name() }, history);
    }
    Ok(report)
}

/// Publishes a step. If the adapter went back meanwhile, the step is of a version that is not the newest, and is dropped.
async fn published(
    shared: &Shared,
    prepared: &Prepared,
    held: &Held,
    (state, detail): (RosaState, VersionDetail),
    (report, entry): (FeedbackReport, LessonEntry),
) -> Result<FeedbackReport> {
    let detail = VersionDetail {
        kl: report.step.map(|step| step.kl),
        lesson: Some(prepared.id.clone()),
        said: Some(prepared.said.clone()),
        guards: report.guards.clone(),
        ..detail
    };
    let state = AdapterState::Rosa(Arc::new(state));
    let draft = VersionDraft { parent: held.version, cause: Cause::Feedback, detail };
    let version = draft.version(&prepared.key, &state)?;
    let lesson = row(prepared, &applied(report.clone()), &entry)?;
    match shared.store.publish(&version, &lesson).await? {
        Published::Version(number) => {
            keep(shared, held, number, (state, version.state.len()));
            noted(&lesson)
        }
        Published::Stale => {
            let report = rejected(report, Some("stale".to_owned()));
            unpublished(shared, prepared, report, &LessonEntry::Nothing).await
        }
    }
}

/// A taste with the version it is of.
struct Taste<'a> {
    held: &'a Held,
    state: &'a Arc<TpopState>,
}

fn taste(held: &Held) -> Result<Taste<'_>> {
    match &held.state {
        AdapterState::Tpop(state) => Ok(Taste { held, state }),
        AdapterState::Rosa(_) => Err(Error::invalid("adapter", "is no learner of tastes")),
    }
}

/// What came of a pair.
struct Paired {
    report: FeedbackReport,
    /// The version, if there is one, with its state.
    version: Option<(AdapterVersion, AdapterState)>,
}

impl Taste<'_> {
    /// Takes a pair in.
    fn learn(&self, prepared: &Prepared, pair: &DuelPair, cause: Cause) -> Result<Paired> {
        let report = prepared.report(self.held.version);
        let Learned { state, outcome, .. } = self.state.learn(pair.clone())?;
        if outcome == LearnOutcome::Repeated {
            let bandit = Some(self.bandit(self.state, outcome));
            let report = FeedbackReport { bandit, ..report };
            let report = rejected(report, Some("repeated".to_owned()));
            return Ok(Paired { report, version: None });
        }
        let bandit = Some(self.bandit(&state, outcome));
        let state = AdapterState::Tpop(Arc::new(state));
        let detail = VersionDetail {
            lesson: Some(prepared.id.clone()),
            said: Some(prepared.said.clone()),
            ..detail_of(&self.held.config, &state)?
        };
        let draft = VersionDraft { parent: self.held.version, cause, detail };
        let version = draft.version(&prepared.key, &state)?;
        let report = applied(FeedbackReport { bandit, ..report });
        Ok(Paired { report, version: Some((version, state)) })
    }

    fn bandit(&self, state: &TpopState, outcome: LearnOutcome) -> BanditSummary {
        BanditSummary {
            pairs: state.taught(),
            updated: outcome == LearnOutcome::Taught,
            warning: warning(state).map(str::to_owned),
        }
    }

    /// What a choice that teaches nothing comes to.
    fn untaught(&self, prepared: &Prepared, why: &str) -> Paired {
        let bandit = Some(self.bandit(self.state, LearnOutcome::Stored));
        let report = FeedbackReport { bandit, ..prepared.report(self.held.version) };
        Paired { report: rejected(report, Some(why.to_owned())), version: None }
    }
}

async fn preferred(
    shared: &Shared,
    prepared: &Prepared,
    evidence: &[Evidence; 2],
) -> Result<FeedbackReport> {
    loop {
        let held = shared.held(&prepared.key, None).await?;
        comparable(&held.config)?;
        let taste = taste(&held)?;
        let pair = pair_of(shared, prepared, &taste, evidence)?;
        let entry = LessonEntry::Pair(PairEntry::of(&pair, None, 1.0));
        let Paired { report, version } = taste.learn(prepared, &pair, Cause::Feedback)?;
        let Some((version, state)) = version else {
            return unpublished(shared, prepared, report, &entry).await;
        };
        let lesson = row(prepared, &report, &entry)?;
        if let Published::Version(number) = shared.store.publish(&version, &lesson).await? {
            keep(shared, &held, number, (state, version.state.len()));
            return noted(&lesson);
        }
    }
}

/// The pair of two answers of which the first was preferred. Which was seen first is not known, and is drawn.
fn pair_of(
    shared: &Shared,
    prepared: &Prepared,
    taste: &Taste,
    evidence: &[Evidence; 2],
) -> Result<DuelPair> {
    let AdapterConfig::Tpop(config) = taste.held.config.as_ref() else {
        return Err(Error::invalid("adapter", "is no learner of tastes"));
    };
    let space = TasteSpace::of(config, &shared.model)?;
    let (state, id) = (taste.state, pair_id(&prepared.id));
    let seed = state.scope().seed;
    let features = |evidence: &Evidence| {
        let recording = evidence.recording(&shared.model)?;
        space.of_answer(&recording).ok_or_else(|| {
            Error::invalid("preferred", "is of answers; this adapter compares settings")
        })
    };
    let [better, worse] = evidence;
    let features = [features(better)?, features(worse)?];
    let contrast = state.bonus(&features[0], &features[1]);
    Ok(DuelPair {
        id,
        answers: [digest_of(&better.tokens), digest_of(&worse.tokens)],
        prefixes: space.prefixes(seed, id, [&better.tokens, &worse.tokens]),
        order: DuelOrder::drawn(seed, usize::try_from(id >> 1).unwrap_or_default()),
        judgement: PairLabel::A,
        weight: 1.0,
        propensity: 1.0,
        contrast: if contrast.is_finite() { contrast } else { 0.0 },
        time_ms: now_ms(),
        features,
    })
}

/// The number of a pair among its owner's, out of its name.
fn pair_id(name: &str) -> u64 {
    Fingerprint::builder("trimtab.pair").text(name).finish().to_u64()
}

async fn chosen(shared: &Shared, prepared: &Prepared, vote: DuelVote) -> Result<FeedbackReport> {
    let (owner, id) = (prepared.key.owner(), &prepared.id);
    let found = shared.store.duel(owner, id).await?;
    let duel = found.ok_or_else(|| Error::NoDuel { id: id.clone() })?;
    let closed = |why| Error::DuelClosed { id: id.clone(), why };
    let now = now_ms();
    if duel.chosen.is_some() {
        return Err(closed("it was decided otherwise"));
    }
    if now > duel.expires_ms {
        return Err(closed("it is too old"));
    }
    let document: DuelDocument = read("document", &duel.document)?;
    let kept = document.pair.ok_or_else(|| closed("it has one answer"))?;
    let is_hasty = now < duel.created_ms.saturating_add_unsigned(shared.limits.fastest_choice_ms);
    let order_propensity = document.shown.order_propensity;
    let pair = kept.judged(pair_id(id), vote, (now, if is_hasty { 0.0 } else { 1.0 }));
    let entry = LessonEntry::Pair(PairEntry::of(&pair, Some(kept.rule), order_propensity));
    let haste = is_hasty.then_some("too_fast");
    let decided = StoredDuel { chosen: Some((vote.as_str().to_owned(), now)), ..duel };
    loop {
        let held = shared.held(&prepared.key, None).await?;
        let taste = taste(&held)?;
        let Paired { report, version } = match idle(vote, haste, taste.state) {
            Some(why) => taste.untaught(prepared, why),
            None => taste.learn(prepared, &pair, Cause::Duel)?,
        };
        let lesson = row(prepared, &report, &entry)?;
        let row = version.as_ref().map(|(version, _)| version);
        match (shared.store.decide_duel(&decided, &lesson, row).await?, version) {
            (Some(Published::Stale), _) => {}
            (Some(Published::Version(number)), Some((version, state))) => {
                keep(shared, &held, number, (state, version.state.len()));
                return noted(&lesson);
            }
            (Some(Published::Version(_)) | None, _) => return noted(&lesson),
        }
    }
}

/// Why a choice teaches nothing, if so.
fn idle(vote: DuelVote, haste: Option<&'static str>, state: &TpopState) -> Option<&'static str> {
    let ties = state.scope().config.params().ties;
    match vote {
        DuelVote::Left | DuelVote::Right => haste,
        DuelVote::Tie => (ties == TieRule::Ignore).then_some("tie").or(haste),
        DuelVote::Skip | DuelVote::BothBad => Some(vote.as_str()),
    }
}
