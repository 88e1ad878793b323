//! Answers through the engine, sixteen at a time.

use std::sync::mpsc;
use trimtab_runtime::engine::{Engine, EngineOptions, Notice, Terms};
use trimtab_runtime::generate::{Answer, Flow, Generation, Request};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Error, Model, Result};

/// Answers that run together.
pub const PARALLEL: usize = 16;

/// An engine with a place in line for everybody.
pub fn engine(model: &Model) -> Result<Engine> {
    let options = EngineOptions { parallel: PARALLEL, queue: 1024, ..EngineOptions::default() };
    Engine::start(model.decoder().clone(), model.pool().clone(), options)
}

/// How every arm samples.
pub fn request(seed: u64, choice: u32, tokens: usize) -> Result<Request> {
    let sampling = SamplingParams { temperature: 0.8, top_p: 0.95, ..SamplingParams::default() };
    let (sampling, max_tokens) = (sampling.check()?, Some(tokens));
    Ok(Request { sampling, seed, choice, max_tokens, ..Request::default() })
}

/// An answer to a question that nobody watches yet.
pub fn answer_to(model: &Model, question: &str, request: Request) -> Result<Generation> {
    let mut session = model.session(Plan::empty())?;
    session.push_prompt(&model.chat_prompt(&[Message::new("user", question)])?)?;
    Generation::new(session, model.tokenizer()?.clone(), request)
}

/// Runs them all; answers come in the order of the generations.
pub fn run(engine: &Engine, generations: Vec<Generation>) -> Result<Vec<Answer>> {
    let (tell, told) = mpsc::channel();
    let mut tickets = Vec::with_capacity(generations.len());
    for (index, generation) in generations.into_iter().enumerate() {
        let tell = tell.clone();
        tickets.push(engine.submit(vec![generation], Terms::default(), move |notice| {
            if let Notice::Ended { result, .. } = notice {
                tell.send((index, result)).ok(); // who does not listen needs no answer
            }
            Flow::Continue
        })?);
    }
    drop(tell);
    let mut answers: Vec<(usize, Answer)> = Vec::with_capacity(tickets.len());
    for (index, result) in told {
        answers.push((index, result?));
    }
    if answers.len() < tickets.len() {
        return Err(Error::Misuse("the engine ended before its answers"));
    }
    answers.sort_unstable_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
