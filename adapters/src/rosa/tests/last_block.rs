//! The map beside the last MLP: its derivative and exact effect in closed form, against the norm itself.

use super::super::head::FinalNorm;
use super::super::product;
use super::*;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

fn taught(seed: u64) -> Scene {
    let [_, mut scene] = both_blocks(seed, (70, 8), DIFFUSE);
    // The answer was given under a version that pushes already.
    let step = normal(seed + 77, scene.values(), 0.2);
    scene.state = scene.state.stepped(1.0, &step).unwrap();
    let BlockState::LastMlpLora(lora) = &scene.state.block else { panic!("no map") };
    let last = scene.trace.last_block.as_mut().unwrap();
    last.resid_post = lora.pushed(&last.resid_post, &last.resid_mid);
    scene.trace.states = scene.head.norm().apply(&last.resid_post);
    scene
}

/// Scores of all tokens and the mean row when `B` is changed by a step, written out.
fn scores(scene: &Scene, step: &[f64]) -> Vec<f64> {
    let BlockState::LastMlpLora(lora) = &scene.state.block else { panic!("no map") };
    let last = scene.trace.last_block.as_ref().unwrap();
    let (width, norm) = (scene.head.width(), scene.head.norm());
    let ids: Vec<u32> = (0..scene.head.vocabulary() as u32).collect();
    let mut rows = scene.head.rows(&ids).unwrap();
    rows.extend_from_slice(&scene.facts.mean_row);
    let mut all = Vec::new();
    for (x, mid) in last.resid_post.chunks(width).zip(last.resid_mid.chunks(width)) {
        let inner = lora.inner(mid);
        let push = step.chunks(lora.rank()).map(|row| product::dot64(row, &inner));
        let x: Vec<f64> = x.iter().zip(push).map(|(x, push)| f64::from(*x) + push).collect();
        let square: f64 = x.iter().map(|x| x * x).sum();
        let inverse = 1.0 / (square / width as f64 + norm.eps).sqrt();
        let h: Vec<f64> =
            x.iter().zip(norm.weight).map(|(x, w)| x * inverse * f64::from(*w)).collect();
        all.extend(product::times(&rows, &h));
    }
    all
}

#[test]
fn m13_the_derivative_is_that_of_finite_differences_and_its_transpose_the_adjoint() {
    for seed in [61, 62, 63] {
        let scene = taught(seed);
        scene.look(scene.all(), -1.0, |problem| {
            let (reach, n) = (problem.reach, problem.policy.len());
            for number in 0..5 {
                let step = scene.probe(number);
                let shift = reach.tangent(&step).unwrap();
                let scaled = |h: f64| -> Vec<f64> {
                    scores(&scene, &step.iter().map(|x| h * x).collect::<Vec<_>>())
                };
                let slopes: Vec<f64> = scaled(1e-5)
                    .iter()
                    .zip(scaled(-1e-5))
                    .map(|(up, down)| (up - down) / 2e-5)
                    .collect();
                let mut pull = reach.pull();
                let mut forth = 0.0;
                for (at, slope) in slopes.chunks(n).enumerate() {
                    let mut u = vec![0.0; n];
                    shift.row(at, reach.scores(at), &mut u);
                    assert!(gap(&u, slope) < 1e-5, "{}", gap(&u, slope));
                    let s = gaussian(seed + 1000 * at as u64, n);
                    forth += product::dot64(&u, &s);
                    reach.pull_row(&mut pull, at, &s);
                }
                let back = product::dot64(&reach.pulled(&pull).unwrap(), &step);
                assert!((forth / back - 1.0).abs() < 1e-5, "{forth} {back}");
            }
        });
    }
}

#[test]
fn m13_the_exact_change_is_that_of_the_norm() {
    let scene = taught(64);
    let before = scores(&scene, &vec![0.0; scene.values()]);
    scene.look(scene.all(), -1.0, |problem| {
        let (reach, n) = (problem.reach, problem.policy.len());
        let step: Vec<f64> = scene.probe(1).iter().map(|x| 0.5 * x).collect();
        let columns = reach.columns(&step).unwrap();
        for scale in [1.0, 0.3] {
            let shift = reach.exact(&step, &columns, scale);
            let after = scores(&scene, &step.iter().map(|x| scale * x).collect::<Vec<_>>());
            let rows = after.chunks(n).zip(before.chunks(n)).enumerate();
            for (at, (after, before)) in rows {
                let mut u = vec![0.0; n];
                shift.row(at, reach.scores(at), &mut u);
                let expected: Vec<f64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
                assert!(gap(&u, &expected) < 1e-5, "{}", gap(&u, &expected));
            }
        }
        // To first order alone it is not: the test above can fail.
        let mut u = vec![0.0; n];
        reach.tangent(&step).unwrap().row(0, reach.scores(0), &mut u);
        let expected: Vec<f64> =
            scores(&scene, &step).iter().zip(&before).map(|(a, b)| a - b).collect();
        assert!(gap(&u, &expected[..n]) > 1e-3);
    });
}

