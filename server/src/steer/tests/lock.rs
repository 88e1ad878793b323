//! A locked default: what was tried against it, what an operator may still allow, and what is told of that.

use super::{TWO, adding, frame, put, resolve, served, server, told};
use crate::steer::{Access, NoRepository, Setup, Steering};
use crate::wire::error::Code;
use crate::wire::vector::{Check, UploadQuery};
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};

/// A locked default of `calm`, `deep` on the allow list, and a preset.
const LOCKED: &str = r#"{"expected_version":0,"locked":true,"allow":["deep"],
    "default":{"vectors":[{"id":"calm","scale":0.2}]},
    "presets":{"house":{"vectors":[{"id":"one","scale":0.1}]}}}"#;

fn locked() -> Steering {
    let setup = Setup { sources: Access::Open, inline: Access::Open, ..Setup::default() };
    let steering = served(frame(), setup, NoRepository);
    steering.upload("twin", adding(&TWO), &UploadQuery::default()).unwrap();
    put(&steering, LOCKED).unwrap();
    steering
}

/// What a request says, and the field at which it is refused.
const TRIED: [(&str, &str); 18] = [
    (r#"{"use_default":false}"#, "use_default"),
    (r#"{"preset":"house","use_default":false}"#, "use_default"),
    // The same vector the other way round, nothing of it, more of it, and all that can be done with its direction.
    (r#"{"vectors":[{"id":"calm","scale":-0.2}]}"#, "vectors[0].id"),
    (r#"{"vectors":[{"id":"calm","scale":0}]}"#, "vectors[0].id"),
    (r#"{"vectors":[{"id":"calm","coeff":0.2,"normalize":true}]}"#, "vectors[0].id"),
    (r#"{"vectors":[{"id":"calm","op":"project"}]}"#, "vectors[0].id"),
    (r#"{"vectors":[{"id":"calm","op":"clamp","max":0}]}"#, "vectors[0].id"),
    (r#"{"vectors":[{"id":"calm","op":"rotate","degrees":90}]}"#, "vectors[0].id"),
    (
        r#"{"vectors":[{"id":"calm","rescale":"keep_norm","apply":{"generation":"all"}}]}"#,
        "vectors[0].id",
    ),
    // The same file under another name, another file, and a file of the request's own.
    (r#"{"vectors":[{"id":"deep","scale":0.1},{"id":"twin","scale":-0.2}]}"#, "vectors[1].id"),
    (r#"{"vectors":[{"id":"nobody"}]}"#, "vectors[0].id"),
    (r#"{"vectors":[{"source":"file:x.safetensors"}]}"#, "vectors[0].source"),
    (r#"{"vectors":[{"inline":{"safetensors_b64":"AA==","sha256":"x"}}]}"#, "vectors[0].inline"),
    // What is allowed does what its file says.
    (r#"{"vectors":[{"id":"deep","op":"rotate","degrees":90}]}"#, "vectors[0].op"),
    (r#"{"vectors":[{"id":"deep","rescale":"keep_norm"}]}"#, "vectors[0].rescale"),
    // What it has learnt could push the other way.
    (r#"{"adapt":{"adapter":"mine"}}"#, "adapt"),
    // A monitor that always finds something, and what it says shall act behind the rewind.
    (
        r#"{"monitor":{"watch":[{"kind":"text","any":["e"]}],"retry":{"vectors":[{"id":"calm","scale":-0.2}]}}}"#,
        "monitor.retry.vectors[0].id",
    ),
    (
        r#"{"monitor":{"watch":[{"kind":"text","any":["e"]}],"retry":{"guidance":"vector"}}}"#,
        "monitor.retry.guidance",
    ),
];

#[test]
fn nothing_of_a_request_undoes_it() {
    let steering = locked();
    for (asked, field) in TRIED {
        let refusal = resolve(&steering, asked).unwrap_err();
        let field = format!("steering.{field}");
        assert_eq!(told(&refusal), (403, Code::DefaultLocked, field.as_str()), "{asked}");
        // A dry run and the name of a preset lead to the same door.
        let steering_object: crate::wire::steering::Steering = super::read(asked);
        let check = Check { steering: steering_object.clone() };
        assert_eq!(steering.check(&check).unwrap_err().code, Code::DefaultLocked, "{asked}");
        let by_model =
            steering.now().resolve(Some(&steering_object), Some("house"), Some(&super::PROMPT));
        assert_eq!(by_model.unwrap_err().code, Code::DefaultLocked, "{asked}");
    }
    let refusal = resolve(&steering, TRIED[2].0).unwrap_err();
    assert!(refusal.message.contains("\"calm\"") && refusal.message.contains("(deep)"));
}

#[test]
fn what_a_lock_leaves_is_there() {
    let steering = locked();
    let ids = |asked: &str| {
        let resolved = resolve(&steering, asked).unwrap();
        resolved.lowered.applied.iter().map(|vector| vector.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("{}"), ["calm"]);
    assert_eq!(ids(r#"{"use_default":true,"vectors":[],"preset":"house"}"#), ["calm", "one"]);
    assert_eq!(ids(r#"{"vectors":[{"id":"deep","op":"add","scale":-0.1}]}"#), ["calm", "deep"]);
    let watched = r#"{"monitor":{"watch":[{"kind":"text","any":["e"]}],"retry":{"vectors":[{"id":"deep"}]}}}"#;
    assert_eq!(ids(watched), ["calm"]);
    // A full receipt asks for its vectors without the default, which a locked server does not take from any request.
    let resolved = resolve(&steering, "{}").unwrap();
    let again =
        steering.now().resolve(Some(&resolved.request), None, Some(&super::PROMPT)).unwrap_err();
    assert_eq!(told(&again), (403, Code::DefaultLocked, "steering.use_default"));
    // Without a lock all of it is there for every request.
    let open = server();
    put(&open, &LOCKED.replace("true", "false")).unwrap();
    assert!(resolve(&open, TRIED[2].0).is_ok() && resolve(&open, TRIED[0].0).is_ok());
}

#[test]
fn what_is_on_the_list_stays_and_is_registered() {
    let steering = locked();
    let refusal = steering.delete("deep").unwrap_err();
    assert_eq!(told(&refusal), (409, Code::InUse, "id"));
    let unknown = r#"{"expected_version":1,"locked":true,"allow":["deep","nobody"]}"#;
    let refusal = put(&steering, unknown).unwrap_err();
    assert_eq!(told(&refusal), (404, Code::VectorNotFound, "allow[1]"));
    assert_eq!(steering.settings().allow, ["deep"]);
}

#[test]
fn an_operator_is_told_what_weakens_a_lock() {
    let steering = locked();
    let locking = |version: u32, allow: &str| {
        let settings =
            LOCKED.replace(r#""expected_version":0"#, &format!(r#""expected_version":{version}"#));
        put(&steering, &settings.replace(r#"["deep"]"#, allow)).unwrap().warnings
    };
    let warnings = locking(1, r#"["deep"]"#);
    // All vectors of the tests begin with the same direction, wherever they act.
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("allow: vector deep overlaps calm"), "{warnings:?}");
    assert!(warnings[1].starts_with("presets.house: vector one overlaps calm"), "{warnings:?}");
    let warnings = locking(2, r#"["out","turn"]"#);
    assert!(warnings[0].contains("out is no plain addition (project)"), "{warnings:?}");
    assert!(warnings[1].contains("turn is no plain addition (rotate)"), "{warnings:?}");
    let open = r#"{"expected_version":3,"locked":false,"allow":["out"],"default":{"vectors":[{"id":"calm"}]}}"#;
    assert_eq!(put(&steering, open).unwrap().warnings, [""; 0]);
    let nothing = r#"{"expected_version":4,"locked":true}"#;
    assert!(put(&steering, nothing).unwrap().warnings[0].contains("no default"));
    assert!(resolve(&steering, TRIED[2].0).is_err());
    // Nothing of that is said to those who only read.
    assert_eq!(steering.settings().warnings, [""; 0]);
}

#[test]
fn a_prompt_with_a_tool_call_gives_a_locked_vector_no_rest() {
    let rests = |locked: bool| {
        let mut frame = frame();
        frame.template = "<tool_call>".to_owned();
        let steering = served(frame, Setup::default(), NoRepository);
        put(&steering, &LOCKED.replace("\"locked\":true", &format!("\"locked\":{locked}")))
            .unwrap();
        let vectors = resolve(&steering, "{}").unwrap().request.vectors.unwrap();
        vectors[0].pause_in.clone().unwrap().len()
    };
    assert_eq!((rests(false), rests(true)), (1, 0));
}

#[test]
fn nothing_a_request_brings_scales_a_locked_default_down() {
    for (locked, clamped) in [(true, false), (false, true)] {
        let dose = DoseLimit { policy: DosePolicy::Clamp, ..DoseLimit::default() };
        let steering = served(frame(), Setup { dose, ..Setup::default() }, NoRepository);
        let settings = LOCKED.replace("\"locked\":true", &format!("\"locked\":{locked}"));
        put(&steering, &settings).unwrap();
        let asked = r#"{"vectors":[{"id":"deep","scale":50}]}"#;
        let resolved = resolve(&steering, asked).unwrap();
        assert!(resolved.warnings.contains(&"dose_clamped".to_owned()));
        let scale = |id: &str| resolved.lowered.applied.iter().find(|v| v.id == id).unwrap().scale;
        assert_eq!((scale("calm") < 0.2, scale("deep") < 50.0), (clamped, true), "{locked}");
    }
}
