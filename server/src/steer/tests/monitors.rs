//! Monitors: every way to ask for what is not done, and what a good one comes to.

use super::{PROMPT, frame, put, read, resolve, served, server, told};
use crate::error::ApiError;
use crate::steer::{NoRepository, Setup};
use crate::wire::error::Code;
use crate::wire::vector::Check;
use serde_json::{Value, json};
use trimtab_steering::monitor::guard::Stream;
use trimtab_steering::spec::{GuidanceKind, MonitorSpec};

const AT: &str = "steering.monitor";

/// Reads a whole body, as a route does, and resolves it.
fn ask(monitor: &Value) -> Result<MonitorSpec, ApiError> {
    let body = json!({"steering": {"monitor": monitor}}).to_string();
    let check: Check = crate::wire::read(body.as_bytes())?;
    let resolved = server().now().resolve(Some(&check.steering), None, Some(&PROMPT))?;
    Ok(resolved.request.monitor.unwrap())
}

fn refused(monitor: &Value, code: Code, param: &str) {
    let refusal = match ask(monitor) {
        Err(refusal) => refusal,
        Ok(_) => panic!("{monitor} is accepted"),
    };
    let status = if code == Code::VectorNotFound { 404 } else { 400 };
    assert_eq!(told(&refusal), (status, code, param), "{monitor}: {}", refusal.message);
    assert!(refusal.message.contains(param), "{monitor}: {}", refusal.message);
}

fn text() -> Value {
    json!({"kind": "text", "any": ["no"]})
}

/// A good watch of a kind with these fields.
fn watch(kind: &str, more: Value) -> Value {
    let mut watch = match kind {
        "probe" => json!({"kind": "probe", "vector": "one", "above": 0.5}),
        "text" => text(),
        kind => json!({"kind": kind}),
    };
    for (key, value) in more.as_object().unwrap() {
        watch[key] = value.clone();
    }
    watch
}

#[test]
fn a_watch_out_of_range_is_named_with_its_field() {
    use Code::InvalidValue;
    for (kind, more, field) in [
        ("probe", json!({"patience": 0}), "patience"),
        ("probe", json!({"patience": 6}), "patience"),
        ("coot", json!({"patience": 6}), "patience"),
        ("probe", json!({"min_tokens": 65}), "min_tokens"),
        ("probe", json!({"every": 0}), "every"),
        ("text", json!({"every": 65}), "every"),
        ("probe", json!({"above": null}), "above"),
        ("probe", json!({"below": 1}), "below"),
        ("probe", json!({"vector": null}), "vector"),
        ("probe", json!({"site": "resid_post.0"}), "site"),
        ("probe", json!({"vector": "calm"}), "site"),
        ("probe", json!({"above": 1e39}), "above"),
        ("text", json!({"any": []}), "any"),
        ("text", json!({"any": ["a", ""]}), "any[1]"),
        ("text", json!({"any": ["x".repeat(257)]}), "any[0]"),
        ("text", json!({"any": vec!["x"; 65]}), "any"),
        ("text", json!({"regex": vec!["x"; 17]}), "regex"),
        ("text", json!({"regex": [""]}), "regex[0]"),
        ("coot", json!({"margin": 5.1}), "margin"),
        ("coot", json!({"margin": -0.1}), "margin"),
        ("coot", json!({"cadence": 0}), "cadence"),
        ("coot", json!({"cadence": 65}), "cadence"),
        ("coot", json!({"cadence": 5_000_000_000_u64}), "cadence"),
        ("coot", json!({"cadence": "word"}), "cadence"),
        ("coot", json!({"cadence": 1.5}), "cadence"),
        ("coot", json!({"perceiver": "scripted"}), "perceiver"),
        ("coot", json!({"guard": "strict"}), "guard"),
        ("text", json!({"then": "laugh"}), "then"),
        ("text", json!({"name": ""}), "name"),
        ("text", json!({"name": "a\nb"}), "name"),
        ("text", json!({"kind": "smell"}), "kind"),
    ] {
        let monitor = json!({"watch": [text(), watch(kind, more)]});
        refused(&monitor, InvalidValue, &format!("{AT}.watch[1].{field}"));
    }
}

#[test]
fn a_field_of_another_kind_is_refused_with_both_kinds() {
    for (kind, more, field, of) in [
        ("text", json!({"patience": 1}), "patience", "probe and coot"),
        ("text", json!({"vector": "one"}), "vector", "probe and cue"),
        ("coot", json!({"every": 1}), "every", "probe and text"),
        ("coot", json!({"site": "final"}), "site", "probe"),
        ("text", json!({"above": 1}), "above", "probe"),
        ("text", json!({"below": 1}), "below", "probe"),
        ("probe", json!({"any": ["a"]}), "any", "text"),
        ("probe", json!({"regex": ["a"]}), "regex", "text"),
        ("probe", json!({"perceiver": "scorer"}), "perceiver", "coot"),
        ("text", json!({"policy": "default"}), "policy", "coot"),
        ("text", json!({"guard": "mandatory"}), "guard", "coot"),
        ("text", json!({"cadence": 4}), "cadence", "coot"),
        ("text", json!({"margin": 1}), "margin", "coot"),
        ("text", json!({"max": 1}), "max", "cue"),
        ("text", json!({"window": 1}), "window", "geometry"),
        ("text", json!({"stride": 1}), "stride", "geometry"),
        ("text", json!({"quantile": 0.1}), "quantile", "geometry"),
    ] {
        let monitor = json!({"watch": [watch(kind, more)]});
        let refusal = ask(&monitor).unwrap_err();
        let told =
            format!("{AT}.watch[0].{field} belongs to {of}, and the watch is of kind {kind}");
        assert_eq!((refusal.code, refusal.message), (Code::InvalidValue, told));
    }
}

