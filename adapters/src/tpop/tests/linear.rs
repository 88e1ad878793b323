//! The optimum of the linear head.

use super::*;
use crate::tpop::example::{examples, teaching};
use crate::tpop::linear::Logistic;
use ndarray::Array1;

fn problem(pairs: &[DuelPair], params: &TpopParams) -> Logistic {
    let recorded = recorded(pairs);
    let examples = examples(&teaching(&recorded, params), params);
    Logistic::of(&examples, WIDTH, params.lambda).unwrap()
}

fn random_point(stream: &mut Stream) -> Array1<f64> {
    Array1::from(stream.normals(WIDTH + 1))
}

#[test]
fn m05_gradient_and_hessian_are_finite_difference_slopes() {
    let problem = problem(&pairs(1, 30), &TpopParams::default());
    let mut stream = Stream::of(1, "points", 0);
    let x = random_point(&mut stream);
    let (gradient, hessian) = (problem.gradient(&x), problem.hessian(&x));
    for at in 0..=WIDTH {
        let moved = |by: f64| {
            let mut moved = x.clone();
            moved[at] += by;
            moved
        };
        let slope = (problem.loss(&moved(1e-5)) - problem.loss(&moved(-1e-5))) / 2e-5;
        assert!((slope - gradient[at]).abs() < 1e-6, "{at}: {slope} {}", gradient[at]);
        let bend = (problem.gradient(&moved(1e-5)) - problem.gradient(&moved(-1e-5))) / 2e-5;
        near(&bend.to_vec(), &hessian.row(at).to_vec(), 1e-6);
    }
}

#[test]
fn m05_newton_finds_what_gradient_descent_finds() {
    for (n, lambda) in [(1, 1.0), (40, 1.0), (40, 0.05), (300, 1.0)] {
        let params = TpopParams { lambda, ..TpopParams::default() };
        let problem = problem(&pairs(2, n), &params);
        let newton = problem.solve().unwrap();
        assert!(problem.gradient(&newton).iter().all(|g| g.abs() <= 1e-8));
        let largest = problem.hessian(&Array1::zeros(WIDTH + 1)).diag().sum();
        let mut x = Array1::zeros(WIDTH + 1);
        for _ in 0..60_000 {
            x = &x - &(problem.gradient(&x) / largest);
        }
        near(&newton.to_vec(), &x.to_vec(), 1e-6);
    }
}

#[test]
fn m05_the_loss_is_convex_along_random_lines() {
    let problem = problem(&pairs(3, 50), &TpopParams::default());
    let mut stream = Stream::of(3, "lines", 0);
    for _ in 0..200 {
        let (a, b) = (random_point(&mut stream) * 3.0, random_point(&mut stream) * 3.0);
        let t = stream.uniform();
        let between = problem.loss(&(&a * t + &b * (1.0 - t)));
        assert!(between <= t * problem.loss(&a) + (1.0 - t) * problem.loss(&b) + 1e-9);
    }
}

#[test]
fn m05_ties_and_weights_are_those_of_a_hand_example() {
    // One feature in one direction, two pairs of difference 1: an A of weight 1 and a tie of weight ½.
    let one: Vec<f32> = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let zero = vec![0.0; WIDTH];
    let params = TpopParams { ties: TieRule::Half, ..TpopParams::default() };
    let a = pair(0, [&one, &zero], PairLabel::A);
    let tie = DuelPair { weight: 0.5, ..pair(2, [&one, &zero], PairLabel::Tie) };
    let problem = problem(&[a.clone(), tie.clone()], &params);
    // At θ = κ = x: 1·(σ(2x) − 0.95) + ½(σ(2x) − ½) + x = 0, both by symmetry of the two columns.
    let x = problem.solve().unwrap();
    let stationary = |x: f64| {
        let p = 1.0 / (1.0 + (-2.0 * x).exp());
        (p - 0.95) + 0.5 * (p - 0.5) + x
    };
    assert!(stationary(x[0]).abs() < 1e-8, "{x}");
    assert!((x[0] - x[WIDTH]).abs() < 1e-12);
    // Ignored, the tie is as if it were not there, and so is a pair of weight 0.
    let ignoring = TpopParams::default();
    let alone = super::linear::problem(std::slice::from_ref(&a), &ignoring).solve().unwrap();
    let none = DuelPair { weight: 0.0, ..pair(4, [&one, &zero], PairLabel::B) };
    let with = super::linear::problem(&[a, tie, none], &ignoring).solve().unwrap();
    assert_eq!(alone, with);
    assert_ne!(alone, x);
}

#[test]
fn m07_flipped_orders_give_the_same_theta_and_the_other_kappa() {
    let all = pairs(5, 60);
    let flip = |pair: &DuelPair| DuelPair {
        order: match pair.order {
            DuelOrder::ALeft => DuelOrder::BLeft,
            DuelOrder::BLeft => DuelOrder::ALeft,
        },
        ..pair.clone()
    };
    let flipped: Vec<DuelPair> = all.iter().map(flip).collect();
    let (x, y) = (taught(state(), all), taught(state(), flipped));
    near(x.head().weights(), y.head().weights(), 1e-9);
    assert!((x.kappa() + y.kappa()).abs() < 1e-9 && x.kappa().abs() > 1e-3);
}

