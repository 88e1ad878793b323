//! What learning costs those who only read: time between the tokens of other answers while lessons are taught, and the
//! memory of many owners' states.
//!
//! ```sh
//! cargo run --release -p trimtab-experiments --bin learn_load -- 6 10
//! ```
//!
//! The numbers are rounds and lessons a second; a third word is the model and a fourth the threads that it runs on. A round
//! is ten seconds without lessons and ten with them, on the same engine and the same prompts. The time of a lesson goes from its being
//! sent to its version being published, the queue included. Every lesson is a whole update: of another adapter each, from
//! version 0, with a thumb down.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use trimtab_adapters::host::{
    AdapterConfig, AdapterHost, AdapterKey, AnswerRecord, AnswerRef, FeedbackStatus, HostLimits,
    LearningModel, Lesson, PinRequest, Remark, StateReader, StateRecorder, Thumb,
};
use trimtab_adapters::rosa::RosaParams;
use trimtab_adapters::store::Store;
use trimtab_runtime::engine::{Engine, EngineOptions, Notice, SubmitOptions};
use trimtab_runtime::generate::{Answer, Event, Flow, Generation, Request};
use trimtab_runtime::perplexity::quantile;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, device};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Answers that run all the time.
const READERS: usize = 2;
/// Tokens of the answer that is judged.
const JUDGED: usize = 64;
const PHASE: Duration = Duration::from_secs(10);
const OWNERS: usize = 1000;
const QUESTIONS: [&str; 4] = [
    "Write a long story about a lighthouse keeper and his dog.",
    "Describe how bread is made, step by step.",
    "What should a visitor see in Lisbon? Tell me in detail.",
    "Explain why the seasons change.",
];

struct Scene {
    model: Arc<Model>,
    engine: Arc<Engine>,
    host: AdapterHost,
}

impl Scene {
    async fn open(name: &str) -> Outcome<Scene> {
        let model = Arc::new(Model::open(name)?);
        let (decoder, pool) = (model.decoder().clone(), model.pool().clone());
        let engine = Arc::new(Engine::start(decoder, pool, EngineOptions::default())?);
        let reader = StateReader::Engine(engine.clone());
        let learning = LearningModel::new(model.clone(), reader);
        let limits = HostLimits { waiting: [10_000, 10_000], ..HostLimits::default() };
        let host = AdapterHost::start(Store::memory().await?, learning, limits)?;
        Ok(Scene { model, engine, host })
    }

    /// Starts an answer; its notices go to a sink.
    fn answer(
        &self,
        question: &str,
        most: usize,
        monitor: Option<StateRecorder>,
    ) -> Outcome<Generation> {
        let prompt = self.model.chat_prompt(&[Message::new("user", question)])?;
        let mut session = self.model.session(Plan::empty())?;
        session.push_prompt(&prompt)?;
        // An answer that may be judged lists its likely tokens, as it does on a server.
        let top_logprobs = monitor.as_ref().map_or(0, |_| RosaParams::default().top_k);
        let request = Request { max_tokens: Some(most), top_logprobs, ..Request::default() };
        let answer = Generation::new(session, self.model.tokenizer()?.clone(), request)?;
        Ok(match monitor {
            Some(monitor) => answer.watched_by(monitor),
            None => answer,
        })
    }

    /// Runs an answer and tells when each of its tokens came.
    fn run(&self, answer: Generation, times: Option<Sender<Instant>>) -> Outcome<Answer> {
        let (tell, told) = channel();
        let ticket = self.engine.submit(vec![answer], SubmitOptions::default(), move |notice| {
            match notice {
                Notice::Event { event: Event::Token(_), .. } => {
                    // The reader may have stopped counting.
                    times.iter().for_each(|times| times.send(Instant::now()).unwrap_or(()));
                }
                Notice::Ended { result, .. } => tell.send(result).unwrap_or(()),
                _ => {}
            }
            Flow::Continue
        })?;
        let answer = told.recv()??;
        drop(ticket);
        Ok(answer)
    }

    /// An answer that may be judged, under version 0 of an adapter.
    async fn judged(&self, key: &AdapterKey) -> Outcome<AnswerRecord> {
        self.host.create(key, &AdapterConfig::of_method("rosa")?).await?;
        let pinned = self.host.pin(key, &PinRequest::Newest).await?;
        let (recorder, kept) = pinned.recorder().ok_or("rosa keeps its answers")?;
        let question = QUESTIONS.first().copied().unwrap_or_default();
        let began = Instant::now();
        self.run(self.answer(question, JUDGED, Some(recorder))?, None)?;
        let took = began.elapsed();
        Ok(AnswerRecord {
            answer: AnswerRef { response: "first".to_owned(), choice: 0 },
            key: key.clone(),
            version: pinned.version(),
            prompt: self.model.chat_prompt(&[Message::new("user", question)])?,
            recording: kept.take(),
            plan: Plan::empty(),
            took,
            made_ms: trimtab_adapters::store::now_ms(),
        })
    }

    /// Gaps between the tokens of answers that run until it is told to stop.
    fn gaps(&self, reader: usize, stop: &AtomicBool) -> Outcome<Vec<f64>> {
        let mut gaps = Vec::new();
        for turn in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let question = QUESTIONS.get((reader + turn) % QUESTIONS.len()).copied();
            let (tell, told) = channel();
            self.run(self.answer(question.unwrap_or_default(), 200, None)?, Some(tell))?;
            let times: Vec<Instant> = told.into_iter().collect();
            gaps.extend(times.array_windows().map(|[a, b]| (*b - *a).as_secs_f64() * 1e3));
        }
        Ok(gaps)
    }
}

