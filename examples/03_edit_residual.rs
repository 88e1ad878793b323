//! Edit the residual stream: add a direction while the model answers, and see what changes.
//!
//! The direction is the difference between two prompts' activations; the same question is answered plain, pushed
//! along it and pushed the other way.
//!
//! `cargo run --release -p trimtab-examples --example 03_edit_residual`

use trimtab_runtime::hook::Addition;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, Result};

const SITE: Site = Site::ResidPost(14);

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let mean = |text: &str| -> Result<Vec<f32>> {
        Ok(model.activations(&model.text_prompt(text)?, SITE)?.mean())
    };
    let glad = mean("I am so happy! What a wonderful, joyful, delightful day!")?;
    let sad = mean("I am so sad. What a terrible, gloomy, miserable day.")?;
    let direction: Vec<f32> = glad.iter().zip(&sad).map(|(a, b)| a - b).collect();

    let question = [Message::new("user", "Describe your morning.")];
    for scale in [0.0, 1.5, -1.5] {
        let plan = Plan::of(Addition::new(SITE, direction.clone(), scale)?);
        let answer = model.chat(&question).plan(plan).max_tokens(40).run()?;
        println!("scale {scale:+}: {} positions steered", answer.fired.iter().sum::<u64>());
        println!("  {}\n", answer.text.replace('\n', " "));
    }
    Ok(())
}
