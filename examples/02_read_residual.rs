//! Read the residual stream: how far each token points along a concept.
//!
//! The direction is the difference of two words' activations; the program prints its cosine with every token of a
//! sentence.
//!
//! `cargo run --release -p trimtab-examples --example 02_read_residual`

use trimtab_runtime::site::Site;
use trimtab_runtime::text::Control;
use trimtab_runtime::{Model, Result};

const SITE: Site = Site::ResidPost(12);

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let read = |text: &str| model.activations(&model.text_prompt(text)?, SITE);
    let (warm, cold) = (read("The weather is very hot")?, read("The weather is very cold")?);
    let direction: Vec<f32> = warm.last().iter().zip(cold.last()).map(|(w, c)| w - c).collect();

    let sentence = "In July the desert burns; in January the lake is frozen solid.";
    let tokens = model.text_prompt(sentence)?;
    let stream = model.activations(&tokens, SITE)?;
    for (token, activation) in tokens.iter().zip(stream.rows()) {
        let text = model.tokenizer()?.decode(&[*token], Control::Show);
        println!("{:+.3}  {text:?}", cosine(activation, &direction));
    }
    Ok(())
}
