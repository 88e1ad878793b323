//! One answer, timed, with its text handed on as it comes.

use super::learning::{Adapted, GuardUnderAdapter};
use super::monitors::Guarded;
use super::opened::Opened;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use crate::flags::sampling::SamplingArgs;
use crate::interrupt::Stoppable;
use serde::Serialize;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};
use trimtab_adapters::host::StateRecorder;
use trimtab_runtime::generate::{
    Answer, Event, Finish, Flow, Generation, Request, Usage, run, run_group,
};
use trimtab_runtime::group_sampling::GroupSampler;
use trimtab_runtime::session::Session;
use trimtab_steering::monitor::Record;
use trimtab_steering::stack::Lowered;

/// Seconds and rates of one answer.
#[derive(Debug, Clone, Serialize)]
pub struct Timings {
    load_s: f64,
    prompt_s: f64,
    prompt_per_s: Option<f64>,
    first_token_s: f64,
    gen_s: f64,
    gen_per_s: Option<f64>,
}

/// An answer and the session that made it.
pub struct Reply {
    pub answer: Answer,
    pub session: Session,
    /// How long it took.
    pub timings: Timings,
    /// What its guard found and did.
    pub record: Option<Record>,
    /// What is done to the model on a retry, where that is something else.
    pub retry: Option<Lowered>,
}

impl Reply {
    /// Its token counts, as OpenAI names them.
    pub fn usage(&self) -> Fields {
        let of = &self.answer.usage;
        Fields::new("prompt_tokens", of.prompt_tokens)
            .with("completion_tokens", of.completion_tokens)
            .with("total_tokens", of.prompt_tokens + of.completion_tokens)
    }

    /// The answer, or an error where Ctrl-C ended it.
    pub fn complete(&self) -> Result<()> {
        match self.answer.finish {
            Finish::Cancelled => Err(Error::Stopped),
            _ => Ok(()),
        }
    }

    /// How long it took to make.
    pub fn took(&self) -> Duration {
        Duration::from_secs_f64(self.timings.prompt_s + self.timings.gen_s)
    }

    /// Counts and speeds on one line.
    pub fn summary(&self) -> String {
        let (t, of) = (&self.timings, &self.answer.usage);
        let rate = |r: Option<f64>| r.map(|r| format!(" ({r:.1}/s)")).unwrap_or_default();
        let cached = match of.cached_tokens {
            0 => String::new(),
            n => format!(" ({n} known)"),
        };
        format!(
            "prompt {} tokens{cached} in {:.2} s{}, answer {} tokens in {:.2} s{}",
            of.prompt_tokens,
            t.prompt_s,
            rate(t.prompt_per_s),
            of.completion_tokens,
            t.gen_s,
            rate(t.gen_per_s),
        )
    }
}

/// Where a reader finds the seed that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedIn {
    /// In the JSON document that is printed.
    Document,
    /// On stderr alone, quiet or not: without it the answer cannot be had again.
    Stderr,
}

/// The seed of an answer; one that is drawn is printed.
pub fn seed(sampling: &SamplingArgs, place: SeedIn, console: &Console) -> u64 {
    if let Some(seed) = sampling.seed.and_then(|n| u64::try_from(n).ok()) {
        return seed;
    }
    // Each hasher of the standard library is keyed by the system's randomness. 32 bits are enough, and every JSON reader
    // keeps them.
    let drawn = std::hash::RandomState::new().build_hasher().finish() >> 32;
    match place {
        SeedIn::Document => console.note(format!("seed {drawn}")),
        SeedIn::Stderr => console.tell_always(format!("seed {drawn}")),
    }
    drawn
}

/// The request of a plan for this model.
pub fn request(
    opened: &Opened,
    sampling: &SamplingArgs,
    place: SeedIn,
    console: &Console,
) -> Result<Request> {
    sampling.request(opened.model.sampling(), seed(sampling, place, console))
}

/// What becomes of an answer while it is made.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    More(&'a str),
    /// A monitor has taken something back; this much of it stays.
    Only(&'a str),
}

/// How an answer is to be made.
pub struct Asked {
    pub request: Request,
    pub guarded: Option<Guarded>,
    /// The adapter that answers.
    pub adapted: Option<Adapted>,
    /// When the user asked.
    pub started: Instant,
}

