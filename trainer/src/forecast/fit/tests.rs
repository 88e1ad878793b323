//! Fits on small made-up chains.

use super::*;
use crate::forecast::beta_binomial::{BetaParams, Count, log_likelihood};
use crate::forecast::chain::TargetCell;
use crate::forecast::net::{ForecastShape, Forecaster};
use crate::forecast::pool::PoolScalars;
use crate::forecast::split::{ProblemSplit, SplitPart};
use crate::testing::Numbers;

const SHAPE: ForecastShape = ForecastShape { width: 6, heads: 2, hidden: 12, points: 3 };
const POSITIONS: usize = 12;

/// Whether states say something about the answers.
#[derive(Clone, Copy, PartialEq)]
enum Signal {
    /// At one position, which the first value marks; the second value is what rates depend on.
    Marked,
    /// Targets are those of another chain.
    Shuffled,
}

fn chain(problem: u64, numbers: &mut Numbers) -> FitChain {
    let mut states: Vec<f32> =
        (0..POSITIONS * SHAPE.width).map(|_| numbers.normal() as f32).collect();
    let at = numbers.between(0, POSITIONS / 2 - 1);
    let tilt = numbers.normal();
    for (position, state) in states.chunks_mut(SHAPE.width).enumerate() {
        state[0] = if position == at { 3.0 } else { -0.3 };
        if position == at {
            state[1] = 2.0 * tilt as f32;
        }
    }
    let prefix = |positions: usize, numbers: &mut Numbers| {
        let cell = |point: usize, numbers: &mut Numbers| {
            let rate = 1.0 / (1.0 + (-2.0 * tilt - 0.5 * point as f64).exp());
            let right = (0..4).filter(|_| numbers.uniform() < rate).count() as u32;
            TargetCell { point, count: Count { right, of: 4 } }
        };
        let cells = (0..3).map(|point| cell(point, numbers)).collect();
        FitPrefix { positions, scalars: PoolScalars::default(), cells }
    };
    let prefixes = [POSITIONS / 2, POSITIONS].map(|positions| prefix(positions, numbers)).to_vec();
    FitChain { problem, states, prefixes }
}

fn chains(problems: std::ops::Range<u64>, signal: Signal, seed: u64) -> Vec<FitChain> {
    let mut numbers = Numbers::of(seed);
    let mut all: Vec<FitChain> = problems.map(|problem| chain(problem, &mut numbers)).collect();
    if signal == Signal::Shuffled {
        let mut targets: Vec<_> = all.iter().map(|chain| chain.prefixes.clone()).collect();
        targets.rotate_left(1);
        all.iter_mut().zip(targets).for_each(|(chain, targets)| chain.prefixes = targets);
    }
    all
}

fn split() -> ProblemSplit {
    let ids: Vec<u64> = (0..1000).collect();
    ProblemSplit::load(&ids[..500], &ids[500..700], &ids[700..]).unwrap()
}

fn set(part: SplitPart, signal: Signal) -> FitSet {
    let problems = match part {
        SplitPart::Fit => 0..500,
        SplitPart::Calibrate => 500..700,
        SplitPart::Test => 700..1000,
    };
    FitSet::new(&split(), part, SHAPE, chains(problems, signal, part as u64)).unwrap()
}

fn quick() -> FitParams {
    FitParams { learning_rate: 0.01, batch: 40, epochs: 12, patience: 3, ..FitParams::default() }
}

fn begin(params: FitParams, fit: &FitSet, seed: u64) -> FitState {
    let mut numbers = Numbers::of(seed);
    FitState::new(params, fit, 256, &mut || numbers.uniform()).unwrap()
}

fn finish(mut state: FitState, fit: &FitSet, calibrate: &FitSet) -> FitState {
    while state.step(fit, calibrate).unwrap() == FitStatus::Running {}
    state
}

/// The loss of one Beta distribution for everything, the best on a grid.
fn constant_loss(set: &FitSet) -> f64 {
    let cells: Vec<Count> = set
        .chains()
        .iter()
        .flat_map(|chain| chain.prefixes.iter().flat_map(|prefix| prefix.cells.iter()))
        .map(|cell| cell.count)
        .collect();
    let loss = |mean: f64, sum: f64| {
        let params = BetaParams::of_mean(mean, sum);
        let all = cells.iter().map(|count| log_likelihood(*count, params).unwrap());
        -all.sum::<f64>() / cells.len() as f64
    };
    let means = (1..20).map(|i| f64::from(i) * 0.05);
    let all = means.flat_map(|mean| [0.5, 1.0, 2.0, 4.0, 8.0].map(|sum| loss(mean, sum)));
    all.fold(f64::INFINITY, f64::min)
}