/// What came of the lessons of a phase.
#[derive(Default)]
struct Taught {
    given: usize,
    applied: usize,
    seconds: f64,
}

/// Teaches so many lessons a second, each of an adapter of its own, until the time is over.
async fn teach(scene: &Scene, first: &AnswerRecord, rate: u32, round: usize) -> Outcome<Taught> {
    let (began, mut done) = (Instant::now(), Taught::default());
    let mut lessons = Vec::new();
    while rate > 0 && began.elapsed() < PHASE {
        let key = AdapterKey::new("learner", format!("r{round}-{}", done.given))?;
        scene.host.create(&key, &AdapterConfig::of_method("rosa")?).await?;
        let answer = AnswerRef { response: format!("r{round}-{}", done.given), choice: 0 };
        scene.host.record(AnswerRecord { answer: answer.clone(), key, ..first.clone() });
        let host = scene.host.clone();
        lessons.push(tokio::spawn(async move {
            let sent = Instant::now();
            let lesson = Lesson::Remark(answer, Remark::Thumb(Thumb::Down));
            host.teach("learner", lesson).await.map(|report| (report, sent.elapsed()))
        }));
        done.given += 1;
        let next = began + Duration::from_secs_f64(done.given as f64 / f64::from(rate));
        tokio::time::sleep_until(next.into()).await;
    }
    for lesson in lessons {
        let (report, took) = lesson.await??;
        done.applied += usize::from(report.status == FeedbackStatus::Applied);
        done.seconds += took.as_secs_f64();
    }
    tokio::time::sleep(PHASE.saturating_sub(began.elapsed())).await;
    Ok(done)
}

/// One phase: gaps of all readers, and what was taught beside them.
async fn phase(
    scene: &Arc<Scene>,
    first: &AnswerRecord,
    rate: u32,
    round: usize,
) -> Outcome<(Vec<f64>, Taught)> {
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (scene, stop) = (scene.clone(), stop.clone());
            std::thread::spawn(move || scene.gaps(reader, &stop).map_err(|error| error.to_string()))
        })
        .collect();
    let taught = teach(scene, first, rate, round).await?;
    stop.store(true, Ordering::Relaxed);
    let mut gaps = Vec::new();
    for reader in readers {
        gaps.extend(reader.join().map_err(|_| "a reader failed")??);
    }
    gaps.sort_by(f64::total_cmp);
    Ok((gaps, taught))
}

/// Memory of this process that is resident, in bytes.
fn resident() -> Outcome<f64> {
    let pages: f64 = std::fs::read_to_string("/proc/self/statm")?
        .split_whitespace()
        .nth(1)
        .ok_or("no resident pages")?
        .parse()?;
    Ok(pages * 4096.0)
}

async fn owners(scene: &Scene, key: &AdapterKey) -> Outcome {
    let file = scene.host.export(key, None).await?;
    let before = resident()?;
    for owner in 0..OWNERS {
        let key = AdapterKey::new(format!("owner-{owner}"), "taught")?;
        scene.host.import(&key, &file.bytes).await?;
    }
    let stored = resident()?;
    for owner in 0..OWNERS {
        let key = AdapterKey::new(format!("owner-{owner}"), "taught")?;
        scene.host.pin(&key, &PinRequest::Newest).await?;
    }
    let (load, mb) = (scene.host.load(), |bytes: f64| bytes / 1e6);
    println!(
        "\n{OWNERS} owners: {:.1} MB for the store in memory, {:.1} MB more once all were pinned; {} states of {:.1} MB are resident",
        mb(stored - before),
        mb(resident()? - stored),
        load.resident,
        mb(load.resident_bytes as f64),
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u32| words.get(at).map_or(Ok(usual), |word| word.parse());
    let (rounds, rate) = (number(0, 6)?, number(1, 10)?);
    let model = words.get(2).map_or("smollm2-135m-instruct", String::as_str);
    if let Some(threads) = words.get(3) {
        device::set_threads(threads.parse()?)?;
    }
    println!("{} threads", device::threads());
    let scene = Arc::new(Scene::open(model).await?);
    let key = AdapterKey::new("learner", "first")?;
    let first = scene.judged(&key).await?;
    // The first lesson measures the model; it is not counted.
    scene.host.record(first.clone());
    let lesson = Lesson::Remark(first.answer.clone(), Remark::Thumb(Thumb::Down));
    println!("first lesson: {:?}", scene.host.teach("learner", lesson).await?.status);
    println!(
        "| round | p50 ms | p99 ms | p50 with lessons | p99 with lessons | p99 ratio | lessons | applied | seconds each |"
    );
    println!("| --: | --: | --: | --: | --: | --: | --: | --: | --: |");
    let mut ratios = Vec::new();
    for round in 0..rounds as usize {
        let (plain, _) = phase(&scene, &first, 0, round).await?;
        let (taught, done) = phase(&scene, &first, rate, round).await?;
        let at = |gaps: &[f64], q| quantile(gaps, q);
        let ratio = at(&taught, 0.99) / at(&plain, 0.99);
        ratios.push(ratio);
        println!(
            "| {round} | {:.1} | {:.1} | {:.1} | {:.1} | {ratio:.2} | {} | {} | {:.3} |",
            at(&plain, 0.5),
            at(&plain, 0.99),
            at(&taught, 0.5),
            at(&taught, 0.99),
            done.given,
            done.applied,
            done.seconds / done.given.max(1) as f64,
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nmedian ratio of p99: {:.2}", quantile(&ratios, 0.5));
    owners(&scene, &key).await
}
