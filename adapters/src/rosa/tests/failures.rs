//! What teaches nothing: the parameters stay, and the journal says why.

use super::super::history::RosaHistory;
use super::super::journal::JournalOutcome;
use super::super::refusal::SkipReason;
use super::super::trace::{TokenOrigin, TraceReadout};
use super::*;

fn scene() -> Scene {
    Scene::new(51, (80, 8), 2.0)
}

/// Why an answer teaches nothing; `None` if it does.
fn refusal(scene: &Scene, trace: &AnswerTrace, judgement: &Judgement) -> Option<SkipReason> {
    let before = scene.state.clone();
    let update = scene.rosa.update(&scene.model(), &scene.state, trace, judgement).unwrap();
    assert_eq!(scene.state, before);
    assert_eq!(update.entry.trace, trace.id);
    match update.entry.outcome {
        JournalOutcome::Skipped { reason } => {
            assert!(update.state.is_none() && update.entry.delta.is_empty());
            Some(reason)
        }
        JournalOutcome::Applied { .. } | JournalOutcome::Rejected { .. } => None,
    }
}

#[test]
fn m12_numbers_that_are_not_finite_leave_the_parameters() {
    for scene in both_blocks(51, (80, 8), 2.0) {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut trace = scene.trace.clone();
            trace.states[3] = bad;
            if let Some(last) = &mut trace.last_block {
                last.resid_post[3] = bad;
            }
            let found = refusal(&scene, &trace, &Judgement::down());
            assert_eq!(found, Some(SkipReason::Breakdown), "{bad}");
        }
        let mut trace = scene.trace.clone();
        trace.lse[0] = f64::NAN;
        assert_eq!(refusal(&scene, &trace, &Judgement::down()), Some(SkipReason::Breakdown));
    }
}

#[test]
fn m12_a_readout_that_is_not_finite_leaves_the_parameters() {
    let scene = scene();
    let likeliest = vec![vec![(0, -1.0)]; 6];
    let readout =
        |entropy: f64| TraceReadout { likeliest: likeliest.clone(), entropy: vec![entropy; 6] };
    let of = |entropy| AnswerTrace { readout: Some(readout(entropy)), ..scene.trace.clone() };
    assert_eq!(refusal(&scene, &of(1.0), &Judgement::down()), None);
    for entropy in [f64::NAN, f64::INFINITY, 0.0] {
        let found = refusal(&scene, &of(entropy), &Judgement::down());
        assert_eq!(found, Some(SkipReason::NoCredit), "{entropy}");
    }
}

#[test]
fn m12_a_last_block_that_is_not_finite_is_a_breakdown() {
    let [_, scene] = both_blocks(52, (80, 8), 2.0);
    let mut trace = scene.trace.clone();
    trace.last_block.as_mut().unwrap().resid_mid[5] = f32::NAN;
    assert_eq!(refusal(&scene, &trace, &Judgement::down()), Some(SkipReason::Breakdown));
}

#[test]
fn m12_an_older_version_and_a_second_judgement_teach_nothing() {
    let mut scene = scene();
    let mut history = RosaHistory::default();
    let trace = scene.served();
    let learn = |scene: &Scene, history: &mut RosaHistory, trace: &AnswerTrace| {
        let (model, judgement) = (scene.model(), Judgement::down());
        scene.rosa.learn(history, &model, &scene.state, (trace, &judgement)).unwrap()
    };
    let update = learn(&scene, &mut history, &trace);
    scene.state = update.state.unwrap();
    let again = learn(&scene, &mut history, &trace);
    let reason = SkipReason::Repeated;
    assert_eq!((again.state, again.entry.outcome), (None, JournalOutcome::Skipped { reason }));
    let stale = AnswerTrace { id: "another".to_owned(), ..trace };
    let late = learn(&scene, &mut history, &stale);
    let reason = SkipReason::Stale;
    assert_eq!((late.state, late.entry.outcome), (None, JournalOutcome::Skipped { reason }));
    assert_eq!((history.updates(), scene.state.version), (1, 1));
}