#[test]
fn a_fit_learns_from_states_and_nothing_from_shuffled_targets() {
    let test = set(SplitPart::Test, Signal::Marked);
    let constant = constant_loss(&test);
    let fitted = |signal| {
        let (fit, calibrate) = (set(SplitPart::Fit, signal), set(SplitPart::Calibrate, signal));
        let state = finish(begin(quick(), &fit, 1), &fit, &calibrate);
        mean_loss(state.best().unwrap(), &test).unwrap()
    };
    let (learnt, shuffled) = (fitted(Signal::Marked), fitted(Signal::Shuffled));
    assert!(learnt < constant - 0.2, "{learnt} against {constant}");
    assert!(shuffled > constant - 0.03, "{shuffled} against {constant}");
}

#[test]
fn a_query_learns_to_look_at_the_marked_position() {
    let signal = Signal::Marked;
    let (fit, calibrate) = (set(SplitPart::Fit, signal), set(SplitPart::Calibrate, signal));
    let fitted = finish(begin(quick(), &fit, 1), &fit, &calibrate);
    // The mark is the first value of a state; first queries are within ±½.
    let marked = |of: &Forecaster<f64>| {
        let queries = of.weights().queries.chunks(SHAPE.width);
        queries.map(|query| query[0]).fold(f64::NEG_INFINITY, f64::max)
    };
    let found = marked(fitted.best().unwrap());
    assert!(found > 1.0, "{found}");
}

#[test]
fn an_interrupted_fit_continues_to_the_same_bits() {
    let (fit, calibrate) =
        (set(SplitPart::Fit, Signal::Marked), set(SplitPart::Calibrate, Signal::Marked));
    let params = FitParams { epochs: 2, ..quick() };
    let straight = finish(begin(params, &fit, 2), &fit, &calibrate);
    for stop in [1, 10, 25, 26, 40] {
        let mut state = begin(params, &fit, 2);
        for _ in 0..stop {
            state.step(&fit, &calibrate).unwrap();
        }
        let kept = state.clone();
        drop(state);
        assert_ne!(kept, straight);
        assert_eq!(finish(kept, &fit, &calibrate), straight, "{stop}");
    }
    assert_ne!(finish(begin(params, &fit, 3), &fit, &calibrate), straight);
}

#[test]
fn every_problem_weighs_the_same_however_many_chains_it_has() {
    let once = set(SplitPart::Fit, Signal::Marked);
    let mut chains = once.chains().to_vec();
    chains.extend(vec![once.chains()[7].clone(); 30]);
    let often = FitSet::new(&split(), SplitPart::Fit, SHAPE, chains).unwrap();
    let state = begin(quick(), &once, 4);
    let calibrate = set(SplitPart::Calibrate, Signal::Marked);
    let fitted = finish(state, &once, &calibrate);
    let [first, second] =
        [&once, &often].map(|set| mean_loss(fitted.best().unwrap(), set).unwrap());
    assert!((first - second).abs() < 1e-12, "{first} and {second}");
    assert_eq!(once.targets().map(f32_of), often.targets().map(f32_of));
    let total: f64 = often.chains().iter().map(|c| 6.0 * often.cell_weight(c.problem)).sum();
    assert!((total - 1.0).abs() < 1e-12);
}

fn f32_of(value: f64) -> f32 {
    value as f32
}

#[test]
fn the_best_epoch_is_kept_and_the_fit_ends_when_it_no_longer_improves() {
    // Targets without a signal: the loss on other problems rises as soon as chains are learnt by heart.
    let (fit, calibrate) =
        (set(SplitPart::Fit, Signal::Shuffled), set(SplitPart::Calibrate, Signal::Shuffled));
    let params = FitParams { learning_rate: 0.03, epochs: 30, patience: 2, ..quick() };
    let state = finish(begin(params, &fit, 5), &fit, &calibrate);
    assert_eq!(state.status(), FitStatus::Finished(FitEnd::EarlyStop));
    let losses: Vec<f64> = state.losses().iter().map(|of| of.calibrate).collect();
    let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[losses.len() - 3], lowest, "{losses:?}");
    assert_eq!(mean_loss(state.best().unwrap(), &calibrate).unwrap(), lowest);
    let mut after = state.clone();
    after.step(&fit, &calibrate).unwrap();
    assert_eq!(after, state);
    let params = FitParams { epochs: 2, patience: 5, ..params };
    let state = finish(begin(params, &fit, 5), &fit, &calibrate);
    assert_eq!(state.status(), FitStatus::Finished(FitEnd::Epochs));
}

