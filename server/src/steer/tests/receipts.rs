//! The receipt's shape and numbers.

use super::{PROMPT, read, resolve, server};
use crate::steer::Facts;
use crate::wire::receipt::{Replay, ReplayableReceipt};
use trimtab_runtime::generate::Usage;
use trimtab_steering::receipt::AnswerFacts;

fn facts() -> Facts<'static> {
    let usage = Usage { forward_tokens: 20, monitor_tokens: 4, ..Usage::default() };
    let answer = AnswerFacts { seed: 42, usage, fired: &[24, 11], ..AnswerFacts::default() };
    Facts { request_id: "req-81c2", answer, prompt: &PROMPT, ..Facts::default() }
}

#[test]
fn a_summary_tells_what_acted_where() {
    let steering = server();
    let text = r#"{"vectors":[{"id":"calm","scale":0.8},{"id":"one","op":"project"}]}"#;
    let receipt = resolve(&steering, text).unwrap().receipt(&facts()).unwrap();
    let json = serde_json::to_value(&receipt).unwrap();
    assert_eq!(json["spec"], 1);
    assert_eq!(json["plan"].as_str().unwrap().len(), 16);
    assert_eq!(json["kv"].as_str().unwrap().len(), 16);
    assert_eq!(json["batch_invariant"], true);
    assert_eq!(json["template_sha256"], serde_json::Value::Null);
    let first = &json["vectors"][0];
    assert_eq!((&first["id"], &first["op"]), (&"calm".into(), &"add".into()));
    assert_eq!(first["sha256"].as_str().unwrap().len(), 64);
    let sites = first["sites"].as_array().unwrap();
    // 24 over two sites; a push of 0.8 · 2 in a stream of 10.
    assert_eq!((&sites[0]["site"], &sites[0]["tokens"]), (&"resid_post.0".into(), &12.into()));
    assert!((sites[1]["dose"].as_f64().unwrap() - 0.16).abs() < 1e-6);
    let second = &json["vectors"][1]["sites"][0];
    assert_eq!((&second["tokens"], second.get("dose")), (&11.into(), None));
    assert_eq!(json["cost"]["forward_tokens"], 20);
    assert_eq!(json["warnings"], serde_json::json!(["operation_overridden"]));
    assert!(json.get("request").is_none());
    let back: ReplayableReceipt = serde_json::from_value(json).unwrap();
    assert_eq!(back, receipt);
}

#[test]
fn a_full_one_holds_what_comes_to_the_same() {
    let steering = server();
    let text = r#"{"vectors":[{"id":"calm","scale":0.8}],"receipt":"full"}"#;
    let first = resolve(&steering, text).unwrap();
    let replay = Replay { steering: first.request.clone(), ..Replay::default() };
    let receipt = first.receipt(&Facts { replay: Some(&replay), ..facts() }).unwrap();
    let request = receipt.request.unwrap().steering;
    let again = steering.now().resolve(Some(&request), None, Some(&PROMPT)).unwrap();
    assert_eq!(again.lowered.plan.fingerprint(), first.lowered.plan.fingerprint());
    assert_eq!(again.receipt(&facts()).unwrap().summary.plan, receipt.summary.plan);
}

#[test]
fn a_plain_request_gets_none() {
    let steering = server();
    let receipt = |text: &str| resolve(&steering, text).unwrap().receipt(&facts());
    assert_eq!(steering.now().resolve(None, None, Some(&PROMPT)).unwrap().receipt(&facts()), None);
    assert_eq!(receipt("{}"), None);
    assert_eq!(receipt(r#"{"vectors":[{"id":"calm"}],"receipt":"none"}"#), None);
    assert!(receipt(r#"{"receipt":"full"}"#).unwrap().summary.vectors.is_empty());
}

#[test]
fn the_fingerprints_follow_the_scale() {
    let steering = server();
    let of = |scale: f32| {
        let asked = read(&format!(r#"{{"vectors":[{{"id":"calm","scale":{scale}}}]}}"#));
        let resolved = steering.now().resolve(Some(&asked), None, Some(&PROMPT)).unwrap();
        let receipt = resolved.receipt(&facts()).unwrap();
        (receipt.summary.plan, receipt.summary.kv)
    };
    assert_eq!(of(0.5), of(0.5));
    assert_ne!(of(0.5).0, of(0.6).0);
    assert_ne!(of(0.5).1, of(0.6).1);
}
