//! SmolLM2-135M-Instruct against transformers, llama.cpp's figures and candle-transformers.
//!
//! `tests/golden/smollm2` holds what transformers computes with the dequantised weights in f32
//! (`scripts/golden_smollm2.py`); docs/parity.md says how llama.cpp's figures were measured.

use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use trimtab_runtime::Model;
use trimtab_runtime::decoder::{LogitsAt, Outputs};
use trimtab_runtime::plan::Plan;
use trimtab_tests::golden::Golden;
use trimtab_tests::real;

/// Texts in the golden file.
const TEXTS: usize = 8;
/// Largest difference of a logit in f32, from the issue.
const LOGIT_BOUND: f32 = 1e-3;
/// llama.cpp's own mean KL over the same positions and support (docs/parity.md), and how much more we allow.
const LLAMA_CPP_KL: f64 = 0.002790;
const KL_SLACK: f64 = 1.2;

/// Reference values at one position: the 256 largest logits and the log-sum-exp of all.
struct Position {
    at: usize,
    ids: Vec<u32>,
    logits: Vec<f32>,
    log_sum_exp: f64,
}

fn reference(golden: &Golden, text: usize) -> (Vec<u32>, Vec<Position>) {
    let name = |what: &str| format!("{text}.{what}");
    let rows = |what: &str| golden.tensor(&name(what)).to_vec2::<f32>().unwrap();
    let ids = rows("top_ids");
    let sums = golden.tensor(&name("logsumexp")).to_vec1::<f32>().unwrap();
    let at = golden.tokens(&name("positions"));
    let positions = at.into_iter().zip(ids).zip(rows("top_logits")).zip(sums);
    let positions = positions.map(|(((at, ids), logits), sum)| Position {
        at: at as usize,
        ids: ids.iter().map(|id| *id as u32).collect(),
        logits,
        log_sum_exp: f64::from(sum),
    });
    (golden.tokens(&name("tokens")), positions.collect())
}

/// All logits of a text, `[time][vocab]`.
fn logits(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut session = model.session(Plan::empty()).unwrap();
    session.push_prompt(tokens).unwrap();
    let want = Outputs { logits: LogitsAt::All, ..Outputs::default() };
    let output = model.decoder().forward(&mut [session.row(want)]).unwrap();
    output.to_host().unwrap().remove(0).logits
}

#[test]
fn dequantised_logits_are_those_of_transformers() {
    if !real::wanted() {
        return;
    }
    let golden = Golden::read("smollm2/reference.safetensors");
    let model = real::dequantised();
    let mut largest = 0f32;
    for text in 0..TEXTS {
        let (tokens, positions) = reference(&golden, text);
        let ours = logits(&model, &tokens);
        for p in positions {
            for (id, expected) in p.ids.iter().zip(&p.logits) {
                largest = largest.max((ours[p.at][*id as usize] - expected).abs());
            }
        }
    }
    println!("largest difference of a logit from transformers: {largest:e}");
    assert!(largest <= LOGIT_BOUND, "{largest:e}");
}

#[test]
fn serving_stays_as_close_to_f32_as_llama_cpp() {
    if !real::wanted() {
        return;
    }
    let golden = Golden::read("smollm2/reference.safetensors");
    let model = real::model();
    let mut divergences = Vec::new();
    for text in 0..TEXTS {
        let (tokens, positions) = reference(&golden, text);
        let ours = logits(&model, &tokens);
        divergences.extend(positions.iter().map(|p| divergence(p, &ours[p.at])));
    }
    let mean = divergences.iter().sum::<f64>() / divergences.len() as f64;
    println!("mean KL(f32 || served) over {} positions: {mean:.6}", divergences.len());
    assert!(mean <= KL_SLACK * LLAMA_CPP_KL, "{mean}");
    assert!(mean > 1e-6, "{mean}: this is not the quantised path");
}

/// KL(reference ‖ ours) in nats over the reference's 256 tokens and one bucket for the rest.
fn divergence(p: &Position, ours: &[f32]) -> f64 {
    let most = ours.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = ours.iter().map(|l| f64::from(l - most).exp()).sum();
    let our_sum = f64::from(most) + sum.ln();
    let (mut kl, mut rest_p, mut rest_q) = (0.0, 1.0, 1.0);
    for (id, logit) in p.ids.iter().zip(&p.logits) {
        let log_p = f64::from(*logit) - p.log_sum_exp;
        let log_q = f64::from(ours[*id as usize]) - our_sum;
        kl += log_p.exp() * (log_p - log_q);
        rest_p -= log_p.exp();
        rest_q -= log_q.exp();
    }
    let (rest_p, rest_q) = (rest_p.max(1e-12), rest_q.max(1e-12));
    kl + rest_p * (rest_p / rest_q).ln()
}

#[test]
fn candle_transformers_serves_the_same_logits() {
    if !real::wanted() {
        return;
    }
    let path = &real::local().path;
    let mut file = std::fs::File::open(path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    use candle_transformers::models::quantized_llama::ModelWeights;
    let mut theirs = ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
    let (tokens, _) = reference(&Golden::read("smollm2/reference.safetensors"), 0);
    let input = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let theirs = theirs.forward(&input, 0).unwrap().squeeze(0).unwrap().to_vec1::<f32>().unwrap();
    let ours = logits(&real::model(), &tokens).pop().unwrap();
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let gap: Vec<f32> = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
    let relative = norm(&gap) / norm(&theirs);
    println!("relative distance to candle-transformers' quantised llama: {relative:e}");
    // The same quantised products; attention and rotation round differently, and int8 rounding spreads that.
    assert!(relative < 0.02, "{relative}");
}
