//! What duels cost: a refit, a state, a duel token by token and the choice between sampled answers.
//!
//! `cargo bench -p trimtab-adapters --bench tpop -- MODEL`, the default model without one. Ratios are of runs that take
//! turns; each figure is the median of its rounds, with the quarters around it, and the ratio of the fastest rounds, which
//! other programs on the machine disturb least. Arithmetic is one thread's, a model uses the runtime's threads.

#![allow(clippy::expect_used)] // a benchmark that cannot run has no caller to tell

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use trimtab_adapters::host::{RecordingHandle, StateRecorder};
use trimtab_adapters::rosa::BlockKind;
use trimtab_adapters::tpop::{
    DuelCandidate, DuelLevel, DuelOrder, DuelPair, DuelTurn, Extractor, ExtractorOrigin, HeadKind,
    LOOKAHEAD_CANDIDATES, Lookahead, NeutralAnswers, PairLabel, StatePooling, TokenDuel,
    TokenFeatureKind, TokenFeatures, TokenTaste, TokenTilt, TpopParams, TpopScope, TpopState,
};
use trimtab_runtime::Model;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::generate::{Answer, Flow, Generation, Request, run, run_group};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Sampling, SamplingParams};
use trimtab_runtime::text::Message;

const ROUNDS: usize = 20;
const FEATURES: usize = 64;
const TOKENS: usize = 64;
const CANDIDATES: u32 = 4;
const QUESTION: &str = "Tell me at length about rivers, and how they shape the land around them.";

/// Numbers of about the size of features, from a linear congruence.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = Fingerprint::builder("bench").number(seed).finish().to_u64();
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| (0..4).map(|_| uniform()).sum::<f32>() * 3f32.sqrt()).collect()
}

fn pair(id: u64, width: usize) -> DuelPair {
    let features = [noise(2 * id, width), noise(2 * id + 1, width)];
    let a_is_larger = features[0].first() > features[1].first();
    DuelPair {
        id,
        features,
        answers: [[id as u8; 32], [!(id as u8); 32]],
        prefixes: None,
        order: DuelOrder::drawn(7, id as usize),
        judgement: if a_is_larger { PairLabel::A } else { PairLabel::B },
        weight: 1.0,
        propensity: 0.5,
        contrast: 1.0,
        time_ms: 0,
    }
}

/// A state that has learnt of so many pairs.
fn taught(params: TpopParams, extractor: [u8; 32], (width, pairs): (usize, u64)) -> TpopState {
    let scope = TpopScope { config: params.check().expect("keys"), extractor, width, seed: 7 };
    let untaught = TpopState::new(scope).expect("state");
    (0..pairs).fold(untaught, |state, id| state.learn(pair(id, width)).expect("fit").state)
}

/// The median with the quarters around it.
fn told(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get(values.len() * part / 4).copied().unwrap_or_default();
    format!("{:.4} ({:.4} to {:.4})", at(2), at(1), at(3))
}

/// How `changed` compares with `plain`, round by round and by the fastest of each.
fn compared(plain: &[f64], changed: &[f64]) -> String {
    let fastest = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
    let ratios = plain.iter().zip(changed).map(|(plain, changed)| changed / plain).collect();
    format!("{}; fastest {:.4}", told(ratios), fastest(changed) / fastest(plain))
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn refits() {
    for (head, pairs) in [(HeadKind::Linear, 500), (HeadKind::Mlp, 100)] {
        let params = TpopParams { head, ..TpopParams::default() };
        let width = FEATURES + 1;
        let scope =
            TpopScope { config: params.check().expect("keys"), extractor: [0; 32], width, seed: 7 };
        // The net is fitted anew by every pair: the state before the last one is made once, of a linear one's pairs.
        let before = taught(TpopParams::default(), [0; 32], (width, pairs - 1));
        let before = before.reconfigured(scope.config).expect("fit");
        let last = pair(pairs, width);
        let times = (0..ROUNDS).map(|_| {
            1e3 * seconds(|| {
                black_box(before.learn(last.clone()).expect("fit"));
            })
        });
        println!("learn pair {pairs}, {head:?}: {} ms", told(times.collect()));
        if head == HeadKind::Linear {
            let state = before.learn(last).expect("fit").state;
            println!("state of {pairs} pairs: {} bytes", state.encode().len());
        }
    }
}

/// Answers that go on to their limit as far as the model lets them.
fn generations(model: &Model, (answers, sampling): (u32, Sampling)) -> Vec<Generation> {
    let one = |choice| {
        let request =
            Request { sampling, seed: 3, choice, max_tokens: Some(TOKENS), ..Request::default() };
        model.chat(&[Message::new("user", QUESTION)]).request(request).generation().expect("chat")
    };
    (0..answers).map(one).collect()
}

fn sampled() -> Sampling {
    let params = SamplingParams { temperature: 0.9, top_p: 0.95, ..SamplingParams::default() };
    params.check().expect("sampling")
}

/// Seconds for each pass, since answers may end early.
fn per_pass(took: f64, generations: Vec<Generation>) -> f64 {
    let answers = generations.into_iter().map(|g| g.into_answer().expect("answer"));
    took / answers.map(|answer| answer.tokens.len()).max().unwrap_or(1).max(1) as f64
}

/// Two arms under a taste, over two plain rows.
fn over_plain<T: TokenTilt>(model: &Model, rounds: usize, taste: impl Fn() -> T) -> String {
    let (mut alone, mut dueling) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let mut plain = generations(model, (2, sampled()));
        let took = seconds(|| run(&mut plain, &mut |_, _| Flow::Continue).expect("run"));
        let took_plain = per_pass(took, plain);
        let mut arms = generations(model, (2, sampled()));
        let mut duel = TokenDuel::new(taste(), sampled());
        let go = || run_group(&mut arms, &mut duel, &mut |_, _| Flow::Continue).expect("run");
        let took = seconds(go);
        let took_duel = per_pass(took, arms);
        if round > 0 {
            alone.push(took_plain);
            dueling.push(took_duel);
        }
    }
    compared(&alone, &dueling)
}

