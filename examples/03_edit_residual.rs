//! Edit the residual stream: add a direction while the model answers, and see what changes.
//!
//! The direction is the difference between two prompts' activations; the same question is answered plain, pushed
//! along it and pushed the other way.
//!
//! `cargo run --release -p trimtab-examples --example 03_edit_residual`

use trimtab_runtime::generate::{Generation, Request, complete};
use trimtab_runtime::hook::Addition;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Error, Model, Result};

const SITE: Site = Site::ResidPost(14);

/// The mean activation of a text's tokens, `d_model` values.
fn mean(model: &Model, text: &str) -> Result<Vec<f32>> {
    let mut session = model.session(Plan::empty())?;
    session.push_prompt(&model.text_prompt(text)?)?;
    let captured = session.capture(&[SITE])?;
    let stream = captured.get(&SITE).ok_or(Error::Misuse("the site was not captured"))?;
    stream.mean(0).and_then(|m| m.to_vec1()).map_err(Error::tensor("mean"))
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let glad = mean(&model, "I am so happy! What a wonderful, joyful, delightful day!")?;
    let sad = mean(&model, "I am so sad. What a terrible, gloomy, miserable day.")?;
    let direction: Vec<f32> = glad.iter().zip(&sad).map(|(a, b)| a - b).collect();

    let prompt = model.chat_prompt(&[Message::new("user", "Describe your morning.")])?;
    for scale in [0.0, 1.5, -1.5] {
        let plan = Plan::of(Addition::new(SITE, direction.clone(), scale)?);
        let mut session = model.session(plan)?;
        session.push_prompt(&prompt)?;
        let request = Request { max_tokens: Some(40), ..Request::default() };
        let answer = complete(Generation::new(session, model.tokenizer()?.clone(), request)?)?;
        println!("scale {scale:+}: {} positions steered", answer.fired.iter().sum::<u64>());
        println!("  {}\n", answer.text.replace('\n', " "));
    }
    Ok(())
}
