//! What one update costs: an answer of 64 tokens, a stream 576 wide, a vocabulary of 49,152, of which 2,048 are kept or
//! all. About two minutes.
//!
//! `cargo bench -p trimtab-adapters --bench rosa`. The head is dense and random, one thread; a model's own head is
//! quantised and uses the runtime's threads. Each figure is the median of ten.

#![allow(clippy::expect_used)] // a benchmark that cannot run has no caller to tell

use std::time::Instant;
use trimtab_adapters::rosa::{
    AnswerTrace, BlockKind, Canary, DenseHead, FrozenModel, HeadFacts, Judgement, LastBlock,
    OutputHead, RosaParams, RosaState, TraceReadout,
};
use trimtab_runtime::fingerprint::Fingerprint;

const TIME: usize = 64;
const WIDTH: usize = 576;
const VOCABULARY: usize = 49_152;
const CANARIES: usize = 16;
const ROUNDS: usize = 10;

/// Numbers of variance `scale²`, from a linear congruence: quick to make, and nothing depends on their law.
fn noise(seed: u64, n: usize, scale: f32) -> Vec<f32> {
    let mut state = Fingerprint::builder("bench").number(seed).finish().to_u64();
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| scale * (0..4).map(|_| uniform()).sum::<f32>() * 3f32.sqrt()).collect()
}

/// The partition, entropy and likeliest tokens of each row.
fn readout(logits: &[f32]) -> (Vec<f64>, TraceReadout) {
    let (mut lse, mut readout) = (Vec::new(), TraceReadout::default());
    for row in logits.chunks(VOCABULARY) {
        let total: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
        let entropy =
            row.iter().map(|z| f64::from(*z).exp() / total * (total.ln() - f64::from(*z)));
        let mut ids: Vec<(u32, f32)> = row
            .iter()
            .enumerate()
            .map(|(id, z)| (id as u32, (f64::from(*z) - total.ln()) as f32))
            .collect();
        ids.sort_by(|a, b| b.1.total_cmp(&a.1));
        ids.truncate(64);
        lse.push(total.ln());
        readout.entropy.push(entropy.sum());
        readout.likeliest.push(ids);
    }
    (lse, readout)
}

fn last_block(seed: u64, rows: usize) -> LastBlock {
    let resid_mid = noise(seed, rows * WIDTH, 2.0);
    let added = noise(seed + 1, rows * WIDTH, 1.0);
    let resid_post = resid_mid.iter().zip(added).map(|(x, y)| x + y).collect();
    LastBlock { resid_mid, resid_post }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn measure(head: &DenseHead, facts: &HeadFacts, block: BlockKind) {
    let last = last_block(5, TIME);
    let states = head.norm().apply(&last.resid_post);
    let (lse, readout) = readout(&head.scores(&states).expect("scores"));
    let tokens =
        readout.likeliest.iter().filter_map(|row| row.first().map(|(id, _)| *id)).collect();
    let far = last_block(7, CANARIES);
    let canary = Canary::new(head, &head.norm().apply(&far.resid_post), Some(far)).expect("canary");
    let trace = AnswerTrace {
        id: "a".to_owned(),
        tokens,
        states,
        lse,
        readout: Some(readout),
        last_block: Some(last),
        ..AnswerTrace::default()
    };
    let model = FrozenModel { head, facts, canary: &canary, stream_norm: 24.0, pause: &|| () };
    let rosa = RosaParams { block, ..RosaParams::default() }.check().expect("params");
    let state = RosaState::untaught(rosa.params(), WIDTH, [0; 32], 1).expect("state");
    let mut entry = None;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let update = rosa.update(&model, &state, &trace, &Judgement::down()).expect("update");
        times.push(start.elapsed().as_secs_f64() * 1e3);
        entry = Some(update.entry);
    }
    let entry = entry.expect("rounds");
    println!(
        "{block:?}, {} tokens kept: {:.1} ms",
        entry.step.map_or(0, |step| step.support),
        median(times)
    );
    println!("{:?} {:?}", entry.outcome, entry.step);
    let readings =
        entry.guards.iter().map(|g| format!("{:?} {:.4} of {:.4}", g.name, g.value, g.limit));
    println!("{}", readings.collect::<Vec<_>>().join(", "));
}

fn main() {
    // Logits of spread 8 are as peaked as a language model's; of spread 4 the whole vocabulary has to be computed with.
    for spread in [8.0, 4.0] {
        let rows = noise(1, VOCABULARY * WIDTH, spread / (WIDTH as f32).sqrt());
        let head = DenseHead::new(rows, WIDTH).expect("head");
        let start = Instant::now();
        let facts = HeadFacts::measure(&head).expect("facts");
        println!("facts, once per model: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
            measure(&head, &facts, block);
        }
    }
}
