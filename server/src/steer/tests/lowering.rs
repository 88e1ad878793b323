//! What stays a constant addition, which costs next to nothing, and when a rest inside tool calls makes it a hook.

use super::{PROMPT, frame, read, resolve, served, server};
use crate::steer::{Facts, NoRepository, Resolved, Setup};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::testing::tiny;
use trimtab_steering::receipt::AnswerFacts;
use trimtab_steering::spec::SteeredModel;

fn is_free(resolved: &Resolved) -> bool {
    let spec = tiny::decoder().unwrap().spec().clone();
    resolved.lowered.plan.bind(&spec).unwrap().is_stateless()
}

#[test]
fn plain_additions_stay_free() {
    let steering = server();
    for (text, free) in [
        (r#"{"vectors":[{"id":"calm"}]}"#, true),
        (r#"{"vectors":[{"id":"calm","layers":[1],"scale":-0.5},{"id":"one","scale":0.2}]}"#, true),
        (r#"{"vectors":[{"id":"calm","apply":{"generation":"all"}}]}"#, true),
        (r#"{"vectors":[{"id":"calm","pause_in":[]}]}"#, true),
        (
            r#"{"vectors":[{"id":"calm","gate":{"kind":"always"},"rescale":"none","op":"add"}]}"#,
            true,
        ),
        (r#"{"vectors":[{"id":"calm","algorithm":"direct","normalize":true}]}"#, true),
        (r#"{"vectors":[{"id":"calm","pause_in":["tool_call"]}]}"#, false),
        (r#"{"vectors":[{"id":"calm","gate":{"kind":"decay","half_life":8}}]}"#, false),
        (r#"{"vectors":[{"id":"out"}]}"#, false),
    ] {
        assert_eq!(is_free(&resolve(&steering, text).unwrap()), free, "{text}");
    }
}

#[test]
fn the_rest_in_tool_calls_is_there_where_one_can_come() {
    let taught = SteeredModel { template: "{{ '<tool_call>' }}".to_owned(), ..frame() };
    let deaf = SteeredModel { tokenizer: None, ..taught.clone() };
    let text = r#"{"vectors":[{"id":"calm"}]}"#;
    let prompt_only = r#"{"vectors":[{"id":"calm","apply":{"prompt":"all"}}]}"#;
    let refused = r#"{"vectors":[{"id":"calm","pause_in":[]}]}"#;
    for (frame, text, free) in [
        (frame(), text, true),
        (taught.clone(), text, false),
        // An answer is not touched, or the rest was not wanted, or there is no text to read.
        (taught.clone(), prompt_only, true),
        (taught, refused, true),
        (deaf, text, true),
    ] {
        let steering = served(frame, Setup::default(), NoRepository);
        let resolved = resolve(&steering, text).unwrap();
        assert_eq!(is_free(&resolved), free, "{text}");
        let vectors = resolved.request.vectors.unwrap();
        assert_eq!(vectors[0].pause_in.as_ref().unwrap().is_empty(), free);
    }
}

#[test]
fn a_hook_at_two_sites_counts_each_by_itself() {
    let steering = server();
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    let text = r#"{"vectors":[{"id":"calm","apply":{"generation":"all"}},
        {"id":"calm","apply":{"generation_window":[1,null]},"gate":{"kind":"decay","half_life":2}},
        {"id":"calm","scale":0,"op":"clamp","max":1}]}"#;
    let resolved = resolve(&steering, text).unwrap();
    let mut session = Session::new(decoder, &pool, resolved.lowered.plan.clone()).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    session.prefill().unwrap();
    for token in [5, 6, 7] {
        session.advance(&[token]).unwrap();
    }
    let answer = AnswerFacts { fired: session.fired(), ..AnswerFacts::default() };
    let facts = Facts { answer, ..Facts::default() };
    let tokens: Vec<u64> = resolved.fired(&facts).map(|at| at.tokens).collect();
    assert_eq!(tokens, [3, 3, 2, 2, 0, 0]);
}

#[test]
fn the_plan_is_the_vectors_applied_by_hand() {
    use trimtab_runtime::hook::{Addition, Positions};
    let steering = server();
    let asked =
        read(r#"{"vectors":[{"id":"one","scale":0.25,"apply":{"prompt_positions":[-1]}}]}"#);
    let resolved = steering.now().resolve(Some(&asked), None, Some(&PROMPT)).unwrap();
    let mut row = vec![0.0; tiny::WIDTH];
    row[0] = 0.5;
    let site = trimtab_runtime::site::Site::ResidPost(1);
    let by_hand = Addition::new(site, row, 1.0).unwrap().at(Positions::PromptWindow(-1, None));
    let logits = |plan: Plan| {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(64).unwrap();
        let mut session = Session::new(decoder, &pool, plan).unwrap();
        session.push_prompt(&PROMPT).unwrap();
        session.advance(&[9]).unwrap().logits.remove(0)
    };
    assert_eq!(logits(resolved.lowered.plan), logits(Plan::of(by_hand)));
    assert_ne!(
        logits(Plan::empty()),
        logits(steering.now().resolve(Some(&asked), None, Some(&PROMPT)).unwrap().lowered.plan)
    );
}
