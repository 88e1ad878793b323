//! Rewind: a monitor that does not like a word takes the answer back to before it and tries again.
//!
//! `cargo run --release -p trimtab-examples --example 04_rewind`

use trimtab_runtime::generate::{Event, Flow};
use trimtab_runtime::monitor::{Monitor, Stage, Unfolding, Verdict};
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, Result};

/// Objects to a word, and holds text back for as long as the word could still come.
struct Without(&'static str);

impl Monitor for Without {
    fn watch(&mut self, answer: &Unfolding) -> Result<Verdict> {
        if answer.text.to_lowercase().contains(self.0) {
            let from = answer.tokens.len().saturating_sub(6);
            return Ok(Verdict::retry(from));
        }
        let held = if answer.stage == Stage::Ended { 0 } else { 40 };
        let release = answer.text.len().saturating_sub(held);
        Ok(Verdict::Continue { release, ask_after: 1 })
    }

    // Every verdict is read off the whole text: there is nothing to forget.
    fn rewind(&mut self, _tokens: usize) {}
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let sampling = SamplingParams { temperature: 0.8, ..SamplingParams::default() }.check()?;
    let question = [Message::new("user", "Describe the sky.")];
    let chat = model.chat(&question).sampling(sampling).seed(7).max_tokens(60);
    let answer = chat.monitor(Without("blue")).stream(|event| {
        if let Event::Rewound { from, attempt } = event {
            eprintln!("rewound to token {from} (attempt {attempt})");
        }
        Flow::Continue
    })?;
    println!(
        "{}\n{:?}, {} tokens taken back",
        answer.text, answer.finish, answer.usage.discarded_tokens
    );
    Ok(())
}
