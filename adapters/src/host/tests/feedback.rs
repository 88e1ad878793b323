//! What is said, in every way it can be said, and what is refused.

use super::*;
use crate::rosa::{JournalOutcome, replay};

async fn desk() -> Desk {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &rosa(BlockKind::FinalOffset)).await;
    desk
}

fn remark(asked: &Asked, remark: Remark) -> Lesson {
    Lesson::Remark(asked.record.answer.clone(), remark)
}

#[tokio::test]
async fn the_same_again_is_the_stored_report_and_another_is_refused() {
    let desk = desk().await;
    let asked = desk.ask(&key("o"), "r", asked(1)).await;
    let first = desk.say(&asked, thumb_down()).await;
    assert!(!first.duplicate && first.status == FeedbackStatus::Applied, "{first:?}");
    let again = desk.say(&asked, thumb_down()).await;
    assert_eq!(again, FeedbackReport { duplicate: true, ..first.clone() });
    let other = desk.host.teach("o", remark(&asked, thumb_up())).await;
    assert_eq!(code(other), "feedback_exists");
    // Nothing of it is another owner's to say or to hear.
    for said in [thumb_down(), thumb_up()] {
        assert_eq!(code(desk.host.teach("other", remark(&asked, said)).await), "trace_not_found");
    }
    assert_eq!(desk.host.adapter(&key("o")).await.unwrap().version, 1);
}

#[tokio::test]
async fn numbers_out_of_range_and_spans_outside_are_refused_and_change_nothing() {
    let desk = desk().await;
    let asked = desk.ask(&key("o"), "r", asked(1)).await;
    let tokens = asked.record.recording.tokens.len();
    let reward = |reward: f64| Remark::Reward { reward, confidence: 1.0, span: None };
    let span = |span: std::ops::Range<usize>| Remark::Reward {
        reward: -1.0,
        confidence: 1.0,
        span: Some(span),
    };
    let unsure = Remark::Reward { reward: -1.0, confidence: f64::NAN, span: None };
    let bad = [
        reward(f64::NAN),
        reward(f64::INFINITY),
        reward(-1.5),
        unsure,
        span(0..tokens + 1),
        span(3..3),
        span(usize::MAX - 1..usize::MAX),
        Remark::Edited(vec![tiny::VOCABULARY as u32]),
    ];
    for remark in bad {
        let refused =
            desk.host.teach("o", Lesson::Remark(asked.record.answer.clone(), remark)).await;
        assert_eq!(code(refused), "value_invalid");
    }
    let report = desk.say(&asked, span(1..3)).await;
    assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
}

#[tokio::test]
async fn what_teaches_nothing_says_why_and_leaves_room_for_what_does() {
    let desk = desk().await;
    let asked = desk.ask(&key("o"), "r", asked(1)).await;
    let typed = Remark::Text("What is the weather like?".into());
    let report = desk.say(&asked, typed.clone()).await;
    assert_eq!(
        (report.status, report.reason.as_deref()),
        (FeedbackStatus::Rejected, Some("no_rule"))
    );
    assert!(desk.say(&asked, typed).await.duplicate);
    let same = Remark::Edited(asked.record.recording.tokens.clone());
    assert_eq!(desk.say(&asked, same).await.reason.as_deref(), Some("no_change"));
    let report = desk.say(&asked, Remark::Text("No, that's wrong.".into())).await;
    assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
    let versions = desk.host.versions(&key("o")).await.unwrap();
    let said = versions[0].said.clone().unwrap();
    assert_eq!((&said["source"], &said["reward"]), (&"text".into(), &(-1.0).into()));
    assert_eq!(versions[0].lesson.as_deref(), Some(report.id.as_str()));
    assert!(versions[0].kl.unwrap() > 0.0 && !versions[0].guards.is_empty());
}

