//! `perplexity`: how well a text is predicted.

use super::opened::open;
use crate::console::Console;
use crate::document::{Head, NO_STEERING};
use crate::error::{Error, Result, read_text};
use crate::interrupt::Stoppable;
use crate::plan;
use crate::progress::Meter;
use serde::Serialize;
use sha2::{Digest, Sha256};
use trimtab_runtime::Error as Runtime;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::text::Special;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    head: Head,
    file_sha256: String,
    tokens: usize,
    chunks: usize,
    ctx: usize,
    nll: f64,
    ppl: f64,
    ppl_stderr: f64,
    steering: Option<()>,
    plain: Option<()>,
    kl: Option<()>,
    top1_agreement: Option<f64>,
}

/// Measures.
pub fn run(plan: &plan::Perplexity, console: &Console) -> Result<()> {
    let text = read_text(&plan.file)?;
    let opened = open(&plan.opening, console)?;
    let tokens = opened.model.tokenizer()?.encode(&text, Special::Plain).map_err(Runtime::from)?;

    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    let count = plan.windows.count(tokens.len());
    meter.begin_items(&format!("scoring {count} windows"), count);
    let (decoder, pool, mut done) = (opened.model.decoder(), opened.model.pool(), 0);
    let measured = plan.windows.measure(decoder, pool, &tokens, &mut |so_far| {
        meter.advance((so_far.windows - done) as u64);
        done = so_far.windows;
        if stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    });
    meter.end();
    let measured = measured?;
    if stoppable.is_stopping() && measured.windows < count {
        return Err(Error::Interrupted);
    }
    if console.is_json() {
        return console.print(&Document {
            head: opened.head("perplexity"),
            file_sha256: hex(&Sha256::digest(text.as_bytes())),
            tokens: measured.windows * plan.windows.size,
            chunks: measured.windows,
            ctx: plan.windows.size,
            nll: measured.nll(),
            ppl: measured.ppl(),
            ppl_stderr: measured.ppl_stderr(),
            steering: NO_STEERING,
            plain: None,
            kl: None,
            top1_agreement: None,
        });
    }
    let (ppl, error) = (measured.ppl(), measured.ppl_stderr());
    console.say_line(format!("perplexity {ppl:.4} ± {error:.4} over {count} windows"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