/// The generation, watched and recorded if it is to be.
fn generation(opened: &Opened, mut session: Session, asked: Asked) -> Result<Generation> {
    session.set_chunk(opened.chunk);
    let tokenizer = opened.model.tokenizer()?.clone();
    let Some(Guarded { guard, retries, .. }) = asked.guarded else {
        let generation = Generation::new(session, tokenizer, asked.request)?;
        return Ok(recorded(generation, asked.adapted.and_then(|adapted| adapted.recorder)));
    };
    let request = Request { retries, ..asked.request };
    let generation = Generation::new(session, tokenizer, request)?;
    Ok(match asked.adapted {
        None => generation.watched_by(guard),
        Some(Adapted { pinned, recorder }) => {
            recorded(generation.watched_by(GuardUnderAdapter { guard, pinned }), recorder)
        }
    })
}

fn recorded(generation: Generation, recorder: Option<StateRecorder>) -> Generation {
    match recorder {
        None => generation,
        Some(recorder) => generation.watched_by(recorder),
    }
}

/// Answers what is pending in a session; `show` hears what becomes of it.
pub fn answer(
    opened: &Opened,
    session: Session,
    asked: Asked,
    show: &mut dyn FnMut(Said) -> Result<()>,
) -> Result<Reply> {
    let rows = vec![(session, asked)];
    let [reply] = answers(opened, rows, None, &mut |_, said| show(said))?
        .try_into()
        .map_err(|_| Error::Stopped)?;
    Ok(reply)
}

/// When an answer's tokens came, and its text as far as it is shown.
#[derive(Clone, Default)]
struct Progress {
    first: Option<Instant>,
    last: Option<Instant>,
    shown: String,
}

/// Answers several sessions in one batch; with a sampler it chooses their tokens together. `show` hears of each by its place.
pub fn answers(
    opened: &Opened,
    rows: Vec<(Session, Asked)>,
    sampler: Option<&mut dyn GroupSampler>,
    show: &mut dyn FnMut(usize, Said) -> Result<()>,
) -> Result<Vec<Reply>> {
    let (stoppable, began) = (Stoppable::begin(), Instant::now());
    let (mut generations, mut kept) = (Vec::new(), Vec::new());
    for (session, asked) in rows {
        let guarded = asked.guarded.as_ref();
        let record = guarded.map(|guarded| guarded.records.clone());
        let retry = guarded.and_then(|guarded| guarded.retry.clone());
        kept.push((asked.started, record, retry));
        generations.push(generation(opened, session, asked)?);
    }
    let mut progress = vec![Progress::default(); kept.len()];
    let mut lost = None;
    let sink = &mut |index: usize, event: Event| {
        if let Some(progress) = progress.get_mut(index) {
            let shown = progress.hear(event, &mut |said| show(index, said));
            lost = shown.err().or(lost.take());
        }
        if stoppable.is_stopping() || lost.is_some() { Flow::Cancel } else { Flow::Continue }
    };
    match sampler {
        None => run(&mut generations, sink)?,
        Some(sampler) => run_group(&mut generations, sampler, sink)?,
    }
    if let Some(error) = lost {
        return Err(error);
    }
    let each = generations.into_iter().zip(kept).zip(progress);
    each.map(|((generation, (started, record, retry)), progress)| {
        let (answer, session) = generation.into_parts()?;
        let timings = progress.timings((started, began), answer.usage, opened.load_s);
        let record = record.map(|records| records.read());
        Ok(Reply { answer, session, timings, record, retry })
    })
    .collect()
}

impl Progress {
    fn hear(&mut self, event: Event, show: &mut dyn FnMut(Said) -> Result<()>) -> Result<()> {
        match event {
            Event::Token(_) => {
                let now = Instant::now();
                self.last = Some(now);
                self.first.get_or_insert(now);
                Ok(())
            }
            Event::Text { text, .. } => {
                self.shown.push_str(&text);
                show(Said::More(&text))
            }
            Event::Retracted { from } => {
                self.shown.truncate(from);
                show(Said::Only(&self.shown))
            }
            _ => Ok(()),
        }
    }

    fn timings(&self, (started, began): (Instant, Instant), usage: Usage, load_s: f64) -> Timings {
        let last = self.last.unwrap_or(began);
        let first = self.first.unwrap_or(last);
        let prompt_s = (first - began).as_secs_f64();
        let gen_s = (last - first).as_secs_f64();
        let rate = |count: usize, s: f64| (s > 0.0 && count > 0).then(|| count as f64 / s);
        Timings {
            load_s,
            prompt_s,
            prompt_per_s: rate(usage.prompt_tokens - usage.cached_tokens, prompt_s),
            first_token_s: (first - started).as_secs_f64(),
            gen_s,
            gen_per_s: rate(usage.completion_tokens.saturating_sub(1), gen_s),
        }
    }
}
