//! Conditional steering: a gate reads the prompt and lets the vector act only where its condition holds.
//!
//! Both directions are differences of means over a few short texts. The condition is "this is about cooking", decided
//! once on the prompt's mean; what it gates is the push from 03_edit_residual.
//!
//! `cargo run --release -p trimtab-examples --example 08_conditional`

use trimtab_runtime::Model;
use trimtab_runtime::generate::{Generation, Request, complete};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
use trimtab_steering::gate::{Condition, Deciding, Gate, Rule, Side};
use trimtab_steering::steer::SteerOptions;
use trimtab_steering::{Direction, Error, Result, Steer, VectorFile};

const READ: Site = Site::ResidPost(10);
const ACT: Site = Site::ResidPost(14);

/// The mean activation of prompts, first tokens left out, `[d_model]`.
fn mean(model: &Model, site: Site, texts: &[&str]) -> Result<Vec<f32>> {
    let mut sum = vec![0.0; model.decoder().spec().d_model];
    for text in texts {
        let mut session = model.session(Plan::empty())?;
        session.push_prompt(&model.chat_prompt(&[Message::new("user", *text)])?)?;
        let stream = session.capture(&[site])?.remove(&site);
        let stream = stream.ok_or(trimtab_runtime::Error::Misuse("the site was captured"))?;
        let rows = stream.to_vec2::<f32>().map_err(trimtab_runtime::Error::tensor("stream"))?;
        let share = 1.0 / (texts.len() * (rows.len() - 1)) as f32;
        rows.iter()
            .skip(1)
            .flat_map(|row| row.iter().enumerate())
            .for_each(|(i, x)| sum[i] += x * share);
    }
    Ok(sum)
}

/// A vector from one class of texts to another, with what makes its projection a class coordinate.
fn vector(model: &Model, site: Site, [from, to]: [&[&str]; 2]) -> Result<VectorFile> {
    let (from, to) = (mean(model, site, from)?, mean(model, site, to)?);
    let difference: Vec<f32> = to.iter().zip(&from).map(|(t, f)| t - f).collect();
    let (direction, gap) = Direction::normalised(site, &difference)?;
    let anchor = from.iter().zip(direction.values()).map(|(x, v)| x * v).sum();
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("contrast", "from one to the other", Operation::Add, method);
    card.sites.insert(site, SiteCard { anchor: Some(anchor), ..SiteCard::of(site, Some(gap)) });
    VectorFile::new(card, vec![direction])
}

fn main() -> Result<(), Error> {
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
        let mut session = model.session(plan.clone())?;
        session.push_prompt(&model.chat_prompt(&[Message::new("user", question)])?)?;
        let request = Request { max_tokens: Some(30), ..Request::default() };
        let answer = complete(Generation::new(session, model.tokenizer()?.clone(), request)?)?;
        println!("{question}\n  {} positions steered", answer.fired.iter().sum::<u64>());
        println!("  {}\n", answer.text.replace('\n', " "));
    }
    Ok(())
}
