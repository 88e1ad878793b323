//! The better policy, the Fisher operator, the gradient: against sums written out and finite differences.

use super::super::product::{dot64, norm};
use super::super::tilt::Tilt;
use super::*;

#[test]
fn m01_the_better_policy_sums_to_1_and_is_a_pull_towards_the_token() {
    for seed in 0..100 {
        let z = normal(seed, 12, 3.0);
        let lse = logits::facts(&z).lse;
        let p: Vec<f64> = z.iter().map(|z| (f64::from(*z) - lse).exp()).collect();
        let (y, reward) = (seed as usize % 12, 2.0 * uniform(seed, 0) - 1.0);
        let exponent = reward / (0.25 + 3.75 * uniform(seed, 1));
        let tilt = Tilt::new(p[y].ln(), exponent);
        let weighted = |v: usize| if v == y { p[v] * exponent.exp() } else { p[v] };
        let total: f64 = (0..12).map(weighted).sum();
        let target: Vec<f64> = (0..12).map(|v| weighted(v) / total).collect();
        let pulled = |v: usize| p[v] + tilt.pull * (f64::from(v == y) - p[v]);
        assert!(((0..12).map(pulled).sum::<f64>() - 1.0).abs() < 1e-12);
        for (v, target) in target.iter().enumerate() {
            assert!((pulled(v) - target).abs() < 1e-12, "seed {seed}, token {v}");
        }
        let kl: f64 = target.iter().zip(&p).map(|(t, p)| t * (t / p).ln()).sum();
        assert!((kl - tilt.divergence).abs() < 1e-10, "seed {seed}: {kl}");
        // A sign the other way round would be seen.
        let wrong = Tilt::new(p[y].ln(), -exponent);
        assert!(wrong.pull * tilt.pull < 0.0, "seed {seed}");
    }
}

#[test]
fn m01_the_tilt_has_the_known_divergences() {
    let known = [(0.01, 0.009, 0.99), (0.5, 0.60, 0.60), (0.9, 1.58, 0.10)];
    for (p, down, up) in known {
        let of = |reward: f64| Tilt::new(f64::ln(p), reward / 0.25).divergence;
        assert!((of(-1.0) - down).abs() < 0.006, "{p}: {}", of(-1.0));
        assert!((of(1.0) - up).abs() < 0.006, "{p}: {}", of(1.0));
    }
}

#[test]
fn m01_no_reward_and_no_pressure_make_no_step() {
    for scene in both_blocks(3, (40, 8), DIFFUSE) {
        for reward in [1e-9, -1e-9] {
            let solved =
                scene.look(scene.all(), reward, |p| p.solve(&scene.state.block).ok().unwrap());
            assert!(norm(&solved.step) < 1e-7, "{}", norm(&solved.step));
        }
        let full = scene.look(scene.all(), -1.0, |p| p.solve(&scene.state.block).ok().unwrap());
        assert!(norm(&full.step) > 1e-3);
    }
    // β → ∞ is r/β → 0.
    assert!(Tilt::new(-1.0, 1e-12).pull.abs() < 1e-12);
}

/// Σ_t w_t Jᵀ(diag(p) − p·pᵀ)J of an offset, written out, `[d][d]`.
fn explicit(scene: &Scene, problem: &Problem) -> Vec<Vec<f64>> {
    let (n, width) = (problem.policy.len(), scene.head.width());
    let ids: Vec<u32> = (0..n as u32 - 1).collect();
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for row in scene.head.rows(&ids).unwrap().chunks(width).chain([&scene.facts.mean_row[..]]) {
        rows.push(row.iter().map(|x| f64::from(*x)).collect());
    }
    let mut matrix = vec![vec![0.0; width]; width];
    for (p, w) in problem.policy.p.chunks(n).zip(&problem.lesson.credit) {
        for i in 0..width {
            for (j, cell) in matrix[i].iter_mut().enumerate() {
                let mean = |k: usize| -> f64 {
                    p.iter().zip(&rows).map(|(p, row)| f64::from(*p) * row[k]).sum()
                };
                let both: f64 = p.iter().zip(&rows).map(|(p, r)| f64::from(*p) * r[i] * r[j]).sum();
                *cell += w * (both - mean(i) * mean(j));
            }
        }
    }
    matrix
}

#[test]
fn m02_the_operator_is_the_explicit_matrix_and_its_trace_exact() {
    let scene = Scene::new(5, (40, 6), DIFFUSE);
    scene.look(scene.all(), -1.0, |problem| {
        let fisher = problem.fisher(&scene.state.block).unwrap();
        let matrix = explicit(&scene, problem);
        for number in 0..10 {
            let v = scene.probe(number);
            let expected: Vec<f64> = matrix.iter().map(|row| dot64(row, &v)).collect();
            assert!(gap(&fisher.curve(&v).unwrap(), &expected) < 1e-6);
            let damped: Vec<f64> =
                expected.iter().zip(&v).map(|(x, v)| x + fisher.lambda * v).collect();
            assert!(gap(&fisher.apply(&v).unwrap(), &damped) < 1e-6);
        }
        let trace: f64 = matrix.iter().enumerate().map(|(i, row)| row[i]).sum();
        let found = 6.0 * fisher.mean_diagonal(&scene.facts).unwrap();
        assert!((found / trace - 1.0).abs() < 1e-5, "{found} {trace}");
        assert!((fisher.lambda * 6.0 / trace - 1.0).abs() < 1e-5);
    });
}

