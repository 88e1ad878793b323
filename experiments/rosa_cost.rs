//! What an update costs beside the turn it is about, what serving with an adapter costs, and what states of many owners take.
//!
//! ```sh
//! cargo run --release -p trimtab-experiments --bin rosa_cost -- -m FILE --rounds 12 --threads 1
//! ```
//!
//! `--parts update,serving,memory` chooses. On one thread times are those that the thread was given, so that other programs' are not in them.

#[path = "rewind/cost/middle.rs"]
mod middle;

use middle::{Middle, middle, now};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trimtab_adapters::host::{LearningModel, RecordingHandle, StateReader, StateRecorder};
use trimtab_adapters::rosa::{
    AnswerTrace, BlockKind, BlockState, JournalOutcome, Judgement, RosaParams, RosaState,
    TraceReadout, Update,
};
use trimtab_runtime::generate::{Answer, Generation, Request, complete};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{SamplingParams, Step};
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, device};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tokens of a turn.
const TOKENS: usize = 64;
/// Tokens that a trace lists of each position.
const LISTED: usize = 64;
/// Owners whose states are kept.
const OWNERS: usize = 1000;
const QUESTION: &str = "Write a long story about a lighthouse keeper and the sea.";

/// What a turn brings beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    States,
    StatesAndReadout,
}

struct Cost {
    kit: LearningModel,
    rounds: usize,
}

/// One turn, timed from its prompt on.
struct Timed {
    answer: Answer,
    recording: RecordingHandle,
    took: Duration,
}

impl Cost {
    fn untaught(&self, block: BlockKind) -> Result<RosaState> {
        let params = RosaParams { block, ..RosaParams::default() };
        let width = self.kit.model().decoder().spec().d_model;
        Ok(RosaState::untaught(&params, width, self.kit.digest(), 1)?)
    }

    fn layers(&self) -> usize {
        self.kit.model().decoder().spec().n_layers()
    }

    fn turn(&self, state: &RosaState, kept: Kept, seed: u64) -> Result<Timed> {
        let model = self.kit.model();
        let width = model.decoder().spec().d_model;
        let tokenizer = model.tokenizer()?;
        let mut session = model.session(state.block.in_force(&Plan::empty(), self.layers())?)?;
        session.push_prompt(&model.chat_prompt(&[Message::new("user", QUESTION)])?)?;
        let sampling = SamplingParams { temperature: 0.7, ..SamplingParams::default() }.check()?;
        let mut request =
            Request { sampling, seed, max_tokens: Some(TOKENS), ..Request::default() };
        if kept == Kept::StatesAndReadout {
            request.top_logprobs = LISTED;
        }
        let mut generation = Generation::new(session, tokenizer.clone(), request)?;
        let (recorder, recording) = StateRecorder::new((width, self.layers()), state.block.kind());
        if kept != Kept::Nothing {
            generation = generation.watched_by(recorder);
        }
        let began = Instant::now();
        let start = now(began);
        let answer = complete(generation)?;
        Ok(Timed { answer, recording, took: now(began).saturating_sub(start) })
    }

    /// What is kept of a turn, with the partitions under the state that answered. Without what was read of the logits, the
    /// update scores the vocabulary once for every position.
    fn trace(&self, turn: &Timed, state: &RosaState) -> AnswerTrace {
        let recording = turn.recording.take();
        let steps: Vec<&Step> = turn.answer.steps.iter().flatten().collect();
        let narrow = |(id, log_p): &(u32, f64)| (*id, *log_p as f32);
        let likeliest: Vec<Vec<(u32, f32)>> =
            steps.iter().map(|step| step.top.iter().map(narrow).collect()).collect();
        let entropy = steps.iter().map(|step| step.entropy).collect();
        let mut states = recording.finals;
        if let BlockState::FinalOffset(offset) = &state.block {
            let rows = states.chunks_mut(offset.delta.len().max(1));
            rows.for_each(|row| row.iter_mut().zip(&offset.delta).for_each(|(x, d)| *x -= d));
        }
        AnswerTrace {
            version: state.version,
            tokens: recording.tokens,
            states,
            lse: steps.iter().map(|step| step.log_sum_exp).collect(),
            readout: Some(TraceReadout { likeliest, entropy }),
            last_block: recording.last_block,
            ..AnswerTrace::default()
        }
    }

    fn update(
        &self,
        block: BlockKind,
        state: &RosaState,
        trace: &AnswerTrace,
    ) -> Result<(Update, Duration)> {
        let rosa = RosaParams { block, ..RosaParams::default() }.check()?;
        let began = Instant::now();
        let start = now(began);
        #[allow(clippy::result_large_err)] // the adapters' own error, which the callee asks for
        let update = self.kit.with_frozen(block, &|| (), |model| {
            rosa.update(model, state, trace, &Judgement::down())
        })?;
        Ok((update, now(began).saturating_sub(start)))
    }

