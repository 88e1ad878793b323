//! Labels that are believed one by one.

use super::*;
use crate::tpop::example::{examples, teaching};
use crate::tpop::reliability::{folds, labels};

fn params() -> TpopParams {
    TpopParams { noise: NoiseRule::Repo, ..TpopParams::default() }
}

fn believed(pairs: &[DuelPair]) -> Result<Vec<f64>, TpopError> {
    let recorded = recorded(pairs);
    let teaching = teaching(&recorded, &params());
    labels(&teaching, &examples(&teaching, &params()), WIDTH, &params())
}

fn turned(pair: &DuelPair) -> DuelPair {
    let judgement = match pair.judgement {
        PairLabel::A => PairLabel::B,
        _ => PairLabel::A,
    };
    DuelPair { judgement, ..pair.clone() }
}

#[test]
fn m12_repo_refuses_fewer_than_200_pairs() {
    let all = pairs(1, 200);
    assert!(believed(&all).is_ok());
    let what = "pairs for noise = repo";
    let refused = TpopError::TooFew { what, found: 199, least: LEAST_REPO_PAIRS };
    assert_eq!(believed(&all[..199]), Err(refused));
    let same = vec![all[0].clone(); 200];
    assert!(matches!(believed(&same), Err(TpopError::TooFew { found: 1, .. })));
}

#[test]
fn m12_no_fold_is_judged_by_a_fit_that_has_seen_it() {
    let all = pairs(2, 200);
    let folds = {
        let recorded = recorded(&all);
        folds(&teaching(&recorded, &params()))
    };
    assert!((0..5).all(|fold| folds.iter().filter(|f| **f == fold).count() > 30));
    // Every label of fold 0 is turned round: what is believed of its winners turns round with it and nothing else.
    let poison = |(pair, fold): (&DuelPair, &usize)| match fold {
        0 => turned(pair),
        _ => pair.clone(),
    };
    let poisoned: Vec<DuelPair> = all.iter().zip(&folds).map(poison).collect();
    let (clean, dirty) = (believed(&all).unwrap(), believed(&poisoned).unwrap());
    // p of the fits is seen through either winner: w = pη/(pη + (1 − p)(1 − η)).
    let odds_of_fit = |label: f64, judgement: PairLabel| {
        let odds = (label / (1.0 - label)).ln();
        let shift = (0.95f64 / 0.05).ln();
        if judgement == PairLabel::A { odds - shift } else { odds + shift }
    };
    let mut moved = 0.0f64;
    for (at, fold) in folds.iter().enumerate() {
        let before = odds_of_fit(clean[at], all[at].judgement);
        let after = odds_of_fit(dirty[at], poisoned[at].judgement);
        if *fold == 0 {
            assert!((before - after).abs() < 1e-6, "{before} {after}");
        } else {
            moved = moved.max((before - after).abs());
        }
    }
    // The control: the other folds' fits did see the poison.
    assert!(moved > 0.1, "{moved}");
}

#[test]
fn turned_labels_are_believed_less() {
    let mut all = pairs(3, 300);
    for pair in &mut all {
        // Labels without the noise of the choice, and one in six turned round.
        let taste = Taste::of(3);
        let a = taste.utility(&pair.features[0]) > taste.utility(&pair.features[1]);
        pair.judgement = if a { PairLabel::A } else { PairLabel::B };
        if pair.id.is_multiple_of(6) {
            *pair = turned(pair);
        }
    }
    let labels = believed(&all).unwrap();
    let of_winner = |(label, pair): (&f64, &DuelPair)| match pair.judgement {
        PairLabel::A => *label,
        _ => 1.0 - label,
    };
    let mean = |is_turned: bool| {
        let chosen = labels.iter().zip(&all).filter(|(_, p)| p.id.is_multiple_of(6) == is_turned);
        let all: Vec<f64> = chosen.map(of_winner).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    assert!(mean(false) > 0.95 && mean(true) < 0.85, "{} {}", mean(false), mean(true));
    let repo = taught_at_once(&all, params());
    let soft = taught_at_once(&all, TpopParams::default());
    let angle = |state: &TpopState| {
        let theta = state.head().weights();
        matrix::dot(theta, &Taste::of(3).theta) / state.head().norm() / 1.5
    };
    assert!(angle(&repo) >= angle(&soft) - 0.005, "{} {}", angle(&repo), angle(&soft));
}

fn taught_at_once(pairs: &[DuelPair], params: TpopParams) -> TpopState {
    let mut state = state_of(TpopParams::default());
    let log = crate::tpop::pair::PairLog::of(recorded(pairs), Default::default());
    state.log = log;
    state.reconfigured(params.check().unwrap()).unwrap()
}

#[test]
fn few_different_pairs_are_softened_alike_however_many_there_are() {
    // Three settings are three different pairs, whatever the number of duels.
    let (arms, mut taste) = (vectors(9, 3), Taste::of(9));
    let duels = (0..220u64).map(|id| {
        let [a, b] = [[0, 1], [1, 2], [0, 2]][id as usize % 3];
        let judgement = taste.prefers(&arms[a], &arms[b]);
        let answers = [a, b].map(|arm| [arm as u8; 32]);
        DuelPair { answers, ..pair(id, [&arms[a], &arms[b]], judgement) }
    });
    let all: Vec<DuelPair> = duels.collect();
    let start = taught_at_once(&all[..199], params());
    let repo = taught(start, all[199..].iter().cloned());
    let soft = taught_at_once(&all, TpopParams::default());
    assert_eq!(repo.taught(), 220);
    near(repo.head().weights(), soft.head().weights(), 1e-9);
}
