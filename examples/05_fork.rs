//! Fork: read a prompt once, then let several continuations grow from it in one batch.
//!
//! `cargo run --release -p trimtab-examples --example 05_fork`

use trimtab_runtime::generate::{Flow, Generation, Request, run};
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, Result};

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let question = [Message::new("user", "Suggest a name for a boat.")];
    let mut trunk = model.chat(&question).session()?;
    // All but the last chunk runs once; a fork shares its keys and values until it writes.
    trunk.set_chunk(16);
    trunk.prefill()?;
    let before = model.pool().usage();

    let sampling = SamplingParams { temperature: 1.0, top_p: 0.9, ..SamplingParams::default() };
    let request =
        Request { sampling: sampling.check()?, max_tokens: Some(24), ..Request::default() };
    let mut branches = (0..4)
        .map(|choice| {
            let request = Request { choice, ..request.clone() };
            Generation::new(trunk.fork(), model.tokenizer()?.clone(), request)
        })
        .collect::<Result<Vec<Generation>>>()?;
    println!("blocks taken by forking: {}", before.free - model.pool().usage().free);

    run(&mut branches, &mut |_, _| Flow::Continue)?;
    for (choice, branch) in branches.into_iter().enumerate() {
        println!("{choice}: {}", branch.into_answer()?.text.replace('\n', " "));
    }
    Ok(())
}
