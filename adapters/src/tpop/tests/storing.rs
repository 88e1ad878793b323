//! States as bytes, and users that do not disturb each other.

use super::*;
use crate::tpop::fit::fit;
use crate::tpop::pair::PairLog;

fn all_kinds() -> Vec<TpopParams> {
    let usual = TpopParams::default;
    vec![
        usual(),
        TpopParams { confidence: ConfidenceKind::Diag, ..usual() },
        TpopParams { head: HeadKind::Mlp, ..usual() },
        TpopParams { head: HeadKind::Mlp, confidence: ConfidenceKind::Diag, ..usual() },
        TpopParams { half_life: Some(7), ties: TieRule::Half, max_pairs: 20, ..usual() },
    ]
}

#[test]
fn m10_a_state_survives_its_bytes_and_goes_on_alike() {
    for params in all_kinds() {
        let n = if params.head == HeadKind::Mlp { 5 } else { 30 };
        let mut all = pairs(1, n + 1);
        all[1].judgement = PairLabel::Tie;
        all[2].prefixes = Some([vectors(5, 1).remove(0), vectors(6, 1).remove(0)]);
        let last = all.pop().unwrap();
        let state = taught(state_of(params), all);
        let back = TpopState::decode(&state.encode(), &EXTRACTOR, WIDTH).unwrap();
        assert_eq!(back.scope(), state.scope());
        near(back.head().weights(), state.head().weights(), 1e-9);
        near(&back.confidence().values(), &state.confidence().values(), 1e-9);
        near(&back.confidence().inverse(), &state.confidence().inverse(), 1e-9);
        let [x, y] = [back, state].map(|state| state.learn(last.clone()).unwrap().state);
        near(x.head().weights(), y.head().weights(), 1e-9);
        assert_eq!((x.version(), x.kappa()), (y.version(), y.kappa()));
        assert_eq!(x.health(), y.health());
    }
}

#[test]
fn m10_another_extractor_is_refused() {
    let bytes = taught(state(), pairs(2, 3)).encode();
    let refused = TpopState::decode(&bytes, &[4; 32], WIDTH).unwrap_err();
    assert!(matches!(refused, TpopError::OtherExtractor { .. }), "{refused}");
    assert!(TpopState::decode(&bytes, &EXTRACTOR, WIDTH).is_ok());
}

#[test]
fn m10_weights_that_do_not_follow_from_the_pairs_are_refused() {
    let state = taught(state(), pairs(3, 8));
    let tampered = |change: fn(&mut crate::tpop::fit::Fitted)| {
        let mut state = state.clone();
        let mut fitted = state.fitted.as_ref().clone();
        change(&mut fitted);
        state.fitted = Arc::new(fitted);
        TpopState::decode(&state.encode(), &EXTRACTOR, WIDTH)
    };
    let bad = [
        tampered(|fitted| fitted.taught.kappa += 1e-6),
        tampered(|fitted| fitted.taught.kappa = f64::NAN),
        tampered(|fitted| fitted.taught.pairs += 1),
        tampered(|fitted| fitted.confidence.observe(&[0.01; WIDTH], 1.0).unwrap()),
        tampered(|fitted| fitted.taught.head = RewardHead::Linear(vec![1.0; WIDTH])),
    ];
    for bad in bad {
        assert!(matches!(bad, Err(TpopError::NotReproduced { .. })), "{bad:?}");
    }
    assert!(tampered(|_| ()).is_ok());
}

#[test]
fn m10_damaged_bytes_are_refused() {
    let bytes = taught(state(), pairs(4, 3)).encode();
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(TpopState::decode(&damaged, &EXTRACTOR, WIDTH).is_err(), "blind at {at}");
        assert!(TpopState::decode(&bytes[..at], &EXTRACTOR, WIDTH).is_err());
    }
}

