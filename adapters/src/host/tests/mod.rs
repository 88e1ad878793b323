//! A host over the tiny model, and conversations with it.

mod crowd;
mod duels;
mod feedback;
mod files;
mod rosa_serving;

use super::*;
use crate::error::Result;
use crate::rosa::{BlockKind, RosaParams, RosaState, Signs};
use crate::store::{Store, now_ms};
use crate::tpop::{TpopParams, TpopState};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use trimtab_runtime::Model;
use trimtab_runtime::engine::{Engine, EngineOptions, Notice, SubmitOptions, Ticket};
use trimtab_runtime::generate::{Answer, Flow, Generation, Request, complete, run_group};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Sampling, SamplingParams};
use trimtab_runtime::testing::tiny;

/// A host, and what it is over.
pub struct Desk {
    pub model: Arc<Model>,
    pub store: Store,
    pub host: AdapterHost,
}

/// An answer with what was pinned for it.
pub struct Asked {
    pub pinned: PinnedAdapter,
    pub answer: Answer,
    pub record: AnswerRecord,
}

pub fn model() -> Arc<Model> {
    Arc::new(tiny::model(1 << 16).unwrap())
}

pub fn limits() -> HostLimits {
    HostLimits { fastest_choice_ms: 0, ..HostLimits::default() }
}

pub fn key(owner: &str) -> AdapterKey {
    AdapterKey::new(owner, "a").unwrap()
}

pub fn rosa(block: BlockKind) -> AdapterConfig {
    AdapterConfig::Rosa { params: RosaParams { block, signs: Signs::Both, ..wide() } }
}

/// Guards of a model whose logits are small and whose vocabulary is 64: every step moves the canary by as much as the answer.
fn wide() -> RosaParams {
    RosaParams {
        eps_neg: 0.05,
        eps_pos: 0.05,
        canary_step: 0.5,
        canary_mean: 1.0,
        canary_max: 4.0,
        ..RosaParams::default()
    }
}

pub fn taste() -> TpopParams {
    TpopParams { features: 8, ..TpopParams::default() }
}

pub fn tpop(params: TpopParams) -> AdapterConfig {
    AdapterConfig::Tpop(TasteConfig { params, arms: Vec::new() })
}

pub fn sampled(temperature: f32) -> Sampling {
    SamplingParams { temperature, ..SamplingParams::default() }.check().unwrap()
}

pub fn asked(seed: u64) -> Request {
    Request { seed, sampling: sampled(1.0), max_tokens: Some(12), ..Request::default() }
}

pub const PROMPT: [u32; 6] = [3, 1, 4, 1, 5, 9];

impl Desk {
    pub async fn new() -> Desk {
        Desk::over(model(), Store::memory().await.unwrap(), StateReader::Here)
    }

    pub fn over(model: Arc<Model>, store: Store, reader: StateReader) -> Desk {
        let learning = LearningModel::new(model.clone(), reader);
        let host = AdapterHost::start(store.clone(), learning, limits()).unwrap();
        Desk { model, store, host }
    }

    /// With an engine, which the learner reads beside.
    pub fn served(model: Arc<Model>, store: Store, parallel: usize) -> (Desk, Arc<Engine>) {
        let options = EngineOptions { parallel, queue: 512, ..EngineOptions::default() };
        let engine = Engine::start(model.decoder().clone(), model.pool().clone(), options).unwrap();
        let engine = Arc::new(engine);
        (Desk::over(model, store, StateReader::Engine(engine.clone())), engine)
    }

    pub async fn adapter(&self, key: &AdapterKey, config: &AdapterConfig) {
        self.host.create(key, config).await.unwrap();
    }

    /// An answer of the newest version, kept.
    pub async fn ask(&self, key: &AdapterKey, response: &str, request: Request) -> Asked {
        let pinned = self.host.pin(key, &PinRequest::Newest).await.unwrap();
        let asked = self.answer(pinned, response, request);
        self.host.record(asked.record.clone());
        asked
    }

