//! Cuts the text into windows, scores each, and prints the running figure and the result.

use super::config;
use super::config::Contrast;
use crate::commands::opened::open;
use crate::commands::vectors::{self, Steering};
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result, read_text};
use crate::interrupt::Stoppable;
use crate::progress::Meter;
use serde::Serialize;
use sha2::{Digest, Sha256};
use trimtab_runtime::Error as Runtime;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::perplexity::{Comparison, Divergence, Perplexity, Trial, Windows, prompt_for};
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
    steering: Option<InForce>,
    plain: Option<Plain>,
    kl: Option<Kl>,
    top1_agreement: Option<f64>,
}

#[derive(Serialize)]
struct InForce {
    plan: String,
}

#[derive(Serialize)]
struct Plain {
    nll: f64,
    ppl: f64,
}

#[derive(Serialize)]
struct Kl {
    mean: f64,
    median: f64,
    p99: f64,
    max: f64,
}

impl From<Divergence> for Kl {
    fn from(found: Divergence) -> Kl {
        let Divergence { mean, median, p99, max } = found;
        Kl { mean, median, p99, max }
    }
}

/// What was measured: under the plan in force, and held against the plain model if that was asked for.
struct Measured {
    here: Perplexity,
    beside: Option<Beside>,
}

struct Beside {
    plain: Perplexity,
    divergence: Divergence,
    top1_agreement: f64,
}

impl Measured {
    fn of(found: Comparison) -> Measured {
        match found.steered.into_iter().next() {
            None => Measured { here: found.plain, beside: None },
            Some(steered) => Measured {
                here: steered.perplexity,
                beside: Some(Beside {
                    plain: found.plain,
                    divergence: steered.divergence(),
                    top1_agreement: steered.top1_agreement(),
                }),
            },
        }
    }
}

/// Measures.
pub fn run(plan: &config::Perplexity, console: &Console) -> Result<()> {
    let text = read_text(&plan.file)?;
    let sources = vectors::read(&plan.vectors)?;
    let opened = open(&plan.opening, console)?;
    let steering = Steering::open(sources, &plan.vectors, &opened, console)?;
    let tokens = opened.model.tokenizer()?.encode(&text, Special::Plain).map_err(Runtime::from)?;

    let (plain, in_force) = (Plan::empty(), steering.plan().clone());
    // The trial's own plan comes first, and others are compared with it.
    let (first, others) = match plan.contrast {
        Contrast::None => (&in_force, &[][..]),
        Contrast::Plain => (&plain, std::slice::from_ref(&in_force)),
    };
    let (decoder, pool) = (opened.model.decoder(), opened.model.pool());
    let trial = Trial { decoder, pool, tokens: &tokens, plan: first };
    let prompt = prompt_for(&in_force, plan.windows.size);
    if prompt > 1 {
        console.note("the vectors act on prompts alone: the first half of each window is one, the second is scored");
    }
    let measured = measure(&Windows { prompt, ..plan.windows }, &trial, others, console)?;
    if !console.is_json() {
        return console.say_line(measured.line());
    }
    let Measured { here, beside } = measured;
    console.print(&Document {
        head: opened.head("perplexity"),
        file_sha256: hex(&Sha256::digest(text.as_bytes())),
        tokens: here.windows * plan.windows.size,
        chunks: here.windows,
        ctx: plan.windows.size,
        nll: here.nll(),
        ppl: here.ppl(),
        ppl_stderr: here.ppl_stderr(),
        steering: (!steering.is_empty()).then(|| InForce { plan: steering.plan_digits() }),
        plain: beside.as_ref().map(|b| Plain { nll: b.plain.nll(), ppl: b.plain.ppl() }),
        kl: beside.as_ref().map(|b| b.divergence.into()),
        top1_agreement: beside.map(|b| b.top1_agreement),
    })
}

fn measure(
    windows: &Windows,
    trial: &Trial,
    others: &[Plan],
    console: &Console,
) -> Result<Measured> {
    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    let count = windows.count(trial.tokens.len());
    meter.begin_items(&format!("scoring {count} windows"), count);
    let mut done = 0;
    let found = windows.compare(trial, others, &mut |so_far| {
        meter.advance((so_far.plain.windows - done) as u64);
        done = so_far.plain.windows;
        if stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    });
    meter.end();
    let measured = Measured::of(found?);
    if stoppable.is_stopping() && measured.here.windows < count {
        return Err(Error::Interrupted);
    }
    Ok(measured)
}

impl Measured {
    fn line(&self) -> String {
        let (ppl, error, count) = (self.here.ppl(), self.here.ppl_stderr(), self.here.windows);
        let line = format!("perplexity {ppl:.4} ± {error:.4} over {count} windows");
        let Some(Beside { plain, divergence, top1_agreement }) = &self.beside else {
            return line;
        };
        let ratio = (self.here.nll() - plain.nll()).exp();
        let share = 100.0 * top1_agreement;
        format!(
            "{line}\nplain {:.4}, ratio {ratio:.4}; KL mean {:.5}, median {:.5}, p99 {:.4}, max {:.3}; \
             the same likeliest token at {share:.2} % of the tokens",
            plain.ppl(),
            divergence.mean,
            divergence.median,
            divergence.p99,
            divergence.max,
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
