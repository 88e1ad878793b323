//! Server default, preset and request together, and what a change does to what was resolved before it.

use super::{PROMPT, put, read, resolve, server, told};
use crate::wire::error::Code;
use trimtab_runtime::fingerprint::Fingerprint;

/// A default of `calm`, and presets of `one`, of `deep` without the default, and of nothing.
const SETTINGS: &str = r#"{"expected_version":0,
    "default":{"vectors":[{"id":"calm","scale":0.1}]},
    "presets":{"house":{"vectors":[{"id":"one","scale":0.2}],"receipt":"none"},
               "alone":{"vectors":[{"id":"deep","scale":0.3}],"use_default":false},
               "strict":{"conflict":"error"}}}"#;

fn order(resolved: &crate::steer::Resolved) -> Vec<(String, f32)> {
    resolved.lowered.applied.iter().map(|vector| (vector.id.clone(), vector.scale)).collect()
}

#[test]
fn default_then_preset_then_request() {
    let steering = server();
    put(&steering, SETTINGS).unwrap();
    let calm = ("calm", 0.1);
    let (one, deep) = (("one", 0.2), ("deep", 0.3));
    let (mine, last) = (("tail", 0.4), ("out", 1.0));
    let own = r#""vectors":[{"id":"tail","scale":0.4},{"id":"out"}]"#;
    for (asked, model, expected) in [
        (None, None, vec![calm]),
        (Some("{}".to_owned()), None, vec![calm]),
        (Some(format!("{{{own}}}")), None, vec![calm, mine, last]),
        (Some(format!(r#"{{{own},"use_default":false}}"#)), None, vec![mine, last]),
        (Some(format!(r#"{{{own},"preset":"house"}}"#)), None, vec![calm, one, mine, last]),
        (Some(format!(r#"{{{own},"preset":"alone"}}"#)), None, vec![deep, mine, last]),
        // What the request says outranks what the preset says.
        (Some(r#"{"preset":"alone","use_default":true}"#.to_owned()), None, vec![calm, deep]),
        (Some(r#"{"preset":"house","use_default":false}"#.to_owned()), None, vec![one]),
        (Some(r#"{"preset":"house"}"#.to_owned()), Some("house"), vec![calm, one]),
        (None, Some("house"), vec![calm, one]),
        (Some(format!("{{{own}}}")), Some("alone"), vec![deep, mine, last]),
        (Some(r#"{"use_default":false}"#.to_owned()), None, vec![]),
    ] {
        let asked_for = asked.as_deref().map(read);
        let resolved = steering.now().resolve(asked_for.as_ref(), model, Some(&PROMPT)).unwrap();
        let expected: Vec<(String, f32)> =
            expected.into_iter().map(|(id, scale)| (id.to_owned(), scale)).collect();
        assert_eq!(order(&resolved), expected, "{asked:?} {model:?}");
        assert_eq!(resolved.is_plain(), expected.is_empty());
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let steering = server();
    put(&steering, SETTINGS).unwrap();
    let other = read(r#"{"preset":"house"}"#);
    let refusal = steering.now().resolve(Some(&other), Some("alone"), Some(&PROMPT)).unwrap_err();
    assert_eq!(told(&refusal), (400, Code::InvalidValue, "steering.preset"));
    let refusal = resolve(&steering, r#"{"preset":"hose"}"#).unwrap_err();
    assert_eq!(told(&refusal), (400, Code::InvalidValue, "steering.preset"));
    assert!(refusal.message.contains("alone, house, strict"), "{}", refusal.message);
    let refusal = steering.now().resolve(None, Some("hose"), Some(&PROMPT)).unwrap_err();
    assert_eq!(told(&refusal), (400, Code::InvalidValue, "model"));
}

#[test]
fn a_locked_default_cannot_be_dropped() {
    let steering = server();
    let locked = r#"{"expected_version":0,"locked":true,"default":{"vectors":[{"id":"calm"}]}}"#;
    put(&steering, locked).unwrap();
    let refusal = resolve(&steering, r#"{"use_default":false}"#).unwrap_err();
    assert_eq!(told(&refusal), (403, Code::DefaultLocked, "steering.use_default"));
    assert!(resolve(&steering, r#"{"use_default":true}"#).is_ok());
}

#[test]
fn what_the_server_added_is_refused_in_its_name() {
    let steering = server();
    put(&steering, SETTINGS).unwrap();
    // 0.1 of the default and 0.2 of the preset are dose 0.06; the request is within its own limit and not beside them.
    let refusal = resolve(&steering, r#"{"preset":"strict","vectors":[{"id":"one"}]}"#);
    let refusal = refusal.unwrap_err();
    assert_eq!(told(&refusal), (400, Code::InvalidValue, "steering.vectors[0]"));
    assert!(refusal.message.contains("calm"), "{}", refusal.message);
    let far = r#"{"expected_version":1,"default":{"vectors":[
        {"id":"calm","scale":0.1,"apply":{"prompt_positions":[40]}}]}}"#;
    put(&steering, far).unwrap();
    let refusal = steering.now().resolve(None, None, Some(&PROMPT)).unwrap_err();
    assert_eq!(told(&refusal), (400, Code::EmptySelection, "steering"));
    assert!(refusal.message.starts_with("the server default: vectors[0].apply"));
}

#[test]
fn a_change_touches_only_what_is_resolved_after_it() {
    let steering = server();
    put(&steering, SETTINGS).unwrap();
    let before = steering.now().resolve(None, None, Some(&PROMPT)).unwrap();
    let fingerprint = before.lowered.plan.fingerprint();
    let changed = r#"{"expected_version":1,"default":{"vectors":[{"id":"one","scale":0.2}]}}"#;
    put(&steering, changed).unwrap();
    steering.delete("calm").unwrap();
    assert_eq!(before.lowered.plan.fingerprint(), fingerprint);
    assert_eq!(order(&before), [("calm".to_owned(), 0.1)]);
    let after = steering.now().resolve(None, None, Some(&PROMPT)).unwrap();
    assert_eq!(order(&after), [("one".to_owned(), 0.2)]);
    assert_ne!(after.lowered.plan.fingerprint(), fingerprint);
    // The old keys stay good for the old plan: nothing about them has changed.
    let kv = |resolved: &crate::steer::Resolved| resolved.lowered.plan.kv_fingerprint(0..12, 12, 3);
    assert_ne!(kv(&before), kv(&after));
}

#[test]
fn the_resolved_request_comes_to_the_same_plan() {
    let steering = server();
    put(&steering, SETTINGS).unwrap();
    let same = |text: &str, first: &Fingerprint| {
        let again = resolve(&steering, text).unwrap();
        assert_eq!(again.lowered.plan.fingerprint(), *first, "{text}");
        assert_eq!(serde_json::to_string(&again.request).unwrap(), text);
    };
    for text in [
        "{}",
        r#"{"preset":"house"}"#,
        r#"{"vectors":[{"id":"calm","coeff":-0.37,"layers":[1],"name":"x"},{"id":"one","strength":1e-3}]}"#,
        r#"{"vectors":[{"id":"out","scale":0.5,"rescale":"keep_norm","pause_in":["code","think"]}]}"#,
        r#"{"vectors":[{"id":"one","op":"clamp","min":0.25,"scale":0.5}]}"#,
        r#"{"vectors":[{"id":"turn","sites":["resid_post.1"],"degrees":7.5}]}"#,
        r#"{"vectors":[{"id":"one","gate":{"kind":"above","vector":"sense","threshold":0.6}}]}"#,
        r#"{"vectors":[{"id":"one","gate":{"kind":"decay","half_life":64}},
                       {"id":"deep","gate":{"kind":"warmup","tokens":8},"apply":{"generation":"all"}}]}"#,
        r#"{"vectors":[{"id":"calm","apply":{"prompt_window":[-5,null],"exclude_prompt_tokens":[14,3],
            "prompt_tokens":[11],"prompt_positions":[0,-1],"generation_window":[0,4],
            "generation_tokens":[5],"exclude_generation_positions":[2]}}]}"#,
        r#"{"vectors":[{"id":"calm","pause_in":["tool_call"]}],"conflict":"sequential","receipt":"full"}"#,
        r#"{"vectors":[{"id":"calm","scale":0}]}"#,
    ] {
        let first = resolve(&steering, text).unwrap();
        let written = serde_json::to_string(&first.request).unwrap();
        same(&written, &first.lowered.plan.fingerprint());
    }
}