    /// An answer under a pinned version.
    pub fn answer(&self, pinned: PinnedAdapter, response: &str, request: Request) -> Asked {
        let (generation, handle) = self.generation(&pinned, request);
        let answer = complete(generation).unwrap();
        let record = record(&pinned, response, handle.take());
        Asked { pinned, answer, record }
    }

    pub fn generation(
        &self,
        pinned: &PinnedAdapter,
        request: Request,
    ) -> (Generation, RecordingHandle) {
        self.generation_of(&PROMPT, pinned, request)
    }

    pub fn generation_of(
        &self,
        prompt: &[u32],
        pinned: &PinnedAdapter,
        request: Request,
    ) -> (Generation, RecordingHandle) {
        let plan = pinned.plan(&Plan::empty()).unwrap();
        let mut session = self.model.session(plan).unwrap();
        session.push_prompt(prompt).unwrap();
        let tokenizer = self.model.tokenizer().unwrap().clone();
        let generation = Generation::new(session, tokenizer, request).unwrap();
        match pinned.recorder() {
            Some((recorder, handle)) => (generation.watched_by(recorder), handle),
            None => (generation, RecordingHandle::default()),
        }
    }

    pub async fn say(&self, asked: &Asked, remark: Remark) -> FeedbackReport {
        let lesson = Lesson::Remark(asked.record.answer.clone(), remark);
        self.host.teach(asked.pinned.key().owner(), lesson).await.unwrap()
    }

    pub async fn rosa_state(&self, key: &AdapterKey, version: Option<u32>) -> Arc<RosaState> {
        let request = version.map_or(PinRequest::NewestFrozen, PinRequest::Version);
        match self.host.pin(key, &request).await.unwrap().state() {
            AdapterState::Rosa(state) => state.clone(),
            AdapterState::Tpop(_) => panic!("a taste"),
        }
    }

    pub async fn taste_state(&self, key: &AdapterKey) -> Arc<TpopState> {
        match self.host.pin(key, &PinRequest::NewestFrozen).await.unwrap().state() {
            AdapterState::Tpop(state) => state.clone(),
            AdapterState::Rosa(_) => panic!("no taste"),
        }
    }
}

pub fn record(pinned: &PinnedAdapter, response: &str, recording: Recording) -> AnswerRecord {
    AnswerRecord {
        answer: AnswerRef { response: response.into(), choice: 0 },
        key: pinned.key().clone(),
        version: pinned.version(),
        prompt: PROMPT.to_vec(),
        recording,
        plan: Plan::empty(),
        took: Duration::from_secs(2),
        made_ms: now_ms(),
    }
}

/// Answers of one job of an engine, in order, waited for.
pub fn serve(engine: &Engine, generations: Vec<Generation>) -> Vec<Answer> {
    wait(submit(engine, generations))
}

pub type Running = (Ticket, std::sync::mpsc::Receiver<(usize, Answer)>, usize);

pub fn submit(engine: &Engine, generations: Vec<Generation>) -> Running {
    let count = generations.len();
    let (tell, told) = channel();
    let sink = move |notice| {
        if let Notice::Ended { choice, result } = notice {
            tell.send((choice, result.unwrap())).ok();
        }
        Flow::Continue
    };
    (engine.submit(generations, SubmitOptions::default(), sink).unwrap(), told, count)
}

pub fn wait((ticket, told, count): Running) -> Vec<Answer> {
    let mut answers: Vec<(usize, Answer)> =
        (0..count).map(|_| told.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    drop(ticket);
    answers.sort_by_key(|(choice, _)| *choice);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Two answers of a duel token by token.
pub fn lockstep(mut generations: Vec<Generation>, mut duel: crate::tpop::TokenDuel) -> Vec<Answer> {
    run_group(&mut generations, &mut duel, &mut |_, _| Flow::Continue).unwrap();
    generations.into_iter().map(|generation| generation.into_answer().unwrap()).collect()
}

pub fn thumb_down() -> Remark {
    Remark::Thumb(Thumb::Down)
}

pub fn thumb_up() -> Remark {
    Remark::Thumb(Thumb::Up)
}

pub fn code<T>(result: Result<T>) -> &'static str {
    result.err().map_or("fine", |error| error.code())
}