#[test]
fn the_rest_of_a_monitor_is_looked_at_too() {
    use Code::{InvalidValue, UnknownField};
    for (monitor, code, field) in [
        (json!({}), InvalidValue, "watch"),
        (json!({"watch": []}), InvalidValue, "watch"),
        (json!({"watch": vec![text(); 5]}), InvalidValue, "watch"),
        (json!({"watch": [text()], "combine": "none"}), InvalidValue, "combine"),
        (json!({"watch": [{"any": ["a"]}]}), InvalidValue, "watch[0].kind"),
        (json!({"watch": [{"kind": "text", "an": ["a"]}]}), UnknownField, "watch[0].an"),
        (json!({"watch": [text()], "rewinds": 1}), UnknownField, "rewinds"),
        (json!({"watch": [text()], "rewind": {"max": 11}}), InvalidValue, "rewind.max"),
        (
            json!({"watch": [text()], "rewind": {"max_discarded": 4097}}),
            InvalidValue,
            "rewind.max_discarded",
        ),
        (json!({"watch": [text()], "rewind": {"window": 3}}), InvalidValue, "rewind.window"),
        (
            json!({"watch": [text()], "rewind": {"to": "fixed", "window": 0}}),
            InvalidValue,
            "rewind.window",
        ),
        (
            json!({"watch": [text()], "rewind": {"to": "fixed", "tau": 0.1}}),
            InvalidValue,
            "rewind.tau",
        ),
        (
            json!({"watch": [text()], "rewind": {"to": "sharpness", "tau": 2.1}}),
            InvalidValue,
            "rewind.tau",
        ),
        (
            json!({"watch": [text()], "rewind": {"exclude_sink": true}}),
            InvalidValue,
            "rewind.exclude_sink",
        ),
        (json!({"watch": [text()], "rewind": {"to": "start"}}), InvalidValue, "rewind.to"),
    ] {
        refused(&monitor, code, &format!("{AT}.{field}"));
    }
}

#[test]
fn retries_endings_and_what_watches_name_are_looked_at_too() {
    use Code::{InvalidValue, UnsupportedField, VectorNotFound};
    let coot = json!({"kind": "coot"});
    for (monitor, code, field) in [
        (
            json!({"watch": [text()], "retry": {"guidance": "generated"}}),
            UnsupportedField,
            "retry.guidance",
        ),
        (
            json!({"watch": [text()], "retry": {"vectors": [{"id": "nose"}]}}),
            VectorNotFound,
            "retry.vectors[0].id",
        ),
        (
            json!({"watch": [text()], "retry": {"vectors": [{"id": "one", "scale": 99}]}}),
            Code::DoseExceeded,
            "retry.vectors[0].scale",
        ),
        (
            json!({"watch": [text()], "retry": {"vectors": [{"id": "sense"}]}}),
            Code::RoleRead,
            "retry.vectors[0].id",
        ),
        (json!({"watch": [text(), coot], "on_exhausted": "keep"}), InvalidValue, "on_exhausted"),
        (json!({"watch": [coot], "on_exhausted": "stop"}), InvalidValue, "on_exhausted"),
        (
            json!({"watch": [text()], "on_exhausted": "stop", "refusal": "no"}),
            InvalidValue,
            "refusal",
        ),
        (json!({"watch": [text()], "refusal": " "}), InvalidValue, "refusal"),
        (json!({"watch": [text()], "refusal": "x".repeat(2001)}), InvalidValue, "refusal"),
        (json!({"watch": [text()], "stream": "later"}), InvalidValue, "stream"),
        (
            json!({"watch": [watch("probe", json!({"vector": "nose"}))]}),
            VectorNotFound,
            "watch[0].vector",
        ),
        (
            json!({"watch": [watch("probe", json!({"site": "nowhere"}))]}),
            Code::SiteUnknown,
            "watch[0].site",
        ),
        (
            json!({"watch": [watch("probe", json!({"vector": "bare"}))]}),
            Code::AnchorMissing,
            "watch[0].vector",
        ),
        (
            json!({"watch": [watch("text", json!({"name": "a"})), watch("text", json!({"name": "a"}))]}),
            InvalidValue,
            "watch[1].name",
        ),
    ] {
        refused(&monitor, code, &format!("{AT}.{field}"));
    }
}