#[test]
fn a_full_state_of_65_features_is_below_400_kilobytes() {
    let config = TpopParams::default().check().unwrap();
    let scope = TpopScope { config, extractor: EXTRACTOR, width: 65, seed: 0 };
    let mut state = TpopState::new(scope).unwrap();
    let features: Vec<f32> = (0..65).map(|at| at as f32 / 65.0).collect();
    let full: Vec<DuelPair> =
        (0..500).map(|id| pair(id, [&features, &features], PairLabel::Skip)).collect();
    state.log = PairLog::of(recorded(&full), Default::default());
    let bytes = state.encode();
    println!("500 pairs of 65 features: {} bytes", bytes.len());
    assert!(bytes.len() <= 400_000, "{}", bytes.len());
}

#[test]
fn m09_users_and_conversations_interleaved_are_as_alone() {
    let scope = |seed| {
        let config = TpopParams { second: SecondRule::Thompson, ..TpopParams::default() };
        TpopScope { config: config.check().unwrap(), extractor: EXTRACTOR, width: WIDTH, seed }
    };
    let step = |state: &TpopState, taste: &mut Taste, round: usize| {
        let features = vectors(state.scope().seed * 1000 + round as u64, 4);
        let turn = DuelTurn { round, since_asked: None };
        let TpopChoice::Duel(duel) = state.choose(turn, &candidates(&features)).unwrap() else {
            panic!("no duel")
        };
        let judgement = taste.prefers(&duel.features[0], &duel.features[1]);
        let at = JudgedAt { time_ms: 0, took_ms: None };
        state.learn(duel.judged(round as u64, judgement, at)).unwrap().state
    };
    let alone = |seed| {
        let mut taste = Taste::of(seed);
        (0..20).fold(TpopState::new(scope(seed)).unwrap(), |s, round| step(&s, &mut taste, round))
    };
    let mut both = [1, 2].map(|seed| (TpopState::new(scope(seed)).unwrap(), Taste::of(seed)));
    for round in 0..20 {
        for (state, taste) in &mut both {
            *state = step(state, taste, round);
        }
    }
    let [(first, _), (second, _)] = both;
    assert_eq!(first.encode(), alone(1).encode());
    assert_eq!(second.encode(), alone(2).encode());
    assert_ne!(first.encode(), second.encode());
}

#[test]
fn m09_two_conversations_of_one_user_are_as_one_after_the_other() {
    let mut state = state();
    let mut running = [state.clone(), state.clone()];
    let mut judged = Vec::new();
    let mut taste = Taste::of(8);
    for round in 0..20 {
        // Each conversation asks by the version it started with; the user's state learns in the order of judgements.
        let conversation = &mut running[round % 2];
        let features = vectors(round as u64, 4);
        let turn = DuelTurn { round, since_asked: None };
        let choice = conversation.choose(turn, &candidates(&features)).unwrap();
        let TpopChoice::Duel(duel) = choice else { panic!("no duel") };
        let judgement = taste.prefers(&duel.features[0], &duel.features[1]);
        let at = JudgedAt { time_ms: 0, took_ms: None };
        let pair = duel.judged(round as u64, judgement, at);
        judged.push(pair.clone());
        state = state.learn(pair).unwrap().state;
        *conversation = state.clone();
    }
    assert_eq!(state.encode(), taught(super::state(), judged).encode());
}

#[test]
fn m09_a_running_answer_keeps_its_version() {
    let before = taught(state(), pairs(6, 10));
    let (running, bytes) = (before.clone(), before.encode());
    let after = taught(before, pairs(7, 20).into_iter().map(|p| DuelPair { id: p.id + 100, ..p }));
    assert_eq!((running.version(), after.version()), (10, 30));
    assert_eq!(running.encode(), bytes);
    assert_ne!(after.head(), running.head());
}

/// The refusal of a state that was changed before it was written.
fn refused(change: impl FnOnce(&mut TpopState)) -> TpopError {
    let mut state = taught(state(), pairs(3, 8));
    change(&mut state);
    TpopState::decode(&state.encode(), &EXTRACTOR, WIDTH).unwrap_err()
}

