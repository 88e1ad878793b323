//! Every way to ask for what is not done: status, code and field.

use super::{Folder, PROMPT, adding, file, frame, put, resolve, served, server, told};
use crate::error::ApiError;
use crate::steer::{Access, NoRepository, Setup, Steering};
use crate::wire;
use crate::wire::error::Code;
use base64::Engine as _;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::file::card::{Card, Operation};
use trimtab_steering::file::sha256;
use trimtab_steering::spec::SteeredModel;

/// Reads a whole body, as a route does, and resolves it.
fn ask(steering: &Steering, text: &str) -> Result<crate::steer::Resolved, ApiError> {
    let body = format!(r#"{{"steering":{text}}}"#);
    let check: wire::vector::Check = wire::read(body.as_bytes())?;
    steering.now().resolve(Some(&check.steering), None, Some(&PROMPT))
}

fn refused(steering: &Steering, cases: &[(&str, u16, Code, &str)]) {
    for (text, status, code, param) in cases {
        let refusal = match ask(steering, text) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{text} is accepted"),
        };
        assert_eq!(told(&refusal), (*status, *code, *param), "{text}: {}", refusal.message);
        assert!(refusal.message.contains(param), "{text}: {}", refusal.message);
    }
}

#[test]
fn what_is_not_done_yet_is_refused_by_name() {
    use Code::UnsupportedField;
    refused(
        &server(),
        &[
            (r#"{"conflict":"priority"}"#, 400, UnsupportedField, "steering.conflict"),
            (
                r#"{"monitor":{"watch":[{"kind":"cue","vector":"one","max":2}]}}"#,
                400,
                UnsupportedField,
                "steering.monitor.watch[0].kind",
            ),
            (
                r#"{"monitor":{"watch":[{"kind":"geometry","window":64}]}}"#,
                400,
                UnsupportedField,
                "steering.monitor.watch[0].kind",
            ),
            (r#"{"ponder":{}}"#, 400, UnsupportedField, "steering.ponder"),
            (r#"{"forecast":3}"#, 400, UnsupportedField, "steering.forecast"),
        ],
    );
}

#[test]
fn an_adapter_that_cannot_be_names_its_field() {
    refused(
        &server(),
        &[
            (r#"{"adapt":{}}"#, 400, Code::InvalidValue, "steering.adapt.adapter"),
            (r#"{"adapt":{"adapter":"A b"}}"#, 400, Code::InvalidValue, "steering.adapt.adapter"),
            (
                r#"{"adapt":{"adapter":"a","version":-1}}"#,
                400,
                Code::InvalidValue,
                "steering.adapt.version",
            ),
            (
                r#"{"adapt":{"adapter":"a","versions":1}}"#,
                400,
                Code::UnknownField,
                "steering.adapt.versions",
            ),
            (
                r#"{"adapt":{"adapter":"a","create":{"method":"tpop","params":{"nuu":1}}}}"#,
                400,
                Code::UnknownField,
                "steering.adapt.create.params.nuu",
            ),
        ],
    );
}

#[test]
fn shapes_that_are_no_steering() {
    use Code::{InvalidValue, UnknownField};
    refused(
        &server(),
        &[
            (
                r#"{"vectors":[{"id":"calm","scal":1}]}"#,
                400,
                UnknownField,
                "steering.vectors[0].scal",
            ),
            (r#"{"vektors":[]}"#, 400, UnknownField, "steering.vektors"),
            (
                r#"{"vectors":[{"id":"calm","gate":{"kind":"always","at":1}}]}"#,
                400,
                UnknownField,
                "steering.vectors[0].gate.at",
            ),
            (
                r#"{"vectors":[{"id":"calm","apply":{"promt":"all"}}]}"#,
                400,
                UnknownField,
                "steering.vectors[0].apply.promt",
            ),
            (
                r#"{"vectors":[{"inline":{"floats":[1]}}]}"#,
                400,
                UnknownField,
                "steering.vectors[0].inline.floats",
            ),
            (r#"{"vectors":{}}"#, 400, InvalidValue, "steering.vectors"),
            (
                r#"{"vectors":[{"id":"calm","scale":"1"}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].scale",
            ),
            (
                r#"{"vectors":[{"id":"calm","layers":[-1]}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].layers[0]",
            ),
            (
                r#"{"vectors":[{"id":"calm","layers":[1.5]}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].layers[0]",
            ),
            (
                r#"{"vectors":[{"id":"calm","op":"multiply"}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].op",
            ),
            (
                r#"{"vectors":[{"id":"calm","apply":{"prompt":"some"}}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].apply.prompt",
            ),
            (
                r#"{"vectors":[{"id":"calm","apply":{"prompt_window":[1]}}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].apply.prompt_window",
            ),
            (
                r#"{"vectors":[{"id":"calm","gate":{}}]}"#,
                400,
                InvalidValue,
                "steering.vectors[0].gate.kind",
            ),
            (r#"{"use_default":1}"#, 400, InvalidValue, "steering.use_default"),
            (r#"{"receipt":"long"}"#, 400, InvalidValue, "steering.receipt"),
        ],
    );
}

#[test]
fn vectors_that_say_too_much_or_too_little() {
    use Code::{InvalidValue, UnsupportedField, VectorNotFound};
    let at = "steering.vectors[0]";
    let field = |name: &str| format!("{at}.{name}");
    for (text, status, code, param) in [
        (r#"{"scale":1}"#, 400, InvalidValue, at.to_owned()),
        (r#"{"id":"calm","source":"file:x"}"#, 400, InvalidValue, at.to_owned()),
        (r#"{"id":"clam"}"#, 404, VectorNotFound, field("id")),
        (r#"{"id":"calm","scale":1,"coeff":1}"#, 400, InvalidValue, field("coeff")),
        (r#"{"id":"calm","strength":1,"multiplier":1}"#, 400, InvalidValue, field("multiplier")),
        (r#"{"id":"calm","multiplier":1e39}"#, 400, InvalidValue, field("multiplier")),
        (r#"{"id":"calm","op":"add","algorithm":"direct"}"#, 400, InvalidValue, field("algorithm")),
        (r#"{"id":"calm","algorithm":"loreft"}"#, 400, UnsupportedField, field("algorithm")),
        (r#"{"id":"calm","normalize":false}"#, 400, InvalidValue, field("normalize")),
        (r#"{"id":"calm","name":"a\nb"}"#, 400, InvalidValue, field("name")),
        (r#"{"id":"calm","min":1}"#, 400, InvalidValue, field("min")),
        (r#"{"id":"calm","degrees":1}"#, 400, InvalidValue, field("degrees")),
        (r#"{"id":"calm","op":"rotate"}"#, 400, InvalidValue, field("degrees")),
        (r#"{"id":"calm","op":"rotate","degrees":270}"#, 400, InvalidValue, field("degrees")),
        (r#"{"id":"calm","op":"clamp"}"#, 400, InvalidValue, field("min")),
        (r#"{"id":"calm","op":"clamp","min":2,"max":1}"#, 400, InvalidValue, field("min")),
        (r#"{"id":"calm","op":"clamp","min":2,"scale":2}"#, 400, InvalidValue, field("scale")),
        (
            r#"{"id":"calm","layers":[0],"sites":["resid_post.0"]}"#,
            400,
            InvalidValue,
            field("layers"),
        ),
        (r#"{"id":"calm","layers":[]}"#, 400, InvalidValue, field("layers")),
        (r#"{"id":"calm","layers":[0,2]}"#, 400, Code::SiteNotInVector, field("layers[1]")),
        (r#"{"id":"calm","sites":["mlp_out.0"]}"#, 400, Code::SiteNotInVector, field("sites[0]")),
        (r#"{"id":"calm","sites":["resid_pre.1"]}"#, 400, Code::SiteUnknown, field("sites[0]")),
        (r#"{"id":"out","op":"add"}"#, 400, Code::OperationRefused, field("op")),
        (r#"{"id":"sense"}"#, 400, Code::RoleRead, field("id")),
        (r#"{"id":"bare","op":"clamp","max":1}"#, 400, Code::AnchorMissing, field("op")),
        (r#"{"id":"calm","scale":2.6}"#, 400, Code::DoseExceeded, field("scale")),
        (r#"{"id":"calm","scale":-1e30}"#, 400, Code::DoseExceeded, field("scale")),
        (r#"{"id":"calm","scale":2e38}"#, 400, InvalidValue, field("scale")),
        (r#"{"id":"out","scale":1000}"#, 400, InvalidValue, field("scale")),
        (r#"{"id":"out","scale":-0.5}"#, 400, InvalidValue, field("scale")),
        (r#"{"id":"calm","op":"project","scale":2.5}"#, 400, InvalidValue, field("scale")),
        (r#"{"id":"calm","op":"clamp","min":20}"#, 400, Code::DoseExceeded, field("scale")),
        (r#"{"id":"calm","op":"clamp","max":-9}"#, 400, Code::DoseExceeded, field("scale")),
        (r#"{"source":"file:calm.safetensors"}"#, 403, Code::SourceDisabled, field("source")),
        (
            r#"{"inline":{"safetensors_b64":"","sha256":""}}"#,
            403,
            Code::SourceDisabled,
            field("inline"),
        ),
    ] {
        refused(&server(), &[(&format!(r#"{{"vectors":[{text}]}}"#), status, code, &param)]);
    }
}

#[test]
fn scopes_that_cannot_act() {
    use Code::{EmptySelection, InvalidValue};
    let apply = |text: &str| format!(r#"{{"vectors":[{{"id":"calm","apply":{text}}}]}}"#);
    let long = format!(r#"{{"prompt_tokens":[{}1]}}"#, "1,".repeat(5000));
    let all = "steering.vectors[0].apply";
    for (text, code, param) in [
        (apply("{}"), EmptySelection, all.to_owned()),
        (apply(r#"{"exclude_prompt_tokens":[3]}"#), EmptySelection, all.to_owned()),
        (
            apply(r#"{"prompt":"all","exclude_generation_window":[0,4]}"#),
            EmptySelection,
            all.to_owned(),
        ),
        (apply(r#"{"prompt_positions":[12]}"#), EmptySelection, all.to_owned()),
        (apply(r#"{"prompt_window":[5,5]}"#), EmptySelection, all.to_owned()),
        (apply(r#"{"prompt_tokens":[60]}"#), EmptySelection, all.to_owned()),
        // Behind the end of the model's context.
        (apply(r#"{"generation_window":[1024,null]}"#), EmptySelection, all.to_owned()),
        (apply(r#"{"prompt_tokens":[]}"#), InvalidValue, format!("{all}.prompt_tokens")),
        (apply(&long), InvalidValue, format!("{all}.prompt_tokens")),
        (
            apply(r#"{"generation_positions":[-1]}"#),
            InvalidValue,
            format!("{all}.generation_positions"),
        ),
    ] {
        refused(&server(), &[(&text, 400, code, &param)]);
    }
    let warm = r#"{"vectors":[{"id":"tail","gate":{"kind":"warmup","tokens":4}}]}"#;
    refused(&server(), &[(warm, 400, EmptySelection, "steering.vectors[0].apply")]);
}

#[test]
fn gates_that_cannot_open() {
    use Code::{AnchorMissing, InvalidValue, VectorNotFound};
    for (text, status, code, field) in [
        (r#"{"kind":"above","threshold":1}"#, 400, InvalidValue, "gate.vector"),
        (r#"{"kind":"above","vector":"sense"}"#, 400, InvalidValue, "gate.threshold"),
        (r#"{"kind":"above","vector":"nose","threshold":1}"#, 404, VectorNotFound, "gate.vector"),
        (r#"{"kind":"above","vector":"calm","threshold":1}"#, 400, InvalidValue, "gate.site"),
        (
            r#"{"kind":"below","vector":"sense","site":"final","threshold":1}"#,
            400,
            InvalidValue,
            "gate.site",
        ),
        (r#"{"kind":"below","vector":"bare","threshold":1}"#, 400, AnchorMissing, "gate.vector"),
        (r#"{"kind":"above","vector":"deep","threshold":1}"#, 400, InvalidValue, "gate"),
        (r#"{"kind":"decay"}"#, 400, InvalidValue, "gate.half_life"),
        (r#"{"kind":"decay","half_life":0}"#, 400, InvalidValue, "gate.half_life"),
        (r#"{"kind":"decay","half_life":8,"tokens":1}"#, 400, InvalidValue, "gate.tokens"),
        (r#"{"kind":"warmup","tokens":0}"#, 400, InvalidValue, "gate.tokens"),
    ] {
        let text = format!(r#"{{"vectors":[{{"id":"calm","gate":{text}}}]}}"#);
        let param = format!("steering.vectors[0].{field}");
        refused(&server(), &[(&text, status, code, &param)]);
    }
}

#[test]
fn the_second_vector_is_named_by_its_number() {
    let steering = server();
    refused(
        &steering,
        &[
            (
                r#"{"vectors":[{"id":"calm"},{"id":"one","scale":9}]}"#,
                400,
                Code::DoseExceeded,
                "steering.vectors[1].scale",
            ),
            // Each is within its own limit; together they are not within the site's.
            (
                r#"{"vectors":[{"id":"one","scale":2.4},{"id":"one","scale":2.4},{"id":"one","scale":2.4}]}"#,
                400,
                Code::DoseExceeded,
                "steering.vectors",
            ),
        ],
    );
    let nine = [r#"{"id":"out"}"#; 9].join(",");
    refused(
        &steering,
        &[(&format!(r#"{{"vectors":[{nine}]}}"#), 400, Code::InvalidValue, "steering.vectors")],
    );
    assert!(
        ask(&steering, &format!(r#"{{"vectors":[{}]}}"#, [r#"{"id":"out"}"#; 8].join(","))).is_ok()
    );
}

#[test]
fn conflict_is_an_error_only_where_tokens_are_shared() {
    let steering = server();
    let pair = |one: &str, other: &str| {
        let text = format!(
            r#"{{"conflict":"error","vectors":[{{"id":"calm","apply":{one}}},{{"id":"one","apply":{other}}}]}}"#
        );
        ask(&steering, &text).map(drop).map_err(|e| told(&e).2.to_owned())
    };
    let second = Err("steering.vectors[1]".to_owned());
    for (one, other, shared) in [
        (r#"{"prompt":"all"}"#, r#"{"generation":"all"}"#, false),
        (r#"{"prompt":"all"}"#, r#"{"prompt_positions":[-1]}"#, true),
        (r#"{"prompt_window":[0,4]}"#, r#"{"prompt_window":[-4,null]}"#, false),
        (r#"{"prompt_window":[0,9]}"#, r#"{"prompt_window":[-4,null]}"#, true),
        (r#"{"prompt_tokens":[7]}"#, r#"{"prompt_positions":[0]}"#, true),
        (r#"{"prompt_tokens":[7]}"#, r#"{"prompt_positions":[1]}"#, false),
        (r#"{"generation_window":[0,4]}"#, r#"{"generation_window":[4,null]}"#, false),
        (r#"{"generation_window":[0,5]}"#, r#"{"generation_window":[4,null]}"#, true),
        (
            r#"{"generation_positions":[3]}"#,
            r#"{"generation":"all","exclude_generation_positions":[3]}"#,
            false,
        ),
        (
            r#"{"generation_positions":[3]}"#,
            r#"{"generation":"all","exclude_generation_positions":[2]}"#,
            true,
        ),
        (r#"{"generation_tokens":[3]}"#, r#"{"generation_positions":[2]}"#, true),
    ] {
        assert_eq!(pair(one, other), if shared { second.clone() } else { Ok(()) }, "{one} {other}");
        assert_eq!(pair(other, one), if shared { second.clone() } else { Ok(()) }, "{other} {one}");
    }
    // Other sites, and a vector that does nothing, are no conflict.
    let apart =
        r#"{"conflict":"error","vectors":[{"id":"calm"},{"id":"deep"},{"id":"one","scale":0}]}"#;
    assert!(ask(&steering, apart).is_ok());
    assert!(ask(&steering, r#"{"vectors":[{"id":"calm"},{"id":"one"}]}"#).is_ok());
}

#[test]
fn inline_vectors_are_held_to_size_hash_and_model() {
    let setup = Setup { inline: Access::Open, ..Setup::default() };
    let steering = served(frame(), setup, NoRepository);
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let of = |text: &str, hash: &str| {
        format!(r#"{{"vectors":[{{"inline":{{"safetensors_b64":"{text}","sha256":"{hash}"}}}}]}}"#)
    };
    let good = adding(&[Site::ResidPost(0)]);
    let resolved = ask(&steering, &of(&b64(&good), &sha256(&good))).unwrap();
    let registered = ask(&steering, r#"{"vectors":[{"id":"calm","layers":[0]}]}"#).unwrap();
    assert_eq!(resolved.lowered.plan.fingerprint(), registered.lowered.plan.fingerprint());
    let other = file(|card: &mut Card| card.model = None, Operation::Add, &[Site::ResidPost(0)]);
    let large = vec![0; (4 << 20) + 1];
    let field = |name: &str| format!("steering.vectors[0].inline{name}");
    for (text, status, code, param) in [
        (of("***", ""), 400, Code::InvalidValue, field(".safetensors_b64")),
        (of(&b64(&good), &sha256(b"")), 400, Code::ContentHashMismatch, field(".sha256")),
        (of(&b64(b"x"), &sha256(b"x")), 400, Code::NotAVectorFile, field("")),
        (of(&b64(&other), &sha256(&other)), 422, Code::ModelMismatch, field("")),
        (of(&b64(&large), &sha256(&large)), 413, Code::FileTooLarge, field(".safetensors_b64")),
    ] {
        refused(&steering, &[(&text, status, code, &param)]);
    }
}

#[test]
fn sources_are_read_where_that_is_allowed() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("calm.safetensors"), adding(&super::TWO)).unwrap();
    let root = Some(folder.0.clone());
    let open = Setup { sources: Access::Open, vector_root: root, ..Setup::default() };
    let steering = served(frame(), open, NoRepository);
    let source = |text: &str| format!(r#"{{"vectors":[{{"source":"{text}"}}]}}"#);
    let resolved = ask(&steering, &source("file:calm.safetensors")).unwrap();
    let again = resolve(&steering, &serde_json::to_string(&resolved.request).unwrap()).unwrap();
    assert_eq!(resolved.lowered.plan.fingerprint(), again.lowered.plan.fingerprint());
    let at = "steering.vectors[0].source";
    refused(
        &steering,
        &[
            (&source("file:other.safetensors"), 404, Code::VectorNotFound, at),
            (&source(&format!("file:{}/calm.safetensors", "..")), 400, Code::InvalidValue, at),
            (&source("hub:maker/repo/file@main"), 400, Code::UnsupportedField, at),
            (&source("https://example.org/x"), 400, Code::InvalidValue, at),
        ],
    );
}

#[test]
fn the_policy_says_what_a_dose_above_the_limit_is() {
    let of = |policy| {
        let dose = DoseLimit { policy, ..DoseLimit::default() };
        served(frame(), Setup { dose, ..Setup::default() }, NoRepository)
    };
    let text = r#"{"vectors":[{"id":"one","scale":5}],"receipt":"full"}"#;
    let clamped = ask(&of(DosePolicy::Clamp), text).unwrap();
    assert_eq!(clamped.warnings, ["dose_clamped"]);
    assert!((clamped.lowered.applied[0].scale - 2.5).abs() < 1e-4);
    // What is written is what was done.
    let written = serde_json::to_string(&clamped.request).unwrap();
    let again = resolve(&of(DosePolicy::Refuse), &written).unwrap();
    assert_eq!(again.lowered.plan.fingerprint(), clamped.lowered.plan.fingerprint());
    let warned = ask(&of(DosePolicy::Warn), text).unwrap();
    assert_eq!(
        (warned.lowered.applied[0].scale, warned.warnings),
        (5.0, vec!["dose_exceeded".to_owned()])
    );
    // Half of a diameter's worth of turning is a dose too, though the file's own operation is to add.
    let turned = r#"{"vectors":[{"id":"one","op":"rotate","degrees":90}]}"#;
    refused(
        &of(DosePolicy::Refuse),
        &[(turned, 400, Code::DoseExceeded, "steering.vectors[0].scale")],
    );
    // Without a length of the stream there is no dose to hold a vector to.
    let unmeasured = served(
        SteeredModel { norms: Default::default(), ..frame() },
        Setup::default(),
        NoRepository,
    );
    refused(
        &unmeasured,
        &[(r#"{"vectors":[{"id":"one"}]}"#, 400, Code::InvalidValue, "steering.vectors[0].id")],
    );
}

#[test]
fn settings_are_refused_before_they_are_in_force() {
    let steering = server();
    for (text, status, code, param) in [
        (r#"{"expected_version":3}"#, 409, Code::VersionConflict, "expected_version"),
        (
            r#"{"expected_version":0,"default":{"preset":"x"}}"#,
            400,
            Code::InvalidValue,
            "default.preset",
        ),
        (
            r#"{"expected_version":0,"default":{"use_default":false}}"#,
            400,
            Code::InvalidValue,
            "default.use_default",
        ),
        (
            r#"{"expected_version":0,"default":{"vectors":[{"id":"clam"}]}}"#,
            404,
            Code::VectorNotFound,
            "default.vectors[0].id",
        ),
        (r#"{"expected_version":0,"presets":{"a b":{}}}"#, 400, Code::InvalidValue, "presets"),
        (
            r#"{"expected_version":0,"presets":{"a":{"preset":"b"},"b":{}}}"#,
            400,
            Code::InvalidValue,
            "presets.a.preset",
        ),
        (
            r#"{"expected_version":0,"presets":{"a":{"vectors":[{"id":"calm","scale":9}]}}}"#,
            400,
            Code::DoseExceeded,
            "presets.a.vectors[0].scale",
        ),
        (
            r#"{"expected_version":0,"presets":{"a":{"adapt":{"adapter":"x"}}}}"#,
            400,
            Code::UnsupportedField,
            "presets.a.adapt",
        ),
        (
            r#"{"expected_version":0,"default":{"adapt":{"adapter":"x"}}}"#,
            400,
            Code::UnsupportedField,
            "default.adapt",
        ),
        (
            r#"{"expected_version":0,"locked":true,"presets":{"a":{"use_default":false}}}"#,
            400,
            Code::InvalidValue,
            "presets.a.use_default",
        ),
    ] {
        let refusal = put(&steering, text).unwrap_err();
        assert_eq!(told(&refusal), (status, code, param), "{text}: {}", refusal.message);
    }
    assert_eq!(steering.settings().version, 0);
}
