//! From candidates to a duel.

use super::*;

fn turn(round: usize) -> DuelTurn {
    DuelTurn { round, since_asked: None }
}

fn duel(choice: TpopChoice) -> Duel {
    match choice {
        TpopChoice::Duel(duel) => *duel,
        alone => panic!("no duel: {alone:?}"),
    }
}

#[test]
fn m03_without_data_arm_a_is_the_plain_answer() {
    for second in [SecondRule::Ucb, SecondRule::Random, SecondRule::RunnerUp, SecondRule::Thompson]
    {
        for head in [HeadKind::Linear, HeadKind::Mlp] {
            let state = state_of(TpopParams { second, head, ..TpopParams::default() });
            for round in 0..20 {
                let features = vectors(round as u64, 4);
                let duel = duel(state.choose(turn(round), &candidates(&features)).unwrap());
                assert_eq!((duel.rows[0], duel.rewards[0]), (0, 0.0));
                assert_ne!(duel.rows[1], 0);
            }
        }
    }
}

#[test]
fn m02_u_is_monotone_in_nu() {
    // Arm b moves from the runner-up to the most informative as ν rises, and its u never falls.
    let pairs = pairs(1, 30);
    let features = vectors(77, 12);
    let bonus = |nu: f64| {
        let state = taught(state_of(TpopParams { nu, ..TpopParams::default() }), pairs.clone());
        let duel = duel(state.choose(turn(0), &candidates(&features)).unwrap());
        (duel.bonus, duel.rows[1])
    };
    let all: Vec<(f64, usize)> = [0.0, 0.1, 0.5, 1.0, 2.0, 5.0].map(bonus).to_vec();
    assert!(all.windows(2).all(|w| w[0].0 <= w[1].0 + 1e-12), "{all:?}");
    let params = TpopParams { second: SecondRule::RunnerUp, ..TpopParams::default() };
    let runner_up = taught(state_of(params), pairs.clone());
    let duel = duel(runner_up.choose(turn(0), &candidates(&features)).unwrap());
    assert_eq!(duel.rows[1], all[0].1);
    assert!(all[5].0 > all[0].0, "ν chose nothing else: {all:?}");
}

#[test]
fn m06_asking_changes_no_state() {
    let state = taught(state(), pairs(2, 15));
    let before = state.encode();
    for round in 0..50 {
        let features = vectors(round as u64, 5);
        state.choose(turn(round), &candidates(&features)).unwrap();
        state.bonus(&features[0], &features[1]);
        state.health();
    }
    assert_eq!(state.encode(), before);
}

#[test]
fn equal_answers_count_once() {
    let features = vectors(3, 3);
    let mut all = candidates(&features);
    all[1].answer = all[0].answer;
    let choice = duel(state().choose(turn(0), &all).unwrap());
    assert_eq!(choice.rows, [0, 2]);
    all[2].answer = all[0].answer;
    let alone = state().choose(turn(0), &all).unwrap();
    let why = NoDuel::OneCandidate;
    assert_eq!(alone, TpopChoice::Alone { row: 0, why, dropped: Vec::new() });
}

#[test]
fn candidates_that_are_not_finite_are_left_out() {
    let mut features = vectors(4, 4);
    features[0][1] = f32::NAN;
    features[2][0] = f32::INFINITY;
    let choice = duel(state().choose(turn(0), &candidates(&features)).unwrap());
    assert_eq!((choice.rows, choice.dropped), ([1, 3], vec![0, 2]));
    features[3][0] = f32::NAN;
    let TpopChoice::Alone { row, why, dropped } =
        state().choose(turn(0), &candidates(&features)).unwrap()
    else {
        panic!("a question about one answer");
    };
    assert_eq!((row, why, dropped), (1, NoDuel::OneCandidate, vec![0, 2, 3]));
    let short = vec![vec![0.0; WIDTH - 1]; 2];
    assert!(state().choose(turn(0), &candidates(&short)).is_err());
}

#[test]
fn both_orders_are_shown_and_rounds_draw_for_themselves() {
    let features = vectors(5, 4);
    let order = |round| duel(state().choose(turn(round), &candidates(&features)).unwrap()).order;
    let left = (0..400).filter(|round| order(*round) == DuelOrder::ALeft).count();
    assert!((160..240).contains(&left), "{left}");
    assert_eq!(order(3), order(3));
}

#[test]
fn after_the_budget_arm_a_is_served_alone() {
    let params = TpopParams { ask_budget: 10, ..TpopParams::default() };
    let state = taught(state_of(params), pairs(6, 10));
    let features = vectors(60, 4);
    let best = (0..4).max_by(|a, b| {
        let reward = |at: &usize| state.head().reward(&features[*at]);
        reward(a).total_cmp(&reward(b))
    });
    let asked = DuelTurn { round: 0, since_asked: Some(3) };
    let alone = state.choose(asked, &candidates(&features)).unwrap();
    let (row, why) = (best.unwrap(), NoDuel::NotWorthIt);
    assert_eq!(alone, TpopChoice::Alone { row, why, dropped: Vec::new() });
    let off = TpopParams { serve: ServeRule::Off, ..params }.check().unwrap();
    let plain = state.reconfigured(off).unwrap().choose(asked, &candidates(&features)).unwrap();
    assert_eq!(plain, TpopChoice::Alone { row: 0, why, dropped: Vec::new() });
    // A contrast like the first ones is worth a question once ten turns have passed.
    let rested = DuelTurn { round: 0, since_asked: Some(10) };
    assert!(matches!(state.choose(rested, &candidates(&features)), Ok(TpopChoice::Duel(_))));
}

#[test]
fn hasty_choices_weigh_nothing() {
    let features = vectors(7, 3);
    let duel = duel(state().choose(turn(0), &candidates(&features)).unwrap());
    let judged = |took_ms| {
        let at = JudgedAt { time_ms: 5, took_ms };
        duel.clone().judged(1, PairLabel::left(duel.order), at).weight
    };
    assert_eq!([judged(Some(299)), judged(Some(300)), judged(None)], [0.0, 1.0, 1.0]);
}

#[test]
fn settings_are_arms_too() {
    // A user that likes setting 2 best and setting 0 least.
    let table = vec![0.0, 0.0, 0.5, 0.2, 1.0, 0.1, 0.2, 0.9];
    for settings in
        [SettingFeatures::Categorical { settings: 4 }, SettingFeatures::Given { width: 2, table }]
    {
        let arms = ArmFeatures::of_settings(settings).unwrap();
        let config = TpopParams { ask_budget: 100, ..TpopParams::default() }.check().unwrap();
        let scope = TpopScope { config, extractor: *arms.id(), width: arms.width(), seed: 3 };
        let features: Vec<Vec<f32>> = (0..4).map(|at| arms.features(at, &[]).unwrap()).collect();
        let worth = [0.0, 1.0, 3.0, 1.5];
        let mut state = TpopState::new(scope).unwrap();
        for round in 0..30 {
            let duel = duel(state.choose(turn(round), &candidates(&features)).unwrap());
            let [a, b] = duel.rows;
            let judgement = if worth[a] > worth[b] { PairLabel::A } else { PairLabel::B };
            let at = JudgedAt { time_ms: 0, took_ms: None };
            state = state.learn(duel.judged(round as u64, judgement, at)).unwrap().state;
        }
        let last = duel(state.choose(turn(99), &candidates(&features)).unwrap());
        assert_eq!(last.rows[0], 2, "{:?}", state.head());
    }
}