#[test]
fn m10_features_of_another_width_are_refused_before_a_matrix_is_made() {
    for width in [0, 1, WIDTH + 1, 100_000, 1 << 40, usize::MAX] {
        let mut bytes = state();
        bytes.scope.width = width;
        let bytes = bytes.encode();
        let found = TpopState::decode(&bytes, &EXTRACTOR, WIDTH);
        assert!(matches!(found, Err(TpopError::Width { .. })), "{width}: {found:?}");
        let asked = TpopState::decode(&bytes, &EXTRACTOR, width);
        assert!(asked.is_err(), "{width}: weights of another width were taken");
        let scope = TpopScope { width, ..*state().scope() };
        let made = TpopState::new(scope);
        assert_eq!(made.is_err(), !(1..=WIDEST_FEATURES).contains(&width), "{width}");
    }
}

#[test]
fn m10_numbers_that_no_state_has_are_refused() {
    let with_log = |state: &mut TpopState, change: fn(&mut Vec<Recorded>)| {
        let mut all = state.log.pairs().iter().map(|pair| pair.as_ref().clone()).collect();
        change(&mut all);
        state.log = PairLog::of(all.into_iter().map(Arc::new).collect(), Default::default());
        state.fitted =
            Arc::new(fit(state.scope.config.params(), WIDTH, state.log.pairs()).unwrap());
        state.recorded = state.log.pairs().len() as u64;
        state.version = state.recorded;
    };
    let bad = [
        refused(|state| state.contrasts[2] = f64::NAN),
        refused(|state| state.contrasts[2] = -1.0),
        refused(|state| state.contrasts.push(1.0)),
        refused(|state| state.contrasts.truncate(7)),
        refused(|state| state.recorded = 7),
        refused(|state| state.recorded = 9),
        refused(|state| state.version = 7),
        refused(|state| with_log(state, |all| all[1].margin = f64::NAN)),
        refused(|state| with_log(state, |all| all[1].pair.id = all[0].pair.id)),
        refused(|state| state.log = PairLog::of(state.log.pairs().to_vec(), [3].into())),
    ];
    for bad in bad {
        assert!(matches!(bad, TpopError::Unreadable { .. }), "{bad:?}");
    }
    let params = TpopParams { max_pairs: 20, ..TpopParams::default() };
    let mut full = taught(state(), pairs(3, 21));
    full.scope.config = params.check().unwrap();
    let full = TpopState::decode(&full.encode(), &EXTRACTOR, WIDTH);
    assert!(matches!(full, Err(TpopError::Unreadable { .. })), "{full:?}");
}

#[test]
fn m10_keys_come_back_bit_for_bit() {
    let mut stream = Stream::of(4, "keys", 0);
    for _ in 0..500 {
        let params = TpopParams {
            nu: 5.0 * stream.uniform(),
            lambda: 0.01 + 99.0 * stream.uniform(),
            eta: 0.55 + 0.45 * stream.uniform(),
            omega: 5.0 * stream.uniform(),
            kl_cap: 2.0 * stream.uniform(),
            ..TpopParams::default()
        };
        let state = state_of(params);
        let back = TpopState::decode(&state.encode(), &EXTRACTOR, WIDTH).unwrap();
        assert_eq!(back.scope(), state.scope());
    }
}

#[test]
fn a_pair_that_comes_again_teaches_nothing_even_when_it_was_dropped() {
    let params = TpopParams { max_pairs: 20, ..TpopParams::default() };
    let all = pairs(5, 30);
    let state = taught(state_of(params), all.clone());
    let back = TpopState::decode(&state.encode(), &EXTRACTOR, WIDTH).unwrap();
    for state in [state, back] {
        for pair in &all {
            let again = DuelPair { time_ms: 99, weight: 0.0, contrast: 7.0, ..pair.clone() };
            let learned = state.learn(again).unwrap();
            assert_eq!(learned.outcome, LearnOutcome::Repeated, "{}", pair.id);
            assert_eq!(learned.state, state);
        }
        let last = all[29].clone();
        let swapped = DuelPair { order: all[28].order, ..last.clone() };
        let turned = DuelPair { judgement: PairLabel::Tie, ..last };
        for other in [swapped, turned] {
            assert!(matches!(state.learn(other), Err(TpopError::PairExists { id: 29 })));
        }
    }
}
