//! Conditional steering: a gate reads the prompt and lets the vector act only where its condition holds.
//!
//! Both directions are differences of means over a few short texts. The condition is "this is about cooking", decided
//! once on the prompt's mean; what it gates is the push from 03_edit_residual.
//!
//! `cargo run --release -p trimtab-examples --example 08_conditional`

use trimtab_runtime::Model;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::gate::{Condition, Deciding, Gate, Rule, Side};
use trimtab_steering::steer::SteerOptions;
use trimtab_steering::{Result, Steer, VectorFile};

const READ: Site = Site::ResidPost(10);
const ACT: Site = Site::ResidPost(14);

/// A vector from one class of questions to another: the difference of their means, first tokens left out.
fn vector(model: &Model, site: Site, [from, to]: [&[&str]; 2]) -> Result<VectorFile> {
    let mean = |texts: &[&str]| -> Result<Vec<f32>> {
        let mut sum = vec![0.0; model.decoder().spec().d_model];
        for text in texts {
            let prompt = model.chat_prompt(&[Message::new("user", *text)])?;
            let mean = model.activations(&prompt, site)?.skip(1).mean();
            sum.iter_mut().zip(mean).for_each(|(sum, x)| *sum += x / texts.len() as f32);
        }
        Ok(sum)
    };
    VectorFile::from_difference("contrast", site, &mean(from)?, &mean(to)?)
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let other = ["How does a clock work?", "How do planes fly?", "How does a lock open?"];
    let cooking = ["How do I boil an egg?", "How do I bake bread?", "How do I cook a curry?"];
    let about_cooking = vector(&model, READ, [&other, &cooking])?;
    let sad = ["I am so sad. What a terrible, gloomy, miserable day."];
    let glad = ["I am so happy! What a wonderful, joyful, delightful day!"];
    let cheer = vector(&model, ACT, [&sad, &glad])?;

    let condition = Condition::new(&about_cooking, Side::Above, 0.5)?;
    let gate = Gate::new(Rule::All(vec![condition]), Deciding::PromptMean)?;
    let options = SteerOptions { scale: Some(2.0), gate: Some(gate), ..SteerOptions::default() };
    let plan = Plan::of(Steer::new(&cheer, &options)?);
    for question in ["How do I make tomato soup?", "How does a bicycle stay upright?"] {
        let messages = [Message::new("user", question)];
        let answer = model.chat(&messages).plan(plan.clone()).max_tokens(30).run()?;
        println!("{question}\n  {} positions steered", answer.fired.iter().sum::<u64>());
        println!("  {}\n", answer.text.replace('\n', " "));
    }
    Ok(())
}
