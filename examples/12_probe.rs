//! A probe that watches every token of an answer, and what its guard writes down.
//!
//! The direction comes from a few texts about food and about other things: coordinate 0 is the mean of the others, 1 that of
//! food. Three tokens in a row above a half are a hit, which is reported; `Then::Rewind` would take them back.
//!
//! `cargo run --release -p trimtab-examples --example 12_probe`
//!
//! With a file that detects and a threshold it watches with that, and answers every line of stdin instead.

use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::extract::{Extraction, Position, Recipe, Rule, STATE_BYTES, Shard};
use trimtab_steering::file::card::MethodName;
use trimtab_steering::gate::{Condition, Side};
use trimtab_steering::monitor::{Guard, Probe, Record, Rules, Then, Watch};
use trimtab_steering::pairs::{BadPairs, Pairs};
use trimtab_steering::{Result, VectorFile};

const TEXTS: &str = r#"
{"label": 1, "text": "Fry the onions in butter, then add garlic, tomatoes and a little salt."}
{"label": 0, "text": "Tighten the screws, then check the wheel, the chain and both brakes."}
{"label": 1, "text": "The bread was warm, the soup was rich, and the cheese melted on top."}
{"label": 0, "text": "The road was wet, the night was dark, and the train had already left."}
{"label": 1, "text": "Bake the cake for an hour and serve it with cream and strawberries."}
{"label": 0, "text": "Read the letter twice and answer it with care before the week ends."}
"#;

/// A direction that tells the texts about food from the others.
fn about_food(model: &Model) -> Result<VectorFile> {
    let pairs = Pairs::from_bytes(TEXTS.as_bytes(), BadPairs::Refuse)?;
    let recipe = Recipe {
        position: Some(Position::All),
        rule: Some(Rule::PaperCosine),
        shares: [1.0, 0.0, 0.0],
        min_pairs: 3,
        ..Recipe::new(MethodName::MeanDifference, "food")
    };
    let extraction = Extraction::new(model, &pairs, &[Site::ResidPost(14)], &recipe)?;
    let mut states = extraction.begin(Shard::WHOLE, STATE_BYTES)?;
    extraction.read(&mut states, &mut |_, _| Flow::Continue)?;
    Ok(states.finish()?.file)
}

/// An answer of at most 64 tokens, and what the guard wrote down.
fn watched(model: &Model, condition: &Condition, question: &str) -> Result<(String, Record)> {
    let probe = Probe::new(condition.clone(), model.decoder().spec())?;
    let watch =
        Watch { min_tokens: 8, patience: 3, then: Then::Report, ..Watch::new("probe", probe) };
    let (guard, records) = Guard::new(vec![watch], Rules::default())?;
    let messages = [Message::new("user", question)];
    let answer = model.chat(&messages).max_tokens(64).monitor(guard).run()?;
    Ok((answer.text, records.read()))
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, threshold, questions) = match arguments.as_slice() {
        [file, threshold, ..] => {
            let lines = std::io::stdin().lines().map_while(|line| line.ok()).collect();
            (VectorFile::open(file.as_ref())?, threshold.parse().unwrap_or(f32::NAN), lines)
        }
        _ => (about_food(&model)?, 0.5, vec!["What is Italy famous for?".to_owned()]),
    };
    let condition = Condition::new(&file, Side::Above, threshold)?;
    for question in &questions {
        let (text, record) = watched(&model, &condition, question)?;
        let read = record.checks.iter().map(|check| format!("{}:{:.3}", check.at, check.score));
        println!("{question}\n  {}", text.replace('\n', " "));
        println!("  {}", read.collect::<Vec<_>>().join(" "));
        let (outcome, of) = (record.outcome.name(), record.checks.len());
        println!("  {outcome}: {} of {of} tokens above {threshold}", record.hits);
    }
    Ok(())
}
