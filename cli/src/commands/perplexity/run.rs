//! Cuts the text into windows, scores each, and prints the running figure and the result.

use super::config::{self, Contrast};
use crate::commands::vectors;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result, read_text};
use crate::progress::Work;
use trimtab_runtime::Error as Runtime;
use trimtab_runtime::perplexity::{Comparison, Divergence, Perplexity, Trial, Windows, prompt_for};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Special;
use trimtab_steering::file::sha256;

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

pub fn run(plan: &config::Perplexity, console: &Console) -> Result<()> {
    let text = read_text(&plan.file)?;
    let (opened, steering) = vectors::open(&plan.opening, &plan.vectors, console)?;
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
    let in_force = (!steering.is_empty()).then(|| Fields::new("plan", steering.plan_digits()));
    let plain = |b: &Beside| Fields::new("nll", b.plain.nll()).with("ppl", b.plain.ppl());
    let document = opened
        .head("perplexity")
        .with("file_sha256", sha256(text.as_bytes()))
        .with("tokens", here.windows * plan.windows.size)
        .with("chunks", here.windows)
        .with("ctx", plan.windows.size)
        .with("nll", here.nll())
        .with("ppl", here.ppl())
        .with("ppl_stderr", here.ppl_stderr())
        .with("steering", in_force)
        .with("plain", beside.as_ref().map(plain))
        .with("kl", beside.as_ref().map(|b| b.divergence))
        .with("top1_agreement", beside.map(|b| b.top1_agreement));
    console.print(&document)
}

fn measure(
    windows: &Windows,
    trial: &Trial,
    others: &[Plan],
    console: &Console,
) -> Result<Measured> {
    let count = windows.count(trial.tokens.len());
    let work = Work::begin(console, &format!("scoring {count} windows"), count);
    let mut done = 0;
    let found = windows.compare(trial, others, &mut |so_far| {
        let new = so_far.plain.windows - done;
        done = so_far.plain.windows;
        work.done(new)
    });
    let measured = Measured::of(found?);
    if work.is_stopping() && measured.here.windows < count {
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