#[tokio::test]
async fn an_edited_answer_makes_what_was_written_likelier() {
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        let desk = Desk::new().await;
        desk.adapter(&key("o"), &rosa(block)).await;
        let asked = desk.ask(&key("o"), "r", asked(1)).await;
        let mut tokens = asked.record.recording.tokens.clone();
        tokens[2] = (tokens[2] + 7) % 60;
        tokens[5] = (tokens[5] + 7) % 60;
        let report = desk.say(&asked, Remark::Edited(tokens)).await;
        assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
        assert!(report.step.unwrap().log_p_change > 0.0);
    }
}

#[tokio::test]
async fn an_answer_with_inserted_tokens_teaches_nothing() {
    let desk = desk().await;
    let mut asked = desk.ask(&key("o"), "r", asked(1)).await;
    asked.record.recording.inserted = 1;
    desk.host.record(asked.record.clone());
    let report = desk.say(&asked, thumb_down()).await;
    assert_eq!(report.reason.as_deref(), Some("inserted_tokens"));
}

#[tokio::test]
async fn a_preference_is_two_steps_of_one_version() {
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        let desk = Desk::new().await;
        desk.adapter(&key("o"), &rosa(block)).await;
        let a = desk.ask(&key("o"), "a", asked(1)).await;
        let b = desk.ask(&key("o"), "b", asked(2)).await;
        let [a, b] = [a, b].map(|asked| asked.record.answer);
        let prefer = |preferred: &AnswerRef, rejected: &AnswerRef| {
            let (preferred, rejected) = (preferred.clone(), rejected.clone());
            desk.host.teach("o", Lesson::Preference { preferred, rejected })
        };
        let report = prefer(&a, &b).await.unwrap();
        assert_eq!((report.status, report.adapter.version), (FeedbackStatus::Applied, 1));
        assert!(report.step.unwrap().log_p_change > 0.0, "{report:?}");
        assert!(prefer(&a, &b).await.unwrap().duplicate);
        assert_eq!(code(prefer(&b, &a).await), "feedback_exists");
        assert_eq!(code(prefer(&a, &a).await), "value_invalid");
        assert_eq!(desk.rosa_state(&key("o"), None).await.version, 1);
        // Both answers have been judged by it.
        let later = desk.host.teach("o", Lesson::Remark(a, thumb_down())).await.unwrap();
        assert!(matches!(later.reason.as_deref(), Some("repeated" | "stale")), "{later:?}");
    }
}

#[tokio::test]
async fn a_preference_takes_the_step_that_signs_allow() {
    let desk = Desk::new().await;
    let AdapterConfig::Rosa { params } = rosa(BlockKind::FinalOffset) else { return };
    let config = AdapterConfig::Rosa { params: RosaParams { signs: Signs::Negative, ..params } };
    desk.adapter(&key("o"), &config).await;
    let a = desk.ask(&key("o"), "a", asked(1)).await;
    let b = desk.ask(&key("o"), "b", asked(2)).await;
    let (preferred, rejected) = (a.record.answer, b.record.answer);
    let report = desk.host.teach("o", Lesson::Preference { preferred, rejected }).await.unwrap();
    assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
    let lessons = desk.store.lessons("o", "a").await.unwrap();
    let steps = super::super::shelf::steps(&lessons).unwrap();
    assert!(matches!(steps[0].outcome, JournalOutcome::Skipped { .. }));
    assert!(matches!(steps[1].outcome, JournalOutcome::Applied { version: 1 }));
}

#[tokio::test]
async fn texts_from_elsewhere_teach_the_newest_version_once() {
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        let desk = Desk::new().await;
        desk.adapter(&key("o"), &rosa(block)).await;
        let text = |tokens: &[u32]| ForeignAnswer { prompt: PROMPT.into(), tokens: tokens.into() };
        let lesson = |tokens: &[u32]| Lesson::ForeignRemark("a".into(), text(tokens), thumb_up());
        let report = desk.host.teach("o", lesson(&[5, 6, 7, 8])).await.unwrap();
        assert_eq!((report.status, report.adapter.version), (FeedbackStatus::Applied, 1));
        let again = desk.host.teach("o", lesson(&[5, 6, 7, 8])).await.unwrap();
        assert!(again.duplicate);
        let pair = |winner: &[u32], loser: &[u32]| Lesson::ForeignPreference {
            adapter: "a".into(),
            winner: text(winner),
            loser: text(loser),
        };
        let report = desk.host.teach("o", pair(&[9, 9, 2], &[2, 3, 4])).await.unwrap();
        assert_eq!((report.status, report.adapter.version), (FeedbackStatus::Applied, 2));
        assert_eq!(code(desk.host.teach("o", lesson(&[])).await), "value_invalid");
        assert_eq!(code(desk.host.teach("o", lesson(&[64, 1])).await), "value_invalid");
        assert_eq!(code(desk.host.teach("o", lesson(&[1; 2000])).await), "value_invalid");
        assert_eq!(code(desk.host.teach("other", lesson(&[1, 2])).await), "adapter_not_found");
    }
}

