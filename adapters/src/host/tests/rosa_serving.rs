//! ROSA in service: caches stay exact, rows stay apart, pins hold.

use super::*;
use trimtab_runtime::hook::Addition;
use trimtab_runtime::logits::Bias;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::site::Site;

const BLOCKS: [BlockKind; 2] = [BlockKind::FinalOffset, BlockKind::LastMlpLora];

/// A desk whose adapter was taught once.
async fn taught(block: BlockKind) -> (Desk, Asked) {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &rosa(block)).await;
    let asked = desk.ask(&key("o"), "r1", asked(1)).await;
    let report = desk.say(&asked, thumb_down()).await;
    assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
    (desk, asked)
}

fn session(desk: &Desk, plan: Plan, tokens: &[u32]) -> Session {
    let mut session = desk.model.session(plan).unwrap();
    session.push_prompt(tokens).unwrap();
    session
}

/// Logits of a conversation whose beginning was made under one plan and whose next turn under another, with the cache
/// kept, and those of a prefill of all of it under the second.
fn kept_and_fresh(desk: &Desk, old: &Plan, new: &Plan) -> [Vec<f32>; 2] {
    let turn = [7, 8, 2, 6];
    let mut kept = session(desk, old.clone(), &PROMPT);
    kept.run().unwrap();
    kept.replan(new.clone(), History::Keep).unwrap();
    kept.push_prompt(&turn).unwrap();
    let mut fresh = session(desk, new.clone(), &[&PROMPT[..], &turn[..]].concat());
    [kept.run().unwrap().logits.concat(), fresh.run().unwrap().logits.concat()]
}

fn gap([a, b]: &[Vec<f32>; 2]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn answers_that_may_be_judged_list_likely_tokens_and_others_do_not() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &rosa(BlockKind::FinalOffset)).await;
    let learning = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    let frozen = desk.host.pin(&key("o"), &PinRequest::NewestFrozen).await.unwrap();
    let of = |pinned: &PinnedAdapter, request| pinned.request(request).top_logprobs;
    let most = RosaParams::default().top_k;
    assert_eq!(of(&learning, Request::default()), most);
    let more = Request { top_logprobs: most + 3, ..Request::default() };
    assert_eq!(of(&learning, more), most + 3);
    assert_eq!(of(&frozen, Request::default()), 0);
    let bias = Bias::new([(1, 2.0)]).unwrap();
    let edited = Request { processors: vec![Arc::new(bias)], ..Request::default() };
    assert_eq!(of(&learning, edited), 0);
}

#[tokio::test]
async fn m08_keys_and_values_stay_exact_under_a_new_version() {
    for block in BLOCKS {
        let (desk, asked) = taught(block).await;
        let newest = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
        assert_eq!((asked.pinned.version(), newest.version()), (0, 1));
        let old = asked.pinned.plan(&Plan::empty()).unwrap();
        let new = newest.plan(&Plan::empty()).unwrap();
        let both = kept_and_fresh(&desk, &old, &new);
        assert!(gap(&both) <= 1e-4, "{block:?}: {}", gap(&both));
        // The version does something: the comparison above is not of two plain answers.
        let plain = kept_and_fresh(&desk, &old, &old);
        assert!(gap(&[plain[1].clone(), both[1].clone()]) > 1e-3, "{block:?}");
    }
}

#[tokio::test]
async fn m08_a_vector_below_attention_fails_the_same_test() {
    let (desk, _) = taught(BlockKind::FinalOffset).await;
    let direction = (0..tiny::WIDTH).map(|at| (at as f32).sin()).collect();
    let middle = Site::ResidPost(tiny::LAYERS / 2);
    let push = Plan::of(Addition::new(middle, direction, 1.0).unwrap());
    let both = kept_and_fresh(&desk, &Plan::empty(), &push);
    assert!(gap(&both) > 1e-4, "{}", gap(&both));
}

/// Three turns with a thumb down after each; the tokens of all answers.
async fn conversation(desk: &Desk, owner: &str, turn: u64) -> Vec<u32> {
    let asked = desk.ask(&key(owner), &format!("{owner}-{turn}"), asked(turn)).await;
    desk.say(&asked, thumb_down()).await;
    asked.answer.tokens
}

#[tokio::test]
async fn m09_interleaved_conversations_equal_their_solo_runs() {
    for block in BLOCKS {
        let together = Desk::new().await;
        let owners = ["one", "two", "three"];
        for owner in owners {
            together.adapter(&key(owner), &rosa(block)).await;
        }
        let mut answers = vec![Vec::new(); owners.len()];
        for turn in 0..3 {
            for (owner, answers) in owners.iter().zip(&mut answers) {
                answers.push(conversation(&together, owner, turn).await);
            }
        }
        for (owner, answers) in owners.iter().zip(&answers) {
            let alone = Desk::new().await;
            alone.adapter(&key(owner), &rosa(block)).await;
            for turn in 0..3 {
                assert_eq!(conversation(&alone, owner, turn).await, answers[turn as usize]);
            }
            let key = key(owner);
            let [a, b] =
                [together.rosa_state(&key, None).await, alone.rosa_state(&key, None).await];
            assert!(a == b && a.version > 0, "{block:?} {owner}");
        }
    }
}

