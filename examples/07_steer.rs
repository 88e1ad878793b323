//! Steer: make a vector from two prompts, and chat with and without it.
//!
//! The vector is the difference of two instructions, read where the answer would begin. It is scaled to a share of the
//! stream's own length, so that the number means the same at any block.
//!
//! `cargo run --release -p trimtab-examples --example 07_steer -- "What did you do today?"`

use trimtab_runtime::Model;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::ops::Unit;
use trimtab_steering::steer::SteerOptions;
use trimtab_steering::{Result, Steer, VectorFile};

const SITE: Site = Site::ResidPost(15);
const QUESTIONS: [&str; 4] =
    ["How was the concert?", "What is for dinner?", "Describe the sea.", "Tell me about trains."];

/// The last prompt token's activation, `[d_model]`, averaged over the questions.
fn read(model: &Model, instruction: &str) -> Result<Vec<f32>> {
    let mut mean = vec![0.0; model.decoder().spec().d_model];
    for question in QUESTIONS {
        let text = format!("{instruction} {question}");
        let prompt = model.chat_prompt(&[Message::new("user", text)])?;
        let read = model.activations(&prompt, SITE)?;
        mean.iter_mut().zip(read.last()).for_each(|(m, x)| *m += x / QUESTIONS.len() as f32);
    }
    Ok(mean)
}

fn main() -> Result<()> {
    let question = std::env::args().nth(1).unwrap_or("What did you do today?".to_owned());
    let model = Model::open("smollm2-135m-instruct")?;
    let glad = read(&model, "Answer with great enthusiasm and many exclamation marks!")?;
    let calm = read(&model, "Answer in a flat, bored and sober tone.")?;
    let file = VectorFile::from_difference("glad", SITE, &calm, &glad)?;
    let question = [Message::new("user", question)];
    let answer = model.chat(&question).max_tokens(40).run()?;
    println!("without\n  {}\n", answer.text.replace('\n', " "));
    for scale in [0.15, 0.25] {
        let options =
            SteerOptions { scale: Some(scale), unit: Unit::StreamNorm, ..SteerOptions::default() };
        let steered = model
            .chat(&question)
            .plan(Plan::of(Steer::new(&file, &options)?))
            .max_tokens(40)
            .run()?;
        let fired: u64 = steered.fired.iter().sum();
        println!("with {scale} of the stream's norm, {fired} positions steered");
        println!("  {}\n", steered.text.replace('\n', " "));
    }
    Ok(())
}