#[test]
fn m12_what_is_no_judgement_of_the_model_is_an_error_and_not_a_skip() {
    let scene = scene();
    let refused = |trace: &AnswerTrace, judgement: &Judgement| {
        scene.rosa.update(&scene.model(), &scene.state, trace, judgement).is_err()
    };
    assert!(refused(&scene.trace, &Judgement::value(f64::NAN)));
    assert!(refused(&scene.trace, &Judgement::value(-1.5)));
    let short = AnswerTrace { lse: vec![0.0; 2], ..scene.trace.clone() };
    assert!(refused(&short, &Judgement::down()));
    let strange = AnswerTrace { tokens: vec![80; 6], ..scene.trace.clone() };
    assert!(refused(&strange, &Judgement::down()));
    let lora = RosaParams { block: BlockKind::LastMlpLora, ..open_params() }.check().unwrap();
    let found = lora.update(&scene.model(), &scene.state, &scene.trace, &Judgement::down());
    assert!(found.is_err());
}

#[test]
fn each_reason_not_to_learn_is_named() {
    let scene = Scene::with(53, (80, 8), 2.0, RosaParams::default());
    let of = |judgement: Judgement| refusal(&scene, &scene.trace, &judgement);
    assert_eq!(of(Judgement::up()), Some(SkipReason::SignNotAllowed));
    assert_eq!(of(Judgement::value(-0.2)), Some(SkipReason::SmallReward));
    let unsure = Judgement { confidence: 0.69, ..Judgement::down() };
    assert_eq!(of(unsure), Some(SkipReason::LowConfidence));
    let empty = AnswerTrace { id: "b".to_owned(), ..AnswerTrace::default() };
    assert_eq!(refusal(&scene, &empty, &Judgement::down()), Some(SkipReason::TooShort));
    let mut one = scene.trace.clone();
    one.tokens.truncate(1);
    one.lse.truncate(1);
    one.states.truncate(8);
    assert_eq!(refusal(&scene, &one, &Judgement::down()), Some(SkipReason::TooShort));
    let mut other = scene.trace.clone();
    other.lse.iter_mut().for_each(|lse| *lse += 0.02);
    assert_eq!(refusal(&scene, &other, &Judgement::down()), Some(SkipReason::TraceMismatch));
    let still = Scene::with(53, (80, 8), 2.0, RosaParams { eps_neg: 0.0, ..RosaParams::default() });
    assert_eq!(refusal(&still, &still.trace, &Judgement::down()), Some(SkipReason::NoStep));
}

#[test]
fn a_token_the_model_cannot_have_chosen_is_another_models_or_the_users() {
    let scene = Scene::new(54, (80, 8), 30.0);
    let mut trace = scene.trace.clone();
    let row = scene.head.scores(&trace.states[..8]).unwrap();
    let least = (0..80).min_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    assert!(f64::from(row[least]) - trace.lse[0] < -40.0);
    trace.tokens[0] = least as u32;
    let judgement = Judgement::up().about(Some(0..6));
    assert_eq!(refusal(&scene, &trace, &judgement), Some(SkipReason::TraceMismatch));
    trace.origin = TokenOrigin::Written;
    assert_eq!(refusal(&scene, &trace, &judgement), None);
    let only = Judgement::up().about(Some(0..1));
    assert_eq!(refusal(&scene, &trace, &only), Some(SkipReason::NoCredit));
}

#[test]
fn three_refusals_in_a_row_pause_a_conversation_and_the_cap_ends_it() {
    let params = RosaParams { canary_step: 1e-9, max_updates: 1, ..open_params() };
    let mut scene = Scene::with(55, (80, 8), 2.0, params);
    let mut history = RosaHistory::default();
    let learn = |scene: &Scene, id: usize, history: &mut RosaHistory| {
        let trace = AnswerTrace { id: id.to_string(), ..scene.served() };
        let (model, judgement) = (scene.model(), Judgement::down());
        let teaching = (&trace, &judgement);
        scene.rosa.learn(history, &model, &scene.state, teaching).unwrap().entry.outcome
    };
    for id in 0..3 {
        assert!(matches!(learn(&scene, id, &mut history), JournalOutcome::Rejected { .. }));
    }
    let reason = SkipReason::Paused;
    assert!(history.is_paused());
    assert_eq!(learn(&scene, 3, &mut history), JournalOutcome::Skipped { reason });
    history.resume();
    scene.rosa = RosaParams { max_updates: 1, ..open_params() }.check().unwrap();
    assert!(matches!(learn(&scene, 4, &mut history), JournalOutcome::Applied { .. }));
    let reason = SkipReason::UpdateCap;
    assert_eq!(learn(&scene, 5, &mut history), JournalOutcome::Skipped { reason });
    let kept = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<RosaHistory>(&kept).unwrap(), history);
}