#[tokio::test]
async fn m09_a_row_that_was_never_taught_equals_the_base_in_a_mixed_batch() {
    for block in BLOCKS {
        let (desk, engine) = Desk::served(model(), Store::memory().await.unwrap(), 4);
        for owner in ["taught", "new"] {
            desk.adapter(&key(owner), &rosa(block)).await;
        }
        let first = desk.ask(&key("taught"), "r", asked(1)).await;
        let report = desk.say(&first, thumb_down()).await;
        assert_eq!(report.status, FeedbackStatus::Applied);
        let mut pins = Vec::new();
        for owner in ["taught", "new"] {
            pins.push(desk.host.pin(&key(owner), &PinRequest::Newest).await.unwrap());
        }
        let rows = pins.iter().map(|pinned| desk.generation(pinned, asked(5)).0).collect();
        let answers = serve(&engine, rows);
        let mut session = desk.model.session(Plan::empty()).unwrap();
        session.push_prompt(&PROMPT).unwrap();
        let tokenizer = desk.model.tokenizer().unwrap().clone();
        let base = complete(Generation::new(session, tokenizer, asked(5)).unwrap()).unwrap();
        assert_eq!(answers[1].tokens, base.tokens, "{block:?}");
        let log_p = |answer: &Answer| -> Vec<f64> {
            answer.steps.iter().flatten().map(|step| step.log_sum_exp).collect()
        };
        assert_eq!(log_p(&answers[1]), log_p(&base), "{block:?}");
        assert_ne!(log_p(&answers[0]), log_p(&base), "{block:?}");
    }
}

#[tokio::test]
async fn m14_a_pinned_version_does_not_change_under_an_update() {
    for block in BLOCKS {
        let (desk, engine) = Desk::served(model(), Store::memory().await.unwrap(), 4);
        desk.adapter(&key("o"), &rosa(block)).await;
        let long = || Request { max_tokens: Some(400), ..asked(3) };
        let first = desk.ask(&key("o"), "r1", asked(1)).await;
        let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
        let alone = serve(&engine, vec![desk.generation(&pinned, long()).0]);
        let (generation, handle) = desk.generation(&pinned, long());
        let running = submit(&engine, vec![generation]);
        let report = desk.say(&first, thumb_down()).await;
        assert_eq!((report.status, report.adapter.version), (FeedbackStatus::Applied, 1));
        let during = wait(running);
        assert_eq!(during[0].tokens, alone[0].tokens, "{block:?}");
        assert_eq!(pinned.version(), 0);
        // What was said of it meanwhile is of the old version.
        desk.host.record(record(&pinned, "r2", handle.take()));
        let late = AnswerRef { response: "r2".into(), choice: 0 };
        let late = desk.host.teach("o", Lesson::Remark(late, thumb_down())).await.unwrap();
        assert_eq!(late.reason.as_deref(), Some("stale"));
        assert_eq!((late.status, late.adapter.version), (FeedbackStatus::Rejected, 1));
    }
}

#[tokio::test]
async fn a_thumb_moves_the_judged_answer_its_own_way() {
    for block in BLOCKS {
        for (remark, sign) in [(thumb_down(), -1.0), (thumb_up(), 1.0)] {
            let desk = Desk::new().await;
            desk.adapter(&key("o"), &rosa(block)).await;
            let asked = desk.ask(&key("o"), "r", asked(1)).await;
            let report = desk.say(&asked, remark).await;
            let step = report.step.unwrap();
            assert!(sign * step.log_p_change > 0.0, "{block:?} {sign}: {step:?}");
            assert!(step.kl <= step.kl_limit && step.norm > 0.0, "{step:?}");
            let names: Vec<_> = report.guards.iter().map(|guard| guard.name).collect();
            assert!(names.contains(&crate::rosa::GuardName::CanaryEntropy), "{names:?}");
            let summary = desk.host.adapter(&key("o")).await.unwrap();
            assert!(summary.version == 1 && (summary.norm - step.norm).abs() < 1e-12);
        }
    }
}

#[tokio::test]
async fn what_the_token_loop_read_off_teaches_the_same() {
    for block in BLOCKS {
        let mut states = Vec::new();
        for top_logprobs in [0, tiny::VOCABULARY] {
            let desk = Desk::new().await;
            desk.adapter(&key("o"), &rosa(block)).await;
            for turn in 0..2 {
                let request = Request { top_logprobs, ..asked(turn) };
                let asked = desk.ask(&key("o"), &format!("r{turn}"), request).await;
                let tokens = asked.record.recording.tokens.len();
                let listed = asked.record.recording.read_off(tokens, tiny::VOCABULARY);
                assert_eq!(listed.is_some(), top_logprobs > 0);
                let report = desk.say(&asked, thumb_down()).await;
                assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
            }
            states.push(desk.rosa_state(&key("o"), None).await);
        }
        let values = states.iter().map(|state| state.block.values());
        let [a, b] = values.collect::<Vec<_>>().try_into().unwrap();
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4), "{block:?}");
    }
}
