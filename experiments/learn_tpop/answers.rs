//! Makes the answers that are not in the cache yet.

use super::cache::{Cache, Kept, Key};
use super::drive;
use super::settings::{Setting, Vectors, behind};
use std::time::Instant;
use trimtab_adapters::host::{RecordingHandle, StateRecorder};
use trimtab_adapters::rosa::BlockKind;
use trimtab_runtime::Model;
use trimtab_runtime::engine::Engine;
use trimtab_runtime::generate::{Answer, Finish, Generation, Request};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Answers between two writes of the cache.
const CHUNK: usize = 3 * drive::PARALLEL;
/// Answers sampled for a duel.
pub const SAMPLES: usize = 4;

/// The parts of a session with a model.
pub struct Maker<'a> {
    pub model: &'a Model,
    pub engine: Engine,
    pub prompts: &'a [String],
    pub tokens: usize,
}

/// A plan, and what the model is asked about a question.
type Asked<'a> = (Plan, &'a dyn Fn(&str) -> [Message; 2]);

/// One answer to be made.
struct Job {
    key: Key,
    generation: Generation,
    recording: Option<RecordingHandle>,
}

impl Maker<'_> {
    /// Greedy answers under a setting.
    pub fn setting(&self, cache: &mut Cache, setting: Setting, vectors: &Vectors) -> Result<()> {
        let plan = vectors.plan(setting)?;
        let asked = |question: &str| setting.messages(question);
        self.greedy(cache, &setting.name(), (plan, &asked), 0..self.prompts.len())
    }

    /// Greedy answers to the prompts from here on, with a line behind each.
    pub fn line(&self, cache: &mut Cache, line: &str, from: usize) -> Result<()> {
        let asked = |question: &str| behind(question, line);
        self.greedy(cache, line, (Plan::empty(), &asked), from..self.prompts.len())
    }

    fn greedy(
        &self,
        cache: &mut Cache,
        name: &str,
        (plan, asked): Asked<'_>,
        prompts: std::ops::Range<usize>,
    ) -> Result<()> {
        let job = |key: Key| {
            let request = Request { max_tokens: Some(self.tokens), ..Request::default() };
            let messages = asked(self.prompts.get(key.1).ok_or("there is no such prompt")?);
            let chat = self.model.chat(&messages).plan(plan.clone()).request(request);
            Ok(Job { key, generation: chat.generation()?, recording: None })
        };
        let keys = prompts.map(|prompt| (name.to_owned(), prompt, 0)).collect();
        self.make(cache, keys, job)
    }

    /// Sampled answers of the plain model with their pooled activations.
    pub fn samples(
        &self,
        cache: &mut Cache,
        prompts: std::ops::Range<usize>,
        each: usize,
    ) -> Result<()> {
        let spec = self.model.decoder().spec();
        let job = |key: Key| {
            let request = drive::request(key.1 as u64, key.2 as u32, self.tokens)?;
            let question = self.prompts.get(key.1).ok_or("there is no such prompt")?;
            let (recorder, handle) =
                StateRecorder::new((spec.d_model, spec.n_layers()), BlockKind::FinalOffset);
            let generation = drive::answer_to(self.model, question, request)?.watched_by(recorder);
            Ok(Job { key, generation, recording: Some(handle) })
        };
        let key = |prompt| (0..each).map(move |sample| ("sampled".to_owned(), prompt, sample));
        self.make(cache, prompts.flat_map(key).collect(), job)
    }

    fn make(
        &self,
        cache: &mut Cache,
        keys: Vec<Key>,
        job: impl Fn(Key) -> Result<Job>,
    ) -> Result<()> {
        let missing: Vec<Key> = keys.into_iter().filter(|key| !cache.has(key)).collect();
        for chunk in missing.chunks(CHUNK) {
            let began = Instant::now();
            let jobs: Vec<Job> = chunk.iter().cloned().map(&job).collect::<Result<_>>()?;
            let mut generations = Vec::with_capacity(jobs.len());
            let mut rest = Vec::with_capacity(jobs.len());
            for Job { key, generation, recording } in jobs {
                generations.push(generation);
                rest.push((key, recording));
            }
            let made = drive::run(&self.engine, generations)?;
            let tokens: usize = made.iter().map(|answer| answer.tokens.len()).sum();
            for ((key, recording), answer) in rest.into_iter().zip(made) {
                let pooled = recording.map(|handle| self.pooled(&handle.take().finals));
                cache.add(key, kept(answer, pooled.unwrap_or_default()))?;
            }
            let took = began.elapsed().as_secs_f64();
            let of = chunk.first().map_or("", |(setting, _, _)| setting);
            eprintln!("{of}: {} answers, {tokens} tokens, {took:.0} s", chunk.len());
        }
        Ok(())
    }

    /// The mean of an answer's activations.
    // [T, d_model] -> [d_model]
    fn pooled(&self, finals: &[f32]) -> Vec<f32> {
        let width = self.model.decoder().spec().d_model;
        let mut sum = vec![0.0f64; width];
        for row in finals.chunks_exact(width) {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let rows = (finals.len() / width.max(1)).max(1) as f64;
        sum.into_iter().map(|sum| (sum / rows) as f32).collect()
    }
}

fn kept(answer: Answer, pooled: Vec<f32>) -> Kept {
    let ended = matches!(answer.finish, Finish::EndToken(_));
    Kept { tokens: answer.tokens.len(), text: answer.text, ended, pooled }
}
