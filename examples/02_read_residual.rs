//! Read the residual stream: how far each token points along a concept.
//!
//! The direction is the difference of two words' activations; the program prints its cosine with every token of a
//! sentence.
//!
//! `cargo run --release -p trimtab-examples --example 02_read_residual`

use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Control;
use trimtab_runtime::{Error, Model, Result};

const SITE: Site = Site::ResidPost(12);

/// A text's tokens and their activations at the site, `[time][d_model]`.
fn read(model: &Model, text: &str) -> Result<(Vec<u32>, Vec<Vec<f32>>)> {
    let tokens = model.text_prompt(text)?;
    let mut session = model.session(Plan::empty())?;
    session.push_prompt(&tokens)?;
    let captured = session.capture(&[SITE])?;
    let stream = captured.get(&SITE).ok_or(Error::Misuse("the site was not captured"))?;
    Ok((tokens, stream.to_vec2().map_err(Error::tensor("stream"))?))
}

/// The last token's activation, `[d_model]`.
fn last(model: &Model, text: &str) -> Result<Vec<f32>> {
    let (_, mut stream) = read(model, text)?;
    stream.pop().ok_or(Error::Misuse("the text is empty"))
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let warm = last(&model, "The weather is very hot")?;
    let cold = last(&model, "The weather is very cold")?;
    let direction: Vec<f32> = warm.iter().zip(&cold).map(|(w, c)| w - c).collect();

    let sentence = "In July the desert burns; in January the lake is frozen solid.";
    let (tokens, stream) = read(&model, sentence)?;
    for (token, activation) in tokens.iter().zip(&stream) {
        let text = model.tokenizer()?.decode(&[*token], Control::Show);
        println!("{:+.3}  {text:?}", cosine(activation, &direction));
    }
    Ok(())
}
