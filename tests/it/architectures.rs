//! Every architecture against Hugging Face transformers, on tiny random checkpoints that it wrote.
//!
//! `scripts/golden_models.py` makes the checkpoints and the goldens. The GGUF twins are the same weights in the
//! layout of llama.cpp's converter; llama.cpp itself loads them and agrees with transformers.

use candle_core::Tensor;
use std::sync::Arc;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::{Decoder, DecoderOptions, LogitsAt, Outputs};
use trimtab_runtime::device::Device;
use trimtab_runtime::hook::Addition;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_tests::golden::{self, Golden, relative_gap};

/// The bound: largest error over largest magnitude, in f32.
const BOUND: f32 = 1e-5;

fn load(path: &str, context: Option<usize>) -> Arc<Decoder> {
    let weights = Weights::open(&golden::path(path)).unwrap();
    let options = DecoderOptions { context, ..DecoderOptions::default() };
    Arc::new(Decoder::load(&weights, &options, &Device::cpu()).unwrap())
}

/// Logits and every site of one pass under a plan.
fn run(decoder: &Arc<Decoder>, tokens: &[u32], plan: Plan) -> (Tensor, Vec<(Site, Tensor)>) {
    let pool = decoder.pool(tokens.len()).unwrap();
    let mut session = Session::new(decoder.clone(), &pool, plan).unwrap();
    session.push_prompt(tokens).unwrap();
    let sites: Vec<Site> = Site::all(decoder.spec().n_layers()).collect();
    let want = Outputs { logits: LogitsAt::All, captures: sites, ..Outputs::default() };
    let mut output = decoder.forward(&mut [session.row(want)]).unwrap();
    let logits = output.logits(0).unwrap().unwrap();
    (logits, output.take_captures(0).into_iter().collect())
}

fn check(model: &str, golden_file: &str, context: Option<usize>) {
    let golden = Golden::read(golden_file);
    let decoder = load(model, context);
    let (logits, sites) = run(&decoder, &golden.tokens("tokens"), Plan::empty());
    let gap = relative_gap(&logits, &golden.tensor("logits"));
    assert!(gap <= BOUND, "{model}: logits are {gap:e} away");
    assert_eq!(sites.len(), 4 * decoder.spec().n_layers() + 2);
    for (site, activation) in sites {
        let gap = relative_gap(&activation, &golden.tensor(&site.to_string()));
        assert!(gap <= BOUND, "{model}: {site} is {gap:e} away");
    }
}

fn check_case(case: &str) {
    check(&format!("models/{case}"), &format!("models/{case}/golden.safetensors"), None);
}

fn check_twin(case: &str) {
    let golden = format!("models/{case}/golden.safetensors");
    check(&format!("models/{case}/model.gguf"), &golden, None);
}

#[test]
fn llama_with_every_rope_scaling_and_biases() {
    for case in ["llama", "llama3-rope", "llama-linear", "llama-yarn", "llama-bias"] {
        check_case(case);
    }
}

#[test]
fn mistral_with_a_sliding_window() {
    check_case("mistral");
}

#[test]
fn qwen2_and_qwen3() {
    check_case("qwen2");
    check_case("qwen3");
}

#[test]
fn gemma3_with_local_and_global_blocks() {
    check_case("gemma3");
    check_case("gemma3-softcap");
}

#[test]
fn olmo2_with_post_norms() {
    check_case("olmo2");
}

#[test]
fn phi3_with_fused_matrices_and_partial_rotation() {
    check_case("phi3");
}

#[test]
fn longrope_takes_its_factors_by_the_context() {
    let file = |which: &str| format!("models/phi3-longrope/golden_{which}.safetensors");
    for model in ["models/phi3-longrope", "models/phi3-longrope/model.gguf"] {
        // Made for 16 tokens at first, stretched to 128: without a word, a short text has the short factors.
        assert_eq!((load(model, None).context(), load(model, Some(17)).context()), (16, 17));
        check(model, &file("short"), None);
        check(model, &file("short"), Some(12));
        check(model, &file("long"), Some(128));
    }
}

#[test]
fn gguf_twins_agree_too() {
    for case in ["llama", "llama3-rope", "qwen2", "qwen3", "gemma3", "olmo2", "phi3"] {
        if golden::path(&format!("models/{case}/model.gguf")).exists() {
            check_twin(case);
        } else {
            assert_eq!(case, "llama3-rope", "{case} has lost its twin");
        }
    }
}

#[test]
fn a_one_hot_edit_changes_what_the_reference_changes() {
    for case in ["llama", "gemma3", "olmo2"] {
        let golden = Golden::read(&format!("models/{case}/golden.safetensors"));
        let decoder = load(&format!("models/{case}"), None);
        let tokens = golden.tokens("probe.tokens");
        let (plain, _) = run(&decoder, &tokens, Plan::empty());
        let sites = [
            Site::Embed,
            Site::AttnOut(1),
            Site::ResidMid(1),
            Site::MlpOut(1),
            Site::ResidPost(1),
            Site::Final,
        ];
        for site in sites {
            let mut e5 = vec![0f32; decoder.spec().d_model];
            e5[5] = 3.0;
            let plan = Plan::of(Addition::new(site, e5, 1.0).unwrap());
            let (logits, activations) = run(&decoder, &tokens, plan);
            let gap = relative_gap(&logits, &golden.tensor(&format!("probe.{site}.logits")));
            assert!(gap <= BOUND, "{case}: edit at {site}: logits are {gap:e} away");
            assert!(relative_gap(&logits, &plain) > 1e-3, "{case}: edit at {site} does nothing");
            for (at, activation) in activations {
                let Site::ResidPost(_) = at else { continue };
                let expected = golden.tensor(&format!("probe.{site}.{at}"));
                let gap = relative_gap(&activation, &expected);
                assert!(gap <= BOUND, "{case}: edit at {site}: {at} is {gap:e} away");
            }
        }
    }
}
