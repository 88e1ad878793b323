//! The toy: what learns comes closer to the optimum, and what must not learn does not.

use super::super::params::CreditMask;
use super::super::simulate::{ToyArm, ToyFeatures, ToyParams, ToyRun, ToyTurn, curve};
use super::*;

fn run(params: ToyParams, arms: &[ToyArm]) -> Vec<ToyRun> {
    params.check().unwrap().run(arms).unwrap()
}

/// The mean distance to the optimum after the last turn, and before the first.
fn ends(runs: &[ToyRun], arm: ToyArm) -> [f64; 2] {
    let curve = curve(runs, arm, |turn| turn.distance);
    [curve.last().unwrap()[0], curve[0][0]]
}

#[test]
fn the_update_nears_the_optimum_and_its_controls_do_not() {
    let arms = ToyArm::ALL;
    let runs = run(ToyParams::default(), &arms);
    let [rosa, start] = ends(&runs, ToyArm::Rosa);
    assert!(rosa < 0.9 * start, "{rosa} from {start}");
    for arm in [ToyArm::Still, ToyArm::Ban, ToyArm::Random, ToyArm::Shuffled, ToyArm::Inverted] {
        assert!(rosa < ends(&runs, arm)[0], "{arm:?}: {:?}", ends(&runs, arm));
    }
    assert_eq!(ends(&runs, ToyArm::Still), [start, start]);
    // The wrong way does harm.
    assert!(ends(&runs, ToyArm::Inverted)[0] > start);
    let liked = |arm| curve(&runs, arm, |turn| turn.preferred).last().unwrap()[0];
    assert!(liked(ToyArm::Rosa) > liked(ToyArm::Shuffled));
    assert!(liked(ToyArm::Rosa) > liked(ToyArm::Still));
    let repeats =
        |arm| curve(&runs, arm, |turn| f64::from(turn.repeated)).iter().map(|x| x[0]).sum::<f64>();
    assert_eq!(repeats(ToyArm::Ban), 0.0);
}

#[test]
fn features_that_say_nothing_and_flipped_judgements_teach_less() {
    let gain = |params: ToyParams| {
        let runs = run(params, &[ToyArm::Rosa]);
        let [last, first] = ends(&runs, ToyArm::Rosa);
        (first - last) / first
    };
    let whole = gain(ToyParams::default());
    let blind = gain(ToyParams { features: ToyFeatures::Blind, ..ToyParams::default() });
    let flipped = gain(ToyParams { flipped: 0.5, ..ToyParams::default() });
    assert!(whole > blind && whole > flipped, "{whole} {blind} {flipped}");
}

#[test]
fn credit_by_span_nears_the_optimum_too() {
    let base = ToyParams::default();
    let rosa = RosaParams { mask: CreditMask::AnswerSpan, ..base.rosa.clone() };
    let [last, first] = ends(&run(ToyParams { rosa, ..base }, &[ToyArm::Rosa]), ToyArm::Rosa);
    assert!(last < 0.9 * first, "{last} from {first}");
}

#[test]
fn a_run_is_made_again_by_its_seed_and_goes_to_a_file() {
    let params = ToyParams { turns: 4, seeds: 2, flipped: 0.3, ..ToyParams::default() };
    let arms = [ToyArm::Rosa, ToyArm::Gradient];
    let runs = run(params.clone(), &arms);
    assert_eq!(runs, run(params.clone(), &arms));
    assert_eq!(runs[3], params.check().unwrap().run_one(ToyArm::Gradient, 1).unwrap());
    for arm in ToyArm::ALL {
        assert_eq!(serde_json::to_string(&arm).unwrap(), format!("\"{}\"", arm.name()));
    }
    let text = serde_json::to_string(&runs).unwrap();
    let read: Vec<ToyRun> = serde_json::from_str(&text).unwrap();
    for (read, run) in read.iter().zip(&runs) {
        let close = |(a, b): (&ToyTurn, &ToyTurn)| {
            // JSON's numbers may come back with another last bit.
            (a.right, a.applied) == (b.right, b.applied) && (a.distance - b.distance).abs() < 1e-12
        };
        assert!(
            (read.arm, read.seed) == (run.arm, run.seed)
                && read.turns.iter().zip(&run.turns).all(close)
        );
    }
}

#[test]
fn toys_that_cannot_be_are_refused() {
    let base = ToyParams::default;
    for bad in [
        ToyParams { answers: 1, ..base() },
        ToyParams { preferred: 50, ..base() },
        ToyParams { turns: 0, ..base() },
        ToyParams { flipped: 1.5, ..base() },
        ToyParams { optimum_beta: 0.0, ..base() },
        ToyParams { rosa: RosaParams { block: BlockKind::LastMlpLora, ..open_params() }, ..base() },
    ] {
        assert!(bad.check().is_err());
    }
}
