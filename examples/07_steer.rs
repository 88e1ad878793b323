//! Steer: make a vector from two prompts, and chat with and without it.
//!
//! The vector is the difference of two instructions, read where the answer would begin. It is scaled to a share of the
//! stream's own length, so that the number means the same at any block.
//!
//! `cargo run --release -p trimtab-examples --example 07_steer -- "What did you do today?"`

use trimtab_runtime::Model;
use trimtab_runtime::generate::{Answer, Generation, Request, complete};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
use trimtab_steering::ops::Unit;
use trimtab_steering::steer::SteerOptions;
use trimtab_steering::{Direction, Error, Result, Steer, VectorFile};

const SITE: Site = Site::ResidPost(15);
const QUESTIONS: [&str; 4] =
    ["How was the concert?", "What is for dinner?", "Describe the sea.", "Tell me about trains."];

/// The last prompt token's activation, `[d_model]`, averaged over the questions.
fn read(model: &Model, instruction: &str) -> Result<Vec<f32>> {
    let mut mean = vec![0.0; model.decoder().spec().d_model];
    for question in QUESTIONS {
        let text = format!("{instruction} {question}");
        let mut session = model.session(Plan::empty())?;
        session.push_prompt(&model.chat_prompt(&[Message::new("user", text)])?)?;
        let captured = session.capture(&[SITE])?.remove(&SITE);
        let stream = captured.ok_or(trimtab_runtime::Error::Misuse("the site was captured"))?;
        let rows = stream.to_vec2::<f32>().map_err(trimtab_runtime::Error::tensor("stream"))?;
        let last = rows.last().into_iter().flatten();
        mean.iter_mut().zip(last).for_each(|(m, x)| *m += x / QUESTIONS.len() as f32);
    }
    Ok(mean)
}

fn vector(model: &Model) -> Result<VectorFile> {
    let glad = read(model, "Answer with great enthusiasm and many exclamation marks!")?;
    let calm = read(model, "Answer in a flat, bored and sober tone.")?;
    let difference: Vec<f32> = glad.iter().zip(&calm).map(|(g, c)| g - c).collect();
    let (direction, gap) = Direction::normalised(SITE, &difference)?;
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("glad", "enthusiastic", Operation::Add, method);
    card.sites.insert(SITE, SiteCard::of(SITE, Some(gap)));
    VectorFile::new(card, vec![direction])
}

fn answer(model: &Model, question: &str, plan: Plan) -> Result<Answer> {
    let mut session = model.session(plan)?;
    session.push_prompt(&model.chat_prompt(&[Message::new("user", question)])?)?;
    let request = Request { max_tokens: Some(40), ..Request::default() };
    Ok(complete(Generation::new(session, model.tokenizer()?.clone(), request)?)?)
}

fn main() -> Result<(), Error> {
    let question = std::env::args().nth(1).unwrap_or("What did you do today?".to_owned());
    let model = Model::open("smollm2-135m-instruct")?;
    let file = vector(&model)?;
    println!("without\n  {}\n", answer(&model, &question, Plan::empty())?.text.replace('\n', " "));
    for scale in [0.15, 0.25] {
        let options =
            SteerOptions { scale: Some(scale), unit: Unit::StreamNorm, ..SteerOptions::default() };
        let steered = answer(&model, &question, Plan::of(Steer::new(&file, &options)?))?;
        let fired: u64 = steered.fired.iter().sum();
        println!("with {scale} of the stream's norm, {fired} positions steered");
        println!("  {}\n", steered.text.replace('\n', " "));
    }
    Ok(())
}