#[test]
fn m02_the_operator_is_symmetric_and_has_no_negative_curvature() {
    for peak in [DIFFUSE, PEAKED] {
        for scene in both_blocks(6, (60, 8), peak) {
            let check = |problem: &Problem| {
                let fisher = problem.fisher(&scene.state.block).unwrap();
                let mut seen = 0.0;
                for number in 0..10 {
                    let (a, b) = (scene.probe(2 * number), scene.probe(2 * number + 1));
                    let (fa, fb) = (fisher.apply(&a).unwrap(), fisher.apply(&b).unwrap());
                    let scale = norm(&fa) * norm(&b);
                    assert!((dot64(&fa, &b) - dot64(&fb, &a)).abs() < 1e-6 * scale);
                    assert!(dot64(&a, &fisher.curve(&a).unwrap()) >= 0.0);
                    seen += dot64(&a, &fisher.curve(&a).unwrap()) / dot64(&a, &a) / 10.0;
                }
                // Random directions have the mean diagonal on average, whichever way it was found.
                assert!((fisher.lambda / seen - 1.0).abs() < 0.6, "{} {seen}", fisher.lambda);
            };
            scene.look(scene.all(), 1.0, check);
            scene.look(SupportRows::Whole(&scene.head), 1.0, check);
        }
    }
}

/// The objective with its ridge, by the exact change of scores.
fn objective(problem: &Problem, lambda: f64, step: &[f64]) -> f64 {
    let tilts = problem.tilts();
    let shift = problem.reach.exact(step, &problem.reach.columns(step).unwrap(), 1.0);
    problem.aim(&tilts, lambda).measure(&shift).distance + lambda / 2.0 * dot64(step, step)
}

/// The objective along a direction.
fn along(problem: &Problem, lambda: f64, (v, h): (&[f64], f64)) -> f64 {
    objective(problem, lambda, &v.iter().map(|x| h * x).collect::<Vec<_>>())
}

/// Compares the gradient with slopes along random directions, and sees one of the wrong sign.
fn check_gradient(scene: &Scene, problem: &Problem) {
    let fisher = problem.fisher(&scene.state.block).unwrap();
    let pulls: Vec<f64> = problem.tilts().iter().map(|tilt| tilt.pull).collect();
    let gradient = fisher.gradient(&pulls).unwrap();
    let mut wrong = 0f64;
    for number in 0..10 {
        let v = scene.probe(number);
        let v: Vec<f64> = v.iter().map(|x| x / norm(&v)).collect();
        let at = |h: f64| along(problem, fisher.lambda, (&v, h));
        let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
        let expected = dot64(&gradient, &v);
        assert!((slope + expected).abs() <= 1e-5, "{slope} {expected}");
        wrong = wrong.max((slope - expected).abs());
    }
    assert!(wrong > 1e-3, "a gradient of the wrong sign is not seen: {wrong}");
    let solved = problem.solve(&scene.state.block).ok().unwrap();
    assert!(dot64(&gradient, &solved.step) > 0.0);
}

#[test]
fn m03_the_gradient_is_the_finite_difference_slope() {
    for (reward, peak) in [(-1.0, DIFFUSE), (1.0, DIFFUSE), (-0.5, PEAKED), (1.0, PEAKED)] {
        for scene in both_blocks(7, (50, 8), peak) {
            scene.look(scene.all(), reward, |problem| check_gradient(&scene, problem));
        }
    }
}

#[test]
fn m03_the_operator_is_the_curvature_of_an_offsets_objective() {
    let scene = Scene::new(8, (50, 8), DIFFUSE);
    scene.look(scene.all(), -1.0, |problem| {
        let fisher = problem.fisher(&scene.state.block).unwrap();
        for number in 0..5 {
            let v = scene.probe(number);
            let at = |h: f64| along(problem, fisher.lambda, (&v, h));
            let second = (at(1e-3) - 2.0 * at(0.0) + at(-1e-3)) / 1e-6;
            let exact = dot64(&v, &fisher.apply(&v).unwrap());
            assert!((second / exact - 1.0).abs() < 1e-3, "{second} {exact}");
        }
    });
}

#[test]
fn m04_a_small_steps_change_of_the_answer_is_the_predicted_one() {
    for seed in 0..20 {
        for scene in both_blocks(seed, (80, 8), if seed % 2 == 0 { DIFFUSE } else { PEAKED }) {
            for reward in [-1.0, 1.0] {
                scene.look(scene.all(), reward, |problem| {
                    let solved = problem.solve(&scene.state.block).ok().unwrap();
                    let step: Vec<f64> = solved.step.iter().map(|x| x / 16.0).collect();
                    let tilts = problem.tilts();
                    let aim = problem.aim(&tilts, 0.0);
                    let predicted = aim.predicted_rise(&step).unwrap();
                    let shift =
                        problem.reach.exact(&step, &problem.reach.columns(&step).unwrap(), 1.0);
                    let measured = aim.measure(&shift).rise;
                    assert!((predicted / measured - 1.0).abs() < 0.2, "{predicted} {measured}");
                    assert_eq!(measured > 0.0, reward > 0.0);
                });
            }
        }
    }
}