    /// Updates beside their turns: with the vocabulary scored by the update, and with what the token loop reads.
    fn updates(&self, block: BlockKind) -> Result<()> {
        let untaught = self.untaught(block)?;
        let mut state = untaught.clone();
        let (mut turns, mut scored, mut read) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcomes = Vec::new();
        for round in 0..self.rounds {
            // The second of each pair starts from a version that was taught: its guards compare three policies.
            if round % 2 == 0 {
                state = untaught.clone();
            }
            let turn = self.turn(&state, Kept::StatesAndReadout, round as u64)?;
            let trace = self.trace(&turn, &state);
            let (update, with) = self.update(block, &state, &trace)?;
            let bare = AnswerTrace { readout: None, ..trace };
            let (_, without) = self.update(block, &state, &bare)?;
            turns.push(turn.took.as_secs_f64());
            scored.push(without.as_secs_f64());
            read.push(with.as_secs_f64());
            outcomes.push(outcome(&update));
            state = update.state.unwrap_or(state);
        }
        let share = |part: &[f64]| middle(part.iter().zip(&turns).map(|(p, t)| p / t).collect());
        let shares = [share(&scored), share(&read)].map(told);
        let [turn, scored, read] =
            [turns.clone(), scored.clone(), read.clone()].map(|s| told(middle(s)));
        println!(
            "{}",
            json!({
                "part": "update", "block": format!("{block:?}"), "turn_s": turn, "update_scoring_s": scored,
                "update_with_readout_s": read, "share_scoring": shares[0], "share_with_readout": shares[1],
                "outcomes": outcomes,
            })
        );
        Ok(())
    }

    /// A state after one update, so that its block is not zero.
    fn taught(&self, block: BlockKind) -> Result<RosaState> {
        let state = self.untaught(block)?;
        let turn = self.turn(&state, Kept::StatesAndReadout, 99)?;
        let trace = self.trace(&turn, &state);
        let (update, _) = self.update(block, &state, &trace)?;
        Ok(update.state.ok_or("the first update was refused")?)
    }

    /// Turns under an adapter over turns without one, in turns.
    fn serving(&self, block: BlockKind) -> Result<()> {
        let (plain, taught) = (self.untaught(block)?, self.taught(block)?);
        let seconds = |state: &RosaState, kept: Kept, seed: u64| -> Result<f64> {
            Ok(self.turn(state, kept, seed)?.took.as_secs_f64())
        };
        for kept in [Kept::Nothing, Kept::States, Kept::StatesAndReadout] {
            let mut ratios = Vec::new();
            for round in 0..self.rounds as u64 {
                let before = seconds(&plain, Kept::Nothing, round)?;
                let with = seconds(&taught, kept, round)?;
                let after = seconds(&plain, Kept::Nothing, round)?;
                ratios.push(2.0 * with / (before + after));
            }
            println!(
                "{}",
                json!({
                    "part": "serving", "block": format!("{block:?}"), "kept": format!("{kept:?}"),
                    "ratio": told(middle(ratios)),
                })
            );
        }
        Ok(())
    }

    /// States of many owners, one version each.
    fn memory(&self, block: BlockKind) -> Result<()> {
        let taught = self.taught(block)?;
        let bytes = taught.encode();
        let before = resident_bytes()?;
        let owner = |_| -> Result<RosaState> {
            let width = self.kit.model().decoder().spec().d_model;
            Ok(RosaState::decode(&bytes, width, &self.kit.digest())?)
        };
        let states = (0..OWNERS).map(owner).collect::<Result<Vec<RosaState>>>()?;
        let after = resident_bytes()?;
        println!(
            "{}",
            json!({
                "part": "memory", "block": format!("{block:?}"), "owners": states.len(), "encoded_bytes": bytes.len(),
                "resident_bytes": after.saturating_sub(before),
            })
        );
        Ok(())
    }
}

/// Resident memory of this process, where the system tells.
fn resident_bytes() -> Result<u64> {
    let told = std::fs::read_to_string("/proc/self/statm")?;
    let pages = told.split_whitespace().nth(1).ok_or("statm has no second number")?;
    Ok(pages.parse::<u64>()? * 4096)
}

fn outcome(update: &Update) -> String {
    match &update.entry.outcome {
        JournalOutcome::Applied { .. } => "applied".to_owned(),
        JournalOutcome::Rejected { reason } => format!("rejected {reason:?}"),
        JournalOutcome::Skipped { reason } => format!("skipped {reason:?}"),
    }
}

fn told(Middle { low, median, high }: Middle) -> [f64; 3] {
    [median, low, high].map(|x| (x * 1e5).round() / 1e5)
}

fn main() -> Result<()> {
    let (mut model, mut rounds, mut threads) = ("smollm2-135m-instruct".to_owned(), 12, 1);
    let mut parts = "update,serving,memory".to_owned();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "-m" | "--model" => model = value,
            "--rounds" => rounds = value.parse()?,
            "--threads" => threads = value.parse()?,
            "--parts" => parts = value,
            _ => return Err(format!("{name} is not an option").into()),
        }
    }
    device::set_threads(threads)?;
    let kit = LearningModel::new(Arc::new(Model::open(&model)?), StateReader::Here);
    let cost = Cost { kit, rounds };
    println!(
        "{}",
        json!({ "model": cost.kit.model().name(), "threads": device::threads(), "rounds": rounds })
    );
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        for part in parts.split(',') {
            match part {
                "update" => cost.updates(block)?,
                "serving" => cost.serving(block)?,
                "memory" => cost.memory(block)?,
                _ => return Err(format!("--parts does not know {part:?}").into()),
            }
        }
    }
    Ok(())
}
