//! Steering vectors on the real model, beside llama.cpp and transformers.
//!
//! `tests/golden/vectors` holds what those programs make of the same files (`scripts/golden_control_vector.py`).

use candle_core::Tensor;
use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::{Message, Special};
use trimtab_steering::export::{self, BlockZero};
use trimtab_steering::extract::{
    Extracted, Extraction, Position, Recipe, Rule, STATE_BYTES, Shard, States,
};
use trimtab_steering::file::card::{MethodName, Operation};
use trimtab_steering::file::sha256;
use trimtab_steering::gate::{self, Condition, Deciding, Gate, Side};
use trimtab_steering::neutral::{self, DriftOptions, Text};
use trimtab_steering::pairs::{BadPairs, Pairs};
use trimtab_steering::{Steer, SteerOptions, VectorFile};
use trimtab_tests::golden::{self, Golden};
use trimtab_tests::{real, workspace_root};

/// Prompts in the golden file.
const PROMPTS: usize = 8;
/// The golden file has the logits of every 384th token.
const EVERY: usize = 384;
/// What the golden's llama.cpp ran with.
const SCALE: f32 = 1.0;
/// Pairs of the golden's mean difference; four blocks of an extraction.
const PAIRS: usize = 25;

fn concise() -> VectorFile {
    VectorFile::open(&golden::path("vectors/concise.safetensors")).unwrap()
}

fn reference() -> Golden {
    Golden::read("vectors/reference.safetensors")
}

fn plan(file: &VectorFile, options: &SteerOptions) -> Plan {
    Plan::of(Steer::new(file, options).unwrap())
}

fn session(model: &Model, tokens: &[u32], plan: Plan) -> Session {
    let mut session = model.session(plan).unwrap();
    session.push_prompt(tokens).unwrap();
    session
}

/// The logits behind a prompt.
fn logits(model: &Model, tokens: &[u32], plan: Plan) -> Vec<f32> {
    session(model, tokens, plan).run().unwrap().logits.remove(0)
}

/// How a plan changes the logits that the golden has.
fn change(model: &Model, tokens: &[u32], plan: Plan) -> Vec<f64> {
    let (plain, steered) = (logits(model, tokens, Plan::empty()), logits(model, tokens, plan));
    let changes = steered.iter().zip(&plain).map(|(a, b)| f64::from(a - b));
    changes.step_by(EVERY).collect()
}

/// The stream at a site, one row for each token.
fn stream(model: &Model, tokens: &[u32], site: Site, plan: Plan) -> Vec<Vec<f32>> {
    let mut captured = session(model, tokens, plan).capture(&[site]).unwrap();
    captured.remove(&site).unwrap().to_vec2().unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (norm(a) * norm(b))
}

#[test]
fn an_exported_vector_does_in_llama_cpp_what_it_does_here() {
    if !real::wanted() {
        return;
    }
    let (model, golden, file) = (real::model(), reference(), concise());
    let exported = export::gguf(&file, BlockZero::Refuse).unwrap();
    let digest = std::fs::read_to_string(golden::path("vectors/concise.gguf.sha256")).unwrap();
    assert_eq!(sha256(&exported.bytes), digest.trim(), "llama.cpp read other bytes");
    let options = SteerOptions { scale: Some(SCALE), ..SteerOptions::default() };
    let mut lowest = 1f64;
    for prompt in 0..PROMPTS {
        let tokens = golden.tokens(&format!("{prompt}.tokens"));
        let ours = change(&model, &tokens, plan(&file, &options));
        let theirs = numbers(&golden.tensor(&format!("{prompt}.llama_cpp")));
        let (found, ratio) = (cosine(&ours, &theirs), norm(&ours) / norm(&theirs));
        println!("prompt {prompt}: cosine {found:.4}, length {ratio:.3} of llama.cpp's");
        assert!((0.9..1.1).contains(&ratio), "prompt {prompt}: {ratio}");
        lowest = lowest.min(found);
    }
    assert!(lowest > 0.99, "{lowest}");
}

/// A question and an answer that has begun.
fn answered(model: &Model, question: &str, answer: &str) -> Vec<u32> {
    let mut tokens = model.chat_prompt(&[Message::new("user", question)]).unwrap();
    tokens.extend(model.tokenizer().unwrap().encode(answer, Special::Plain).unwrap());
    tokens
}

#[test]
fn a_gate_opens_for_one_prompt_and_not_for_another() {
    if !real::wanted() {
        return;
    }
    let (model, file, site) = (real::model(), concise(), Site::ResidPost(13));
    let short = answered(&model, "Why is the sea salty?", "Rivers carry salt from rocks.");
    let long = answered(
        &model,
        "Why is the sea salty?",
        "That is a very interesting question, and there are several things to consider. Rain takes \
         up a little carbon dioxide from the air, which makes it slightly acidic, and so it slowly \
         dissolves minerals as it runs over rocks on its way to the sea.",
    );
    let row = wide(file.directions().iter().find(|d| d.site() == site).unwrap().values());
    let entry = &file.card().sites[&site];
    let (magnitude, anchor) = (entry.magnitude.unwrap(), entry.anchor.unwrap());
    let coordinate = |tokens: &[u32]| {
        let states = stream(&model, tokens, site, Plan::empty());
        let along = states.iter().skip(1).map(|state| dot(&wide(state), &row)).sum::<f64>();
        (along / (states.len() - 1) as f64 - f64::from(anchor)) / f64::from(magnitude)
    };
    let found = [coordinate(&short), coordinate(&long)];
    println!("class coordinates of the prompts: {found:.3?}");
    let between = (found[0] + found[1]) / 2.0;
    assert!(found[0] - found[1] > 0.1, "{found:?}");
    let condition = Condition::at(&file, site, Side::Above, between as f32).unwrap();
    let gate = Gate::new(gate::Rule::All(vec![condition]), Deciding::PromptMean).unwrap();
    let options = SteerOptions { gate: Some(gate), ..SteerOptions::default() };
    let run = |tokens: &[u32]| {
        let mut session = session(&model, tokens, plan(&file, &options));
        let logits = session.run().unwrap().logits.remove(0);
        (session.fired()[0], logits)
    };
    let (fired, same) = run(&long);
    assert_eq!(fired, 0);
    assert!(same == logits(&model, &long, Plan::empty()), "a closed gate changes bits");
    let (fired, other) = run(&short);
    assert!(fired > 0 && other != logits(&model, &short, Plan::empty()));
}

