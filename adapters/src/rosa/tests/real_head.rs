//! The offset on a loaded model: the same answer whether it is added at `final` or to the logits.

use super::*;
use trimtab_runtime::generate::Request;
use trimtab_runtime::hook::Addition;
use trimtab_runtime::logits::Bias;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::Sampling;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;
use trimtab_runtime::text::Message;

#[test]
fn m07_an_offset_at_final_is_a_bias_of_the_logits() {
    let decoder = tiny::decoder().unwrap();
    let head = decoder.head();
    for seed in 0..20 {
        let (delta, states) =
            (normal(seed, tiny::WIDTH, 0.5), normal(seed + 50, 3 * tiny::WIDTH, 1.0));
        let bias = super::super::FinalOffset { delta: delta.clone() }.bias(&head).unwrap();
        let moved: Vec<f32> = states
            .chunks(tiny::WIDTH)
            .flat_map(|h| h.iter().zip(&delta).map(|(h, d)| h + d))
            .collect();
        let (moved, plain) = (head.logits(&moved).unwrap(), head.logits(&states).unwrap());
        for (moved, plain) in moved.chunks(tiny::VOCABULARY).zip(plain.chunks(tiny::VOCABULARY)) {
            let biased: Vec<f32> = plain.iter().zip(&bias).map(|(z, b)| z + b).collect();
            assert!(moved.iter().zip(&biased).all(|(a, b)| (a - b).abs() <= 1e-4));
            let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            assert_eq!(best(moved), best(&biased));
        }
    }
}

#[test]
fn m07_an_offset_at_final_gives_the_greedy_answer_of_its_bias() {
    let model = tiny::model(256).unwrap();
    let head = model.decoder().head();
    let messages = [Message::new("user", "abc")];
    let answer = |plan: Plan, bias: Vec<f32>| {
        let bias = Bias::new((0u32..).zip(bias)).unwrap();
        let request = Request { processors: vec![std::sync::Arc::new(bias)], ..Request::default() };
        let chat = model.chat(&messages).request(request).plan(plan).max_tokens(24);
        chat.sampling(Sampling::Greedy).run().unwrap().tokens
    };
    let mut moved = 0;
    for seed in 0..5 {
        let delta = normal(seed + 7, tiny::WIDTH, 0.4);
        let bias = super::super::FinalOffset { delta: delta.clone() }.bias(&head).unwrap();
        let added = answer(Plan::of(Addition::new(Site::Final, delta, 1.0).unwrap()), Vec::new());
        assert_eq!(added, answer(Plan::default(), bias));
        moved += usize::from(added != answer(Plan::default(), Vec::new()));
    }
    assert!(moved > 0, "no offset changed the answer");
}

#[test]
fn a_dense_head_and_a_models_head_are_the_same_operator() {
    let decoder = tiny::decoder().unwrap();
    let head = decoder.head();
    let ids: Vec<u32> = (0..tiny::VOCABULARY as u32).collect();
    let norm = OutputHead::norm(&head);
    let dense = DenseHead::new(head.rows(&ids).unwrap(), tiny::WIDTH).unwrap();
    let dense = dense.with_norm(norm.weight.to_vec(), norm.eps).unwrap();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    let (h, g) = (normal(1, 2 * tiny::WIDTH, 1.0), normal(2, 2 * tiny::VOCABULARY, 1.0));
    assert!(close(&dense.scores(&h).unwrap(), &head.scores(&h).unwrap()));
    assert!(close(&dense.transposed(&g).unwrap(), &head.transposed(&g).unwrap()));
    let (a, b) = (HeadFacts::measure(&dense).unwrap(), HeadFacts::measure(&head).unwrap());
    assert!(close(&a.mean_row, &b.mean_row) && close(&a.squared_norms, &b.squared_norms));
    assert_eq!(a.squared_norms.len(), tiny::VOCABULARY);
}
