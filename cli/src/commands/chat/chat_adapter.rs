//! The adapter of a conversation: which version answers, what is kept of answers, what judgements teach.

use super::conversation::Proposal;
use crate::commands::learning::{LOCAL, Learning};
use crate::commands::opened::Opened;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::adapt::AdaptPlan;
use trimtab_adapters::host::{
    AdapterHost, AdapterKey, AdapterVersionSummary, AnswerRecord, AnswerRef, DuelRequest, DuelVote,
    FeedbackReport, HostLimits, Lesson, PinRequest, PinnedAdapter, RecordingHandle, Remark,
    Reverted, ShownDuel,
};
use trimtab_adapters::rosa::RewardRules;
use trimtab_adapters::store::now_ms;
use trimtab_runtime::plan::Plan;

/// What a message says of the answer before it.
pub struct TypedJudgement {
    pub reward: f64,
    /// The phrase that says it.
    pub phrase: String,
    pub report: FeedbackReport,
}

/// The adapter of a conversation.
pub struct ChatAdapter {
    learning: Learning,
    key: AdapterKey,
    rules: RewardRules,
    /// What the names of this conversation's answers begin with: no other conversation has it.
    name: String,
    answers: usize,
    /// The last answer, until it is judged.
    last: Option<AnswerRef>,
}

impl ChatAdapter {
    /// The adapter of a plan; it is made if it is not there.
    pub fn open(
        plan: &AdaptPlan,
        opened: &Opened,
        limits: HostLimits,
        console: &Console,
    ) -> Result<ChatAdapter> {
        let key = AdapterKey::new(LOCAL, &plan.id)
            .map_err(|error| Error::usage("--adapter", error.to_string()))?;
        let learning = Learning::open(plan.folder.as_deref(), opened, limits)?;
        let summary = learning.wait(learning.host().create(&key, &plan.config))?;
        let place = match &plan.folder {
            Some(folder) => format!("kept in {}", folder.display()),
            None => "in memory until this ends".to_owned(),
        };
        let (method, version) = (summary.method, summary.version);
        console.note(format!("adapter {} ({method}), version {version}, {place}", key.id()));
        let rules = RewardRules::english()?;
        let name = format!("chat-{:x}", now_ms());
        Ok(ChatAdapter { learning, key, rules, name, answers: 0, last: None })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        self.key.id()
    }

    /// The host.
    pub fn host(&self) -> &AdapterHost {
        self.learning.host()
    }

    /// The version that the next answer is made under.
    pub fn pin(&self) -> Result<PinnedAdapter> {
        self.learning.wait(self.host().pin(&self.key, &PinRequest::Newest))
    }

    /// What is kept of an answer. The plan is that of the answer without the adapter.
    pub fn record_of(
        &mut self,
        pinned: &PinnedAdapter,
        proposal: &Proposal,
        plan: &Plan,
    ) -> AnswerRecord {
        self.answers += 1;
        let response = format!("{}-{}", self.name, self.answers);
        AnswerRecord {
            answer: AnswerRef { response, choice: 0 },
            key: self.key.clone(),
            version: pinned.version(),
            prompt: proposal.prompt.clone(),
            recording: proposal.recording.as_ref().map(RecordingHandle::take).unwrap_or_default(),
            plan: plan.clone(),
            took: proposal.reply.took(),
            made_ms: now_ms(),
        }
    }

    /// Keeps an answer until it is judged.
    pub fn keep(&mut self, record: AnswerRecord) {
        self.last = Some(record.answer.clone());
        self.host().record(record);
    }

    /// Nothing that is said from here on is about the last answer.
    pub fn forget_last(&mut self) {
        self.last = None;
    }

    /// Teaches a remark about the last answer.
    pub fn teach(&mut self, word: &'static str, remark: Remark) -> Result<FeedbackReport> {
        let Some(answer) = self.last.clone() else {
            return Err(Error::usage(word, "finds no answer that is yet to be judged"));
        };
        let report =
            self.learning.wait(self.host().teach(LOCAL, Lesson::Remark(answer, remark)))?;
        self.last = None;
        Ok(report)
    }

    /// Teaches what a message says of the answer before it, by the table of phrases. Most messages say nothing of it.
    pub fn hear(&mut self, message: &str) -> Result<Option<TypedJudgement>> {
        let (Some(judgement), Some(phrase), Some(_)) =
            (self.rules.judge(message), self.rules.phrase(message), &self.last)
        else {
            return Ok(None);
        };
        let report = self.teach("message", Remark::Text(message.to_owned()))?;
        Ok(Some(TypedJudgement { reward: judgement.reward, phrase, report }))
    }

    /// Has the learner choose what is shown of these answers.
    pub fn open_duel(
        &self,
        pinned: &PinnedAdapter,
        answers: Vec<AnswerRecord>,
    ) -> Result<ShownDuel> {
        let request = DuelRequest::default();
        self.learning.wait(self.host().open_duel(pinned, &request, answers))
    }

    /// Teaches a choice.
    pub fn choose(&self, duel: &str, vote: DuelVote) -> Result<FeedbackReport> {
        self.learning.wait(self.host().choose(LOCAL, duel, vote))
    }

    /// What was learnt, step by step.
    pub fn versions(&self) -> Result<Vec<AdapterVersionSummary>> {
        self.learning.wait(self.host().versions(&self.key))
    }

    /// Goes back to a version.
    pub fn revert(&self, to: u32) -> Result<Reverted> {
        self.learning.wait(self.host().revert(&self.key, to))
    }
}