#[test]
fn m13_no_map_is_bit_equal_to_the_model() {
    let [_, scene] = both_blocks(65, (70, 8), DIFFUSE);
    let BlockState::LastMlpLora(lora) = &scene.state.block else { panic!("no map") };
    let last = scene.trace.last_block.as_ref().unwrap();
    assert!(lora.push(&last.resid_mid[..8]).iter().all(|x| x.to_bits() == 0));
    assert_eq!(lora.pushed(&last.resid_post, &last.resid_mid), last.resid_post);
}

/// The tiny model's activations over a prompt, as an answer to judge.
fn real(model: &trimtab_runtime::Model, block: BlockKind) -> AnswerTrace {
    let tokens: Vec<u32> = vec![3, 9, 27, 1, 40, 33, 12, 8];
    let read = |site| model.activations(&tokens[..7], site).unwrap().rows().concat();
    let last = tiny::LAYERS - 1;
    let (resid_mid, resid_post) = (read(Site::ResidMid(last)), read(Site::ResidPost(last)));
    let states = read(Site::Final);
    let head = model.decoder().head();
    let lse = head.logits(&states).unwrap();
    let lse = lse.chunks(tiny::VOCABULARY).map(|row| logits::facts(row).lse).collect();
    let last_block = LastBlock { resid_mid, resid_post };
    let last_block = (block == BlockKind::LastMlpLora).then_some(last_block);
    let tokens = tokens[1..].to_vec();
    AnswerTrace { id: "real".to_owned(), tokens, states, lse, last_block, ..AnswerTrace::default() }
}

#[test]
fn m13_the_norm_in_closed_form_is_the_models_and_its_derivative_too() {
    let model = tiny::model(64).unwrap();
    let head = model.decoder().head();
    let trace = real(&model, BlockKind::LastMlpLora);
    let post = &trace.last_block.as_ref().unwrap().resid_post;
    let norm = OutputHead::norm(&head);
    let widened = |row: &[f32]| -> Vec<f64> { row.iter().map(|x| f64::from(*x)).collect() };
    assert!(gap(&widened(&norm.apply(post)), &widened(&trace.states)) < 1e-6);
    let FinalNorm { weight, .. } = norm;
    for (x, v) in post.chunks(tiny::WIDTH).zip(normal(3, post.len(), 1.0).chunks(tiny::WIDTH)) {
        let r = norm.inverse(x);
        let along = r.powi(3) * product::dot(x, &widened(v)) / tiny::WIDTH as f64;
        let closed = x.iter().zip(v).zip(weight);
        let closed: Vec<f64> = closed
            .map(|((x, v), w)| f64::from(*w) * (r * f64::from(*v) - along * f64::from(*x)))
            .collect();
        let exact = head.norm_derivative(x, v).unwrap();
        assert!(gap(&widened(&exact), &closed) < 1e-5);
        let step = |h: f32| -> Vec<f32> {
            let moved: Vec<f32> = x.iter().zip(v).map(|(x, v)| x + h * v).collect();
            head.norm(&moved).unwrap()
        };
        let slopes: Vec<f64> = step(1e-2)
            .iter()
            .zip(step(-1e-2))
            .map(|(up, down)| f64::from(up - down) / 2e-2)
            .collect();
        assert!(gap(&slopes, &closed) < 1e-3, "{}", gap(&slopes, &closed));
    }
}

#[test]
fn both_blocks_learn_on_a_real_head() {
    let model = tiny::model(64).unwrap();
    let head = model.decoder().head();
    let facts = HeadFacts::measure(&head).unwrap();
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        let trace = real(&model, block);
        let canary = Canary::new(&head, &trace.states, trace.last_block.clone()).unwrap();
        let model = FrozenModel {
            head: &head,
            facts: &facts,
            canary: &canary,
            stream_norm: 4.0,
            pause: &|| (),
        };
        let rosa = RosaParams { block, ..open_params() }.check().unwrap();
        let state = RosaState::untaught(rosa.params(), tiny::WIDTH, [0; 32], 3).unwrap();
        for reward in [-1.0, 1.0] {
            let update = rosa.update(&model, &state, &trace, &Judgement::value(reward)).unwrap();
            let step = update.entry.step.unwrap();
            assert_eq!(step.log_p_change[1] > 0.0, reward > 0.0, "{step:?}");
            assert!(step.distance[1] < step.distance[0] && update.state.is_some());
        }
    }
}