#[test]
fn m07_always_left_is_a_habit_and_no_taste() {
    let all = vectors(6, 800);
    let pairs = all.chunks_exact(2).zip(0u64..).map(|(both, id)| {
        // Orders at random.
        let order = match Stream::of(id, "order", 0).uniform() < 0.5 {
            true => DuelOrder::ALeft,
            false => DuelOrder::BLeft,
        };
        DuelPair { order, ..pair(id, [&both[0], &both[1]], PairLabel::left(order)) }
    });
    let pairs: Vec<DuelPair> = pairs.collect();
    let fitted = crate::tpop::fit::fit(&TpopParams::default(), WIDTH, &recorded(&pairs)).unwrap();
    assert!(fitted.taught.kappa > 2.0, "{}", fitted.taught.kappa);
    assert!(fitted.taught.head.norm() < 0.5, "{}", fitted.taught.head.norm());
    let net = TpopParams { head: HeadKind::Mlp, ..TpopParams::default() };
    let net = crate::tpop::fit::fit_head(&net, WIDTH, &recorded(&pairs[..60])).unwrap();
    assert!(net.kappa > 2.0, "{}", net.kappa);
    // The control: without random orders the same habit looks like a taste.
    let stuck: Vec<DuelPair> = pairs
        .iter()
        .map(|p| DuelPair { order: DuelOrder::ALeft, judgement: PairLabel::A, ..p.clone() })
        .map(|mut p| {
            p.features[0][0] += 2.0;
            p
        })
        .collect();
    let stuck = crate::tpop::fit::fit(&TpopParams::default(), WIDTH, &recorded(&stuck)).unwrap();
    assert!(
        stuck.taught.head.weights()[0] > 2.0 * fitted.taught.head.norm(),
        "{:?}",
        stuck.taught.head
    );
}

#[test]
fn m12_without_noise_it_is_the_plain_choice_model() {
    // Bradley, Terry and Luce with a ridge: Σ −ln σ(±h), by an independent sum.
    let all = pairs(8, 25);
    let params = TpopParams { eta: 1.0, ..TpopParams::default() };
    let problem = problem(&all, &params);
    let mut stream = Stream::of(8, "points", 0);
    let x = random_point(&mut stream).to_vec();
    let plain = |pair: &DuelPair| {
        let both = pair.features[0].iter().zip(&pair.features[1]).zip(&x);
        let h: f64 = both.map(|((a, b), t)| f64::from(a - b) * t).sum::<f64>()
            + x[WIDTH] * pair.order.sign();
        let won = if pair.judgement == PairLabel::A { h } else { -h };
        (1.0 + (-won).exp()).ln()
    };
    let expected = all.iter().map(plain).sum::<f64>() + matrix::dot(&x, &x) / 2.0;
    let found = problem.loss(&Array1::from(x.clone()));
    assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
}

#[test]
fn m12_a_repeated_pair_stays_within_the_odds_of_its_reliability() {
    let both = vectors(9, 2);
    for (eta, lambda) in [(0.95, 1.0), (0.95, 0.01), (0.8, 0.01)] {
        let limit = f64::ln(eta / (1.0 - eta));
        let params = TpopParams { eta, lambda, ..TpopParams::default() };
        for n in [1, 10, 1000] {
            let one =
                DuelPair { order: DuelOrder::ALeft, ..pair(0, [&both[0], &both[1]], PairLabel::A) };
            let problem = problem(&vec![one; n], &params);
            let h = problem.log_odds(&problem.solve().unwrap());
            assert!(h.iter().all(|h| h.abs() < limit), "{n}: {} of {limit}", h[0]);
        }
    }
    // The control: labels that are believed without doubt go beyond.
    let params = TpopParams { eta: 1.0, lambda: 0.01, ..TpopParams::default() };
    let one = pair(0, [&both[0], &both[1]], PairLabel::A);
    let problem = problem(&vec![one; 1000], &params);
    assert!(problem.log_odds(&problem.solve().unwrap())[0] > 19f64.ln());
}

/// The best of a few runs, in milliseconds.
fn best_of(runs: usize, mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let start = std::time::Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..runs).map(time).fold(f64::INFINITY, f64::min)
}

#[test]
fn refits_are_fast() {
    let width = 65;
    let mut stream = Stream::of(4, "speed", 0);
    let mut row = || stream.normals(width).iter().map(|x| *x as f32).collect::<Vec<f32>>();
    let judged = |id: u64, a: &[f32], b: &[f32]| {
        let judgement = if a[0] + a[1] > b[0] { PairLabel::A } else { PairLabel::B };
        pair(id, [a, b], judgement)
    };
    let all: Vec<DuelPair> = (0..501).map(|id| judged(id, &row(), &row())).collect();
    let state_after = |params: TpopParams, n: usize| {
        let config = params.check().unwrap();
        let scope = TpopScope { config, extractor: EXTRACTOR, width, seed: 0 };
        let mut state = TpopState::new(scope).unwrap();
        state.log = crate::tpop::pair::PairLog::of(recorded(&all[..n]), Default::default());
        state.reconfigured(config).unwrap()
    };
    let usual = TpopParams::default();
    let growing = state_after(TpopParams { max_pairs: 600, ..usual }, 499);
    let next = all[500].clone();
    let added = best_of(9, || drop(growing.learn(next.clone()).unwrap()));
    let full = state_after(usual, 500);
    let dropped = best_of(9, || drop(full.learn(next.clone()).unwrap()));
    let net = state_after(TpopParams { head: HeadKind::Mlp, ..usual }, 99);
    let trained = best_of(2, || drop(net.learn(next.clone()).unwrap()));
    println!(
        "ms to learn a pair of 65 features: linear, 500th {added:.1}, beyond the cap {dropped:.1}; \
         net, 100th {trained:.0}"
    );
    // Ten times the targets, for machines that do other work.
    assert!(added < 500.0 && dropped < 500.0 && trained < 10_000.0);
}
