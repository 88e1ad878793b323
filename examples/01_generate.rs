//! Ask the default model a question and stream the answer.
//!
//! `cargo run --release -p trimtab-examples --example 01_generate -- "What is the capital of France?"`

use std::io::Write;
use trimtab_runtime::generate::{Event, Flow};
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, Result};

fn main() -> Result<()> {
    let question = std::env::args().nth(1).unwrap_or("What is the capital of France?".to_owned());
    let model = Model::open("smollm2-135m-instruct")?;

    model.chat(&[Message::new("user", question)]).max_tokens(64).stream(|event| {
        if let Event::Text { text, .. } = event {
            print!("{text}");
            // A broken pipe ends the program at the next line anyway.
            std::io::stdout().flush().ok();
        }
        Flow::Continue
    })?;
    println!();
    Ok(())
}
