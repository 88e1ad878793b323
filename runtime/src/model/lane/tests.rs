//! The two lanes beside each other: what other devices run, on the CPU, next to what the CPU runs.

use super::device::Tensors;
use super::host::Host;
use crate::device::Device;
use crate::hook::{Addition, Edit, Positions, hook_fn};
use crate::kv::{KvCache, KvPool};
use crate::model::weights::Weights;
use crate::model::{Decoder, DecoderOptions, LogitsAt, Output, Reading, Row, Want};
use crate::plan::{BoundPlan, Plan};
use crate::sample::DrawKeys;
use crate::site::Site;
use std::path::Path;

/// Architectures with norms before, behind and on both sides, biases, soft caps and fused projections.
const MODELS: [&str; 6] = ["llama", "llama-bias", "gemma3-softcap", "olmo2", "phi3", "qwen2"];

fn load(name: &str) -> Decoder {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models").join(name);
    let weights = Weights::open(&golden).unwrap();
    Decoder::load(&weights, &DecoderOptions::default(), &Device::cpu()).unwrap()
}

/// What three rows want: no logits; all, with captures and attention; the last, with a reading.
fn wants() -> [Want; 3] {
    let sites = vec![Site::Embed, Site::AttnOut(1), Site::ResidPost(0), Site::Final];
    let all =
        Want { logits: LogitsAt::All, captures: sites, attention: vec![1], ..Want::default() };
    let last = Want { reading: Reading::LogitsAndFinal, ..Want::default() };
    [Want { logits: LogitsAt::None, ..Want::default() }, all, last]
}

/// A vector at two sites and a hook for the second row, nothing for the others.
fn plans(decoder: &Decoder) -> [BoundPlan; 3] {
    let vector: Vec<f32> = (0..decoder.spec().d_model).map(|i| (i as f32).sin()).collect();
    let add = |site| Addition::new(site, vector.clone(), 0.5).unwrap();
    let halve = hook_fn([Site::MlpOut(0)], |_, stream, pass| {
        let stream = (stream * 0.5).map_err(crate::Error::tensor("halve"))?;
        Ok(Edit::Replace { stream, positions: pass.tokens.len() })
    });
    let plan = Plan::of(add(Site::ResidPost(0)))
        .then(add(Site::AttnOut(1)).at(Positions::Span(1..3)))
        .then(halve);
    [Plan::empty(), plan, Plan::empty()].map(|plan| plan.bind(decoder.spec()).unwrap())
}

/// Everything a pass gives, as numbers.
fn numbers(output: &Output) -> Vec<f32> {
    let mut all = Vec::new();
    for (i, row) in output.to_host().unwrap().into_iter().enumerate() {
        row.logits.iter().chain(&row.finals).for_each(|line| all.extend(line));
        let captured =
            output.captures(i).unwrap().values().chain(output.attention(i).unwrap().values());
        captured.for_each(|t| all.extend(t.flatten_all().unwrap().to_vec1::<f32>().unwrap()));
    }
    all
}

/// Two passes of three rows, the second behind the first in the caches.
fn run(decoder: &Decoder, pass: impl Fn(&Decoder, &mut [Row]) -> Output) -> Vec<f32> {
    let pool: KvPool = decoder.pool(256).unwrap();
    let mut caches: [KvCache; 3] = std::array::from_fn(|_| pool.cache());
    let mut plans = plans(decoder);
    let draws = DrawKeys::default();
    let mut all = Vec::new();
    for tokens in [[1u32, 5, 9, 4], [7, 7, 2, 3]] {
        let each = caches.iter_mut().zip(&mut plans).zip(wants());
        let mut rows: Vec<Row> = each
            .map(|((cache, plan), want)| Row {
                tokens: &tokens,
                prompt_len: 8,
                cache,
                plan,
                draws: &draws,
                want,
            })
            .collect();
        all.extend(numbers(&pass(decoder, &mut rows)));
        rows.iter_mut().for_each(|row| row.cache.commit(tokens.len()));
    }
    all.extend(plans.iter().flat_map(|plan| plan.fired()).map(|n| *n as f32));
    all
}

#[test]
fn both_lanes_compute_the_same() {
    for name in MODELS {
        let decoder = load(name);
        let host = run(&decoder, |d, rows| d.pass_on(Host::new(), rows).unwrap());
        let device = run(&decoder, |d, rows| {
            d.pass_on(Tensors::new(&candle_core::Device::Cpu), rows).unwrap()
        });
        assert_eq!(host.len(), device.len(), "{name}");
        let most = host.iter().fold(0f32, |m, v| m.max(v.abs()));
        let gap = host.iter().zip(&device).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(gap < 1e-4 * most, "{name}: {gap} of {most}");
    }
}
