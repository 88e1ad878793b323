//! `perplexity`: how well a text is predicted, and what vectors change about that.

use super::opened::open;
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result, read_text};
use crate::interrupt::Stoppable;
use crate::plan::{self, Against};
use crate::progress::Meter;
use serde::Serialize;
use sha2::{Digest, Sha256};
use trimtab_runtime::Error as Runtime;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::perplexity::{Perplexity, Steered, Trial, Windows};
use trimtab_runtime::plan::Plan;
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
    steering: Option<Steering>,
    plain: Option<Plain>,
    kl: Option<Divergence>,
    top1_agreement: Option<f64>,
}

/// What was in force.
#[derive(Serialize)]
struct Steering {
    plan: String,
}

/// The same text without it.
#[derive(Serialize)]
struct Plain {
    nll: f64,
    ppl: f64,
}

#[derive(Serialize)]
struct Divergence {
    mean: f64,
    median: f64,
    p99: f64,
    max: f64,
}

/// A text's score, and what it was held against.
struct Found {
    own: Perplexity,
    beside: Option<(Perplexity, Steered)>,
}

/// Measures.
pub fn run(plan: &plan::Perplexity, console: &Console) -> Result<()> {
    let text = read_text(&plan.file)?;
    let opened = open(&plan.opening, console)?;
    let tokens = opened.model.tokenizer()?.encode(&text, Special::Plain).map_err(Runtime::from)?;
    // What the vectors of the command line come to; without any the model is measured as it is.
    let steering: Option<Plan> = None;

    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    let count = plan.windows.count(tokens.len());
    meter.begin_items(&format!("scoring {count} windows"), count);
    let in_force = steering.clone().unwrap_or_default();
    let (decoder, pool) = (opened.model.decoder(), opened.model.pool());
    let trial = Trial { decoder, pool, tokens: &tokens, plan: &in_force };
    let mut done = 0;
    let found = measure((&plan.windows, plan.against), &trial, &mut |windows| {
        meter.advance((windows - done) as u64);
        done = windows;
        if stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    });
    meter.end();
    let found = found?;
    if stoppable.is_stopping() && found.own.windows < count {
        return Err(Error::Interrupted);
    }
    if console.is_json() {
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        let head = (opened.head("perplexity"), sha256);
        return console.print(&document(head, plan.windows.size, steering.as_ref(), &found));
    }
    say(&found, console)
}

/// Scores under the trial's plan, and without it where that is asked for.
fn measure(
    (windows, against): (&Windows, Against),
    trial: &Trial,
    progress: &mut dyn FnMut(usize) -> Flow,
) -> Result<Found> {
    if against == Against::Nothing {
        let own = windows.measure(trial, &mut |so_far| progress(so_far.windows))?;
        return Ok(Found { own, beside: None });
    }
    let (none, steered) = (Plan::empty(), [trial.plan.clone()]);
    let plain = Trial { plan: &none, ..*trial };
    let both = windows.compare(&plain, &steered, &mut |now| progress(now.plain.windows))?;
    let steered = both.steered.into_iter().next().unwrap_or_default();
    Ok(Found { own: steered.perplexity, beside: Some((both.plain, steered)) })
}

fn document(
    (head, file_sha256): (Head, String),
    ctx: usize,
    steering: Option<&Plan>,
    found: &Found,
) -> Document {
    let (own, beside) = (found.own, found.beside.as_ref());
    Document {
        head,
        file_sha256,
        tokens: own.windows * ctx,
        chunks: own.windows,
        ctx,
        nll: own.nll(),
        ppl: own.ppl(),
        ppl_stderr: own.ppl_stderr(),
        steering: steering.map(|plan| Steering { plan: short(plan) }),
        plain: beside.map(|(plain, _)| Plain { nll: plain.nll(), ppl: plain.ppl() }),
        kl: beside.map(|(_, steered)| {
            let kl = steered.divergence();
            Divergence { mean: kl.mean, median: kl.median, p99: kl.p99, max: kl.max }
        }),
        top1_agreement: beside.map(|(_, steered)| steered.top1_agreement()),
    }
}

fn say(found: &Found, console: &Console) -> Result<()> {
    let (ppl, error, windows) = (found.own.ppl(), found.own.ppl_stderr(), found.own.windows);
    console.say_line(format!("perplexity {ppl:.4} ± {error:.4} over {windows} windows"))?;
    let Some((plain, steered)) = &found.beside else {
        return Ok(());
    };
    let (kl, same) = (steered.divergence(), 100.0 * steered.top1_agreement());
    console.say_line(format!("plain {:.4}, ratio {:.4}", plain.ppl(), ppl / plain.ppl()))?;
    console.say_line(format!(
        "KL {:.4} nats per token, 99th percentile {:.4}; same first choice {same:.1} %",
        kl.mean, kl.p99
    ))
}

/// The part of a plan's fingerprint that receipts show.
fn short(plan: &Plan) -> String {
    plan.fingerprint().to_string().chars().take(16).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