#[tokio::test]
async fn the_journal_makes_every_version_again() {
    let desk = desk().await;
    let start = desk.rosa_state(&key("o"), None).await;
    for turn in 0..4 {
        let asked = desk.ask(&key("o"), &format!("r{turn}"), asked(turn)).await;
        desk.say(&asked, thumb_down()).await;
    }
    let lessons = desk.store.lessons("o", "a").await.unwrap();
    let steps = super::super::shelf::steps(&lessons).unwrap();
    let applied = |entry: &&crate::rosa::JournalEntry| {
        matches!(entry.outcome, JournalOutcome::Applied { .. })
    };
    let newest = desk.rosa_state(&key("o"), None).await;
    assert_eq!(steps.iter().filter(applied).count() as u64, newest.version);
    assert_eq!(&replay(&start, &steps).unwrap(), newest.as_ref());
}

#[tokio::test]
async fn after_three_refusals_learning_pauses_until_something_is_taken_back() {
    let desk = Desk::new().await;
    let AdapterConfig::Rosa { params } = rosa(BlockKind::FinalOffset) else { return };
    let first = desk_with(&desk, "o", RosaParams { canary_step: 1e-9, ..params }).await;
    let mut reasons = Vec::new();
    for turn in 0..5 {
        let asked = desk.ask(&first, &format!("r{turn}"), asked(turn)).await;
        reasons.push(desk.say(&asked, thumb_down()).await.reason.unwrap());
    }
    let refused = "canary_step";
    assert_eq!(reasons, [refused, refused, refused, "paused", "paused"]);
    let paused = desk.host.adapter(&first).await.unwrap().paused;
    assert_eq!(paused.as_deref(), Some("paused"));
    // A restart reads the same out of the journal.
    let after = Desk::over(desk.model.clone(), desk.store.clone(), StateReader::Here);
    let asked = after.ask(&first, "r9", asked(9)).await;
    assert_eq!(after.say(&asked, thumb_down()).await.reason.as_deref(), Some("paused"));
    // Version 1 is the untaught state again; the limits are as they were, but they are asked again.
    assert_eq!(after.host.revert(&first, 0).await.unwrap().version, 1);
    assert_eq!(after.host.adapter(&first).await.unwrap().paused, None);
    let asked = after.ask(&first, "r10", super::asked(10)).await;
    assert_eq!(after.say(&asked, thumb_down()).await.reason.as_deref(), Some(refused));
}

async fn desk_with(desk: &Desk, owner: &str, params: RosaParams) -> AdapterKey {
    desk.adapter(&key(owner), &AdapterConfig::Rosa { params }).await;
    key(owner)
}

#[tokio::test]
async fn a_queued_lesson_is_waited_for_by_the_next_turn() {
    let desk = desk().await;
    let asked = desk.ask(&key("o"), "r", asked(1)).await;
    let report = desk.host.queue("o", remark(&asked, thumb_down())).await.unwrap();
    assert_eq!((report.status, report.adapter.version), (FeedbackStatus::Queued, 0));
    // The last answer took two seconds, so that the turn waits up to 200 ms.
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert!(pinned.version() == 1 || pinned.is_behind(), "{}", pinned.version());
    let stored = desk.say(&asked, thumb_down()).await;
    assert_eq!((stored.status, stored.id), (FeedbackStatus::Applied, report.id));
}