#[test]
fn constant_targets_are_refused() {
    let with = |rate: &dyn Fn(u64) -> u32| {
        let mut chains = chains(0..500, Signal::Marked, 1);
        for chain in &mut chains {
            let right = rate(chain.problem);
            let cells = chain.prefixes.iter_mut().flat_map(|prefix| &mut prefix.cells);
            cells.for_each(|cell| cell.count = Count { right, of: 64 });
        }
        let set = FitSet::new(&split(), SplitPart::Fit, SHAPE, chains).unwrap();
        let mut numbers = Numbers::of(1);
        FitState::new(quick(), &set, 256, &mut || numbers.uniform()).map(|_| ())
    };
    let code = |rate: &dyn Fn(u64) -> u32| with(rate).unwrap_err().code();
    assert_eq!(code(&|_| 32), "constant_target");
    assert_eq!(code(&|problem| if problem % 50 == 0 { 64 } else { 0 }), "constant_target");
    assert_eq!(code(&|problem| if problem % 50 == 0 { 0 } else { 64 }), "constant_target");
    // A spread of 1/64 is too little, one of 2/64 is not.
    assert_eq!(code(&|problem| if problem % 2 == 0 { 31 } else { 33 }), "constant_target");
    assert_eq!(with(&|problem| if problem % 2 == 0 { 30 } else { 34 }), Ok(()));
}

#[test]
fn m10_a_set_holds_problems_of_its_part_only() {
    let mut chains = chains(0..500, Signal::Marked, 1);
    chains[3].problem = 700;
    let found = FitSet::new(&split(), SplitPart::Fit, SHAPE, chains).unwrap_err();
    assert_eq!(found.code(), "split_leaks");
    let (fit, calibrate) =
        (set(SplitPart::Fit, Signal::Marked), set(SplitPart::Calibrate, Signal::Marked));
    let mut uniform = || 0.5;
    assert!(FitState::new(quick(), &calibrate, 256, &mut uniform).is_err());
    let mut state = begin(quick(), &fit, 1);
    let before = state.clone();
    let test = set(SplitPart::Test, Signal::Marked);
    assert_eq!(state.step(&fit, &test).unwrap_err().code(), "split_leaks");
    assert_eq!(state.step(&fit, &fit).unwrap_err().code(), "split_leaks");
    assert_eq!(state, before);
}

#[test]
fn chains_that_do_not_fit_are_refused() {
    let good = chain(0, &mut Numbers::of(1));
    let refused = |change: &dyn Fn(&mut FitChain)| {
        let mut chain = good.clone();
        change(&mut chain);
        FitSet::new(&split(), SplitPart::Fit, SHAPE, vec![chain]).unwrap_err().code()
    };
    assert_eq!(refused(&|c| c.states.truncate(7)), "invalid_value");
    assert_eq!(refused(&|c| c.states[3] = f32::NAN), "not_finite");
    assert_eq!(refused(&|c| c.prefixes.clear()), "too_few");
    assert_eq!(refused(&|c| c.prefixes.reverse()), "invalid_value");
    assert_eq!(refused(&|c| c.prefixes[1].positions = 13), "invalid_value");
    assert_eq!(refused(&|c| c.prefixes[0].positions = 0), "invalid_value");
    assert_eq!(refused(&|c| c.prefixes[0].cells[0].point = 3), "invalid_value");
    assert_eq!(refused(&|c| c.prefixes[0].cells[0].count.right = 9), "invalid_value");
    assert_eq!(refused(&|c| c.prefixes[0].cells.clear()), "too_few");
    assert_eq!(refused(&|c| c.prefixes[0].scalars.last_entropy = f64::NAN), "not_finite");
    assert!(FitSet::new(&split(), SplitPart::Fit, SHAPE, vec![]).is_err());
    let set = set(SplitPart::Fit, Signal::Marked);
    for bad in [
        FitParams { learning_rate: 0.0, ..quick() },
        FitParams { decay: f64::NAN, ..quick() },
        FitParams { batch: 0, ..quick() },
        FitParams { epochs: 0, ..quick() },
        FitParams { patience: 0, ..quick() },
    ] {
        assert!(FitState::new(bad, &set, 256, &mut || 0.5).is_err());
    }
}

#[test]
fn a_fitted_forecaster_serves_in_f32() {
    let fit = set(SplitPart::Fit, Signal::Marked);
    let calibrate = set(SplitPart::Calibrate, Signal::Marked);
    let state = finish(begin(FitParams { epochs: 1, ..quick() }, &fit, 6), &fit, &calibrate);
    let weights = state.best().unwrap().weights().cast::<f32>();
    let served = Forecaster::new(SHAPE, weights, 256).unwrap();
    let mut pool = crate::forecast::pool::Pool::new(std::sync::Arc::new(served.queries().unwrap()));
    pool.read_prompt(&calibrate.chains()[0].states).unwrap();
    assert_eq!(served.forecast(&pool).unwrap().len(), SHAPE.points);
}