fn token_duel(model: &Model) {
    let features = Arc::new(TokenFeatures::of(model.decoder(), FEATURES).expect("features"));
    let params = TpopParams { level: DuelLevel::Token, ..TpopParams::default() };
    let state = taught(params, *features.id(), (features.width(), 20));
    let taste = Arc::new(TokenTaste::of(&state, features).expect("taste"));
    let found = over_plain(model, ROUNDS, || taste.clone());
    println!("token duel over two plain rows: {found}");
}

fn lookahead_duel(model: &Model) {
    let extractor = extractor(model.decoder().spec().d_model, StatePooling::Own);
    let (level, token_features) = (DuelLevel::Token, TokenFeatureKind::Lookahead);
    let params = TpopParams { level, token_features, ..TpopParams::default() };
    let state = taught(params, *extractor.id(), (extractor.width(), 20));
    // The prompt is run when the taste is made, as the plain rows run theirs.
    let taste = || {
        let prompt = model.chat_prompt(&[Message::new("user", QUESTION)]).expect("prompt");
        let mut session = model.session(Plan::empty()).expect("session");
        session.push_prompt(&prompt).expect("prompt");
        Lookahead::of(&state, extractor.clone(), session).expect("taste")
    };
    let found = over_plain(model, ROUNDS.div_ceil(4), taste);
    println!(
        "token duel with {LOOKAHEAD_CANDIDATES} candidates a row looked at, over two plain rows: {found}"
    );
}

/// Activations of an answer and their number.
fn watched(model: &Model) -> (f64, Vec<(RecordingHandle, Answer)>) {
    let spec = model.decoder().spec();
    let both = generations(model, (CANDIDATES, sampled())).into_iter().map(|generation| {
        let (recorder, handle) =
            StateRecorder::new((spec.d_model, spec.n_layers()), BlockKind::FinalOffset);
        (generation.watched_by(recorder), handle)
    });
    let (mut generations, handles): (Vec<_>, Vec<_>) = both.unzip();
    let took = seconds(|| run(&mut generations, &mut |_, _| Flow::Continue).expect("run"));
    let answers = generations.into_iter().map(|g| g.into_answer().expect("answer"));
    (took, handles.into_iter().zip(answers).collect())
}

fn extractor(width: usize, pooling: StatePooling) -> Arc<Extractor> {
    let origin = ExtractorOrigin {
        model: "bench".to_owned(),
        quantisation: String::new(),
        kv_plan: [0; 32],
        pooling,
    };
    let (pooled, tokens) = (noise(9, 160 * width), (40..200).collect::<Vec<usize>>());
    let neutral = NeutralAnswers { pooled: &pooled, tokens: &tokens };
    Arc::new(Extractor::fit(origin, neutral, FEATURES).expect("extractor"))
}

fn selection(model: &Model) {
    let extractor = extractor(model.decoder().spec().d_model, StatePooling::Before);
    let params = TpopParams::default();
    let state = taught(params, *extractor.id(), (extractor.width(), 20));
    let (mut plainly, mut recording, mut choosing) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut plain = generations(model, (CANDIDATES, sampled()));
        let generating = seconds(|| run(&mut plain, &mut |_, _| Flow::Continue).expect("run"));
        let (with_recorder, answers) = watched(model);
        let choice = seconds(|| {
            let of = |(handle, _): &(RecordingHandle, Answer)| {
                extractor.features(&handle.take().finals).expect("features")
            };
            let features: Vec<Vec<f32>> = answers.iter().map(of).collect();
            let candidates: Vec<DuelCandidate<'_>> = (0u8..)
                .zip(&features)
                .map(|(row, features)| DuelCandidate { features, answer: [row; 32] })
                .collect();
            let turn = DuelTurn { round, since_asked: None };
            black_box(state.choose(turn, &candidates).expect("choice"));
        });
        if round > 0 {
            plainly.push(generating);
            recording.push(with_recorder);
            choosing.push(choice / generating);
        }
    }
    println!("{CANDIDATES} recorded answers over plain ones: {}", compared(&plainly, &recording));
    println!("features and choice over generating them: {}", told(choosing));
}

fn main() {
    refits();
    let name = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let name = name.unwrap_or_else(|| "smollm2-135m-instruct".to_owned());
    let model = Model::open(&name).expect("model");
    println!("{}", model.name());
    token_duel(&model);
    lookahead_duel(&model);
    selection(&model);
}