#[test]
fn project_leaves_nothing_along_the_direction() {
    if !real::wanted() {
        return;
    }
    let (model, file, tokens) = (real::model(), concise(), reference().tokens("0.tokens"));
    let options = SteerOptions {
        operation: Some(Operation::Project),
        scale: Some(1.0),
        ..SteerOptions::default()
    };
    for direction in file.directions() {
        let row = wide(direction.values());
        let along = |plan| {
            let states = stream(&model, &tokens, direction.site(), plan);
            let share = |state: &Vec<f32>| dot(&wide(state), &row).abs() / norm(&wide(state));
            states.iter().map(share).fold(0.0, f64::max)
        };
        let (plain, projected) = (along(Plan::empty()), along(plan(&file, &options)));
        println!("{}: {plain:.3} of a token's length, then {projected:.1e}", direction.site());
        assert!(plain > 0.05 && projected < 1e-6, "{}", direction.site());
    }
}

#[test]
fn norms_do_not_hang_on_where_a_text_begins() {
    if !real::wanted() {
        return;
    }
    let (model, site) = (real::model(), Site::ResidPost(15));
    let tokenizer = model.tokenizer().unwrap();
    let words = "Those who come late must wait for another boat, since the first one left at six \
                 in the morning with all of the mail on board.";
    let tokens = tokenizer.encode(words, Special::Plain).unwrap();
    let front = tokenizer.decode(&tokens[..20], trimtab_runtime::text::Control::Show);
    let measured =
        |text: &str, tokens| neutral::norms_on(&model, text, &[site], tokens).unwrap()[&site];
    let plain = measured(Text::tune(), 1024);
    let moved = measured(&format!("{front} {}", Text::tune()), 1044);
    let apart = (moved.median / plain.median - 1.0, moved.p95 / plain.p95 - 1.0);
    println!("norm {plain:?}, with 20 tokens in front by {apart:?}");
    assert!(apart.0.abs() < 0.01, "{apart:?}");
    // The sink that is left out is nowhere near.
    let states = stream(&model, &tokens, site, Plan::empty());
    assert!(norm(&wide(&states[0])) > 10.0 * f64::from(plain.median));
}

#[test]
fn scale_zero_drifts_by_nothing_and_scale_one_by_something() {
    if !real::wanted() {
        return;
    }
    let (model, file) = (real::model(), concise());
    let plans = [0.0, 1.0]
        .map(|scale| plan(&file, &SteerOptions { scale: Some(scale), ..SteerOptions::default() }));
    let options = DriftOptions { most: Some(2), ..DriftOptions::default() };
    let drifts =
        neutral::drift(&model, Text::test(), &plans, &options, &mut |_, _| Flow::Continue).unwrap();
    let [nothing, something] = [drifts[0], drifts[1]];
    assert_eq!((nothing.ppl_ratio, nothing.kl, nothing.top1_agreement), (1.0, 0.0, 1.0));
    assert!(something.kl > 0.0 && something.ppl_ratio != 1.0, "{something:?}");
}

fn extracted(extraction: &Extraction<'_>, shards: usize) -> (States, Extracted) {
    let read = |index| {
        let mut states = extraction.begin(Shard { index, of: shards }, STATE_BYTES).unwrap();
        extraction.read(&mut states, &mut |_, _| Flow::Continue).unwrap();
        states
    };
    let states = States::merge((1..=shards).map(read).collect()).unwrap();
    let extracted = states.finish().unwrap();
    (states, extracted)
}

#[test]
fn shards_give_the_same_bytes_and_the_direction_of_transformers() {
    if !real::wanted() {
        return;
    }
    let (model, site) = (real::model(), Site::ResidPost(15));
    let data = std::fs::read_to_string(workspace_root().join("examples/data/concise.jsonl"));
    let rows: Vec<String> = data.unwrap().lines().take(PAIRS).map(str::to_owned).collect();
    let pairs = Pairs::from_bytes(rows.join("\n").as_bytes(), BadPairs::Refuse).unwrap();
    let recipe = Recipe {
        position: Some(Position::MeanResponse),
        rule: Some(Rule::PaperCosine),
        shares: [1.0, 0.0, 0.0],
        ..Recipe::new(MethodName::MeanDifference, "concise")
    };
    let begin = || Extraction::new(&model, &pairs, &[site], &recipe).unwrap();
    let (whole, made) = extracted(&begin(), 1);
    let (merged, again) = extracted(&begin(), 4);
    assert!(whole == merged, "the states differ");
    assert!(made.file.to_bytes().unwrap() == again.file.to_bytes().unwrap());
    let theirs = numbers(&reference().tensor("mean_difference"));
    let (_, ours) = made.file.offsets().unwrap().remove(0);
    let (found, ratio) = (cosine(&wide(&ours), &theirs), norm(&wide(&ours)) / norm(&theirs));
    println!("mean difference: cosine {found:.5} and length {ratio:.4} of transformers'");
    assert!(found > 0.98 && (0.95..1.05).contains(&ratio), "{found} {ratio}");
}