#[test]
fn a_monitor_comes_back_with_everything_filled_in_and_comes_to_the_same_again() {
    let monitor = json!({
        "watch": [text(), text(), watch("probe", json!({"vector": "sense", "patience": 3}))],
        "retry": {"vectors": [{"id": "out"}]}, "stream": "retract",
    });
    let settled = ask(&monitor).unwrap();
    let names: Vec<_> = settled.watch.iter().map(|watch| watch.name.clone().unwrap()).collect();
    assert_eq!(names, ["text", "text-2", "sense"]);
    assert_eq!(settled.stream, Some(Stream::Retract));
    assert_eq!(settled.refusal.as_deref(), Some("I can't help with that."));
    let retry = settled.retry.clone().unwrap();
    assert_eq!(retry.guidance, Some(GuidanceKind::None));
    assert!(retry.vectors.unwrap()[0].scale.is_some());
    let again = ask(&serde_json::to_value(&settled).unwrap()).unwrap();
    assert_eq!(again, settled);
}

#[test]
fn the_request_replaces_the_preset_and_that_the_default_as_a_whole() {
    let steering = served(frame(), Setup::default(), NoRepository);
    let named = |name: &str| json!({"watch": [{"kind": "text", "any": ["x"], "name": name}], "stream": "retract"});
    let settings = json!({
        "expected_version": 0,
        "default": {"monitor": named("of the default"), "vectors": [{"id": "one"}]},
        "presets": {"house": {"monitor": named("of the preset")}, "plain": {}},
    });
    put(&steering, &settings.to_string()).unwrap();
    let own = json!({"preset": "house", "monitor": named("own")}).to_string();
    for (text, name, stream) in [
        ("{}", "of the default", Stream::Hold),
        (r#"{"preset":"plain"}"#, "of the default", Stream::Hold),
        (r#"{"preset":"house"}"#, "of the preset", Stream::Hold),
        (own.as_str(), "own", Stream::Retract),
    ] {
        let resolved = resolve(&steering, text).unwrap();
        let monitor = resolved.request.monitor.unwrap();
        assert_eq!((monitor.watch.len(), monitor.watch[0].name.as_deref()), (1, Some(name)));
        // Only a client that asks for it is sent what may be taken back.
        assert_eq!(monitor.stream, Some(stream), "{text}");
        assert_eq!(resolved.lowered.applied.len(), 1);
    }
    assert!(resolve(&steering, r#"{"use_default":false}"#).unwrap().is_plain());
}

#[test]
fn a_locked_default_keeps_its_monitor() {
    let steering = server();
    let monitor = json!({"watch": [text()]});
    let settings = json!({"expected_version": 0, "default": {"monitor": monitor}, "locked": true});
    put(&steering, &settings.to_string()).unwrap();
    let asked = json!({"monitor": monitor}).to_string();
    let refusal = resolve(&steering, &asked).unwrap_err();
    assert_eq!(told(&refusal), (403, Code::DefaultLocked, "steering.monitor"));
    assert!(resolve(&steering, "{}").unwrap().request.monitor.is_some());
}

#[test]
fn settings_are_refused_for_their_monitors_and_hold_on_to_their_vectors() {
    let steering = server();
    let bad = json!({"expected_version": 0, "presets": {"p": {"monitor": {"watch": []}}}});
    let refusal = put(&steering, &bad.to_string()).unwrap_err();
    assert_eq!(told(&refusal), (400, Code::InvalidValue, "presets.p.monitor.watch"));
    let good = json!({"expected_version": 0, "presets": {"p": {"monitor": {
        "watch": [watch("probe", json!({}))], "retry": {"vectors": [{"id": "out"}]},
    }}}});
    put(&steering, &good.to_string()).unwrap();
    for id in ["one", "out"] {
        assert_eq!(steering.delete(id).unwrap_err().code, Code::InUse, "{id}");
    }
    steering.delete("turn").unwrap();
}

#[test]
fn the_vectors_of_a_retry_stand_behind_those_of_the_request() {
    let text = r#"{"vectors":[{"id":"one"}],"monitor":{"watch":[{"kind":"text","any":["x"]}],
        "retry":{"vectors":[{"id":"out","scale":0.5}]}}}"#;
    let resolved = server().now().resolve(Some(&read(text)), None, Some(&PROMPT)).unwrap();
    let retry = resolved.monitor.as_ref().unwrap().retry.as_ref().unwrap();
    let ids: Vec<&str> = retry.applied.iter().map(|vector| vector.id.as_str()).collect();
    assert_eq!(ids, ["one", "out"]);
    assert_eq!(resolved.lowered.applied.len(), 1);
    assert_ne!(retry.plan.fingerprint(), resolved.lowered.plan.fingerprint());
    let written = resolved.request.monitor.unwrap().retry.unwrap().vectors.unwrap();
    assert_eq!((written.len(), written[0].scale), (1, Some(0.5)));
}
