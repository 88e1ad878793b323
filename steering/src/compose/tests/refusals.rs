//! Every reason not to compose.

use super::{Draws, HERE, built, by, code, composed, narrow, part, protected, vector, with};
use crate::compose::dose::{DoseLimit, DosePolicy};
use crate::compose::{Cancelling, Covariance, M_LIMIT, Mode, Settings, Stream, compose};
use crate::file::card::{Evaluation, ModelPin, Operation, Pinned, Role, SiteCard, Status};
use std::collections::BTreeMap;

fn along(width: usize, axis: usize) -> Vec<f32> {
    (0..width).map(|at| if at == axis { 1.0 } else { 0.0 }).collect()
}

fn pin(width: usize, weights: char, quantization: &str) -> ModelPin {
    ModelPin {
        arch: "llama".to_owned(),
        d_model: width,
        family_sha256: "0".repeat(64),
        n_layers: 3,
        name: "maker/tiny".to_owned(),
        pinned: Pinned::Extract,
        quantization: quantization.to_owned(),
        revision: None,
        template_sha256: None,
        tokenizer_sha256: "1".repeat(64),
        vocab_size: 64,
        weights_sha256: weights.to_string().repeat(64),
    }
}

#[test]
fn vectors_of_different_models_name_the_file() {
    let on = |name: &str, width: usize, model: Option<ModelPin>| {
        built(name, &[(HERE, along(width, 0))], |card| card.model = model)
    };
    let first = on("first", 16, Some(pin(16, 'a', "F32")));
    for (other, field) in [
        (on("other", 24, None), "width"),
        (on("other", 16, Some(pin(16, 'a', "Q4_1"))), "quantisation"),
        (on("other", 16, Some(pin(16, 'b', "F32"))), "weights"),
        (on("other", 16, None), "quantisation"),
    ] {
        let error = composed(&[part(&first, 0.1), part(&other, 0.1)], &by(Mode::Sum)).unwrap_err();
        assert_eq!(error.code(), "model_mismatch");
        let text = error.to_string();
        assert!(text.contains("vector other") && text.contains(field), "{text}");
    }
}

#[test]
fn what_must_not_be_added_is_not_composed() {
    let none: [crate::compose::Part<'_>; 0] = [];
    assert_eq!(code(composed(&none, &by(Mode::Sum))), "invalid_value");
    let rows = [(HERE, along(16, 0))];
    let null = built("null", &rows, |card| {
        card.status = Status::Null;
        card.evaluation = Some(Evaluation {
            build: "trimtab".to_owned(),
            json_valid_delta: None,
            n: 1,
            random_p95: 0.1,
            refusal_delta: None,
            response: Vec::new(),
            set_sha256: "0".repeat(64),
            shuffled_p95: None,
        });
    });
    assert_eq!(code(composed(&[part(&null, 0.1)], &by(Mode::Sum))), "status_null");
    let allowed = Settings { null: crate::steer::NullVectors::Allow, ..by(Mode::Sum) };
    assert!(composed(&[part(&null, 0.1)], &allowed).is_ok());
    let read = built("read", &rows, |card| {
        card.role = Role::Read;
        let entry = SiteCard { anchor: Some(0.0), ..SiteCard::of(HERE, Some(1.0)) };
        card.sites.insert(HERE, entry);
    });
    assert_eq!(code(composed(&[part(&read, 0.1)], &by(Mode::Sum))), "role_read");
    let file = vector("calm", &rows);
    assert_eq!(code(composed(&[part(&file, f32::NAN)], &by(Mode::Sum))), "not_finite");
    let ragged = with(part(&file, 0.1), HERE, &[vec![1.0; 15]]);
    assert_eq!(code(composed(&[ragged], &by(Mode::Sum))), "differences_invalid");
    let broken = with(part(&file, 0.1), HERE, &[vec![f64::NAN; 16]]);
    assert_eq!(code(composed(&[broken], &by(Mode::Sum))), "not_finite");
}

#[test]
fn protected_vectors_against_each_other_are_a_persons_choice() {
    let mut across = along(16, 1);
    across[0] = -0.5;
    let (one, other) = (vector("one", &[(HERE, along(16, 0))]), vector("other", &[(HERE, across)]));
    let both = |scale: f32| [protected(part(&one, 0.1)), protected(part(&other, scale))];
    assert!(composed(&both(0.1), &by(Mode::Subspace)).is_ok());
    let mut against = along(16, 1);
    against[0] = -0.7;
    let against = vector("against", &[(HERE, against)]);
    let parts = [protected(part(&one, 0.1)), protected(part(&against, 0.1))];
    assert_eq!(code(composed(&parts, &by(Mode::Subspace))), "protected_conflict");
    // What counts is the push: backwards they agree.
    let parts = [protected(part(&one, 0.1)), protected(part(&against, -0.1))];
    assert!(composed(&parts, &by(Mode::Subspace)).is_ok());
}

#[test]
fn a_quarter_of_the_stream_is_too_much_to_protect() {
    let mut draws = Draws(9);
    let rows: Vec<Vec<f64>> = (0..20).map(|_| draws.row(16)).collect();
    let files = [0, 1].map(|axis| vector("any", &[(HERE, along(16, axis))]));
    let parts = [with(part(&files[0], 0.1), HERE, &rows), part(&files[1], 0.1)];
    assert_eq!(code(composed(&parts, &by(Mode::Subspace))), "too_much_protected");
    let three = Settings { m: 3, keep_least: 0.0, ..by(Mode::Subspace) };
    assert!(composed(&parts, &three).is_ok());
}

#[test]
fn sigma_needs_a_covariance_that_can_be_believed() {
    let files = [0, 1].map(|axis| vector("any", &[(HERE, along(16, axis))]));
    let parts = files.each_ref().map(|file| part(file, 0.1));
    assert_eq!(code(composed(&parts, &by(Mode::Sigma))), "sigma_missing");
    let identity: Vec<f64> = (0..256).map(|at| if at % 17 == 0 { 1.0 } else { 0.0 }).collect();
    let refused = |values: &[f64], tokens, shrink| {
        Covariance::new(values, tokens, shrink).unwrap_err().code()
    };
    assert_eq!(refused(&identity, 31, 0.1), "sigma_invalid");
    assert_eq!(refused(&identity, 160, 1.5), "invalid_value");
    assert_eq!(refused(&identity[1..], 160, 0.1), "sigma_invalid");
    let mut broken = identity.clone();
    broken[3] = f64::NAN;
    assert_eq!(refused(&broken, 160, 0.1), "sigma_invalid");
    let negative: Vec<f64> = identity.iter().map(|v| -v).collect();
    assert_eq!(refused(&negative, 160, 0.1), "sigma_invalid");
    broken[3] = 0.5;
    assert_eq!(refused(&broken, 160, 0.1), "sigma_invalid");
    // Another width, and then the right one.
    let with = |sigma: Covariance| Stream {
        covariances: BTreeMap::from([(HERE, sigma)]),
        ..Stream::default()
    };
    let small = with(Covariance::new(&[1.0, 0.0, 0.0, 1.0], 20, 0.1).unwrap());
    assert_eq!(code(compose(&parts, &by(Mode::Sigma), &small)), "sigma_invalid");
    let right = with(Covariance::new(&identity, 160, 0.1).unwrap());
    let file = compose(&parts, &by(Mode::Sigma), &right).unwrap().file("both").unwrap();
    assert!(file.card().method.params.contains_key("sigma.resid_post.1"));
    // Another covariance is another file.
    let mut stretched = identity.clone();
    stretched[0] = 5.0;
    let other = with(Covariance::new(&stretched, 160, 0.1).unwrap());
    let other = compose(&parts, &by(Mode::Sigma), &other).unwrap().file("both").unwrap();
    assert_ne!(file.to_bytes().unwrap(), other.to_bytes().unwrap());
}

#[test]
fn settings_out_of_range_are_refused() {
    let file = vector("calm", &[(HERE, along(16, 0))]);
    for settings in [
        Settings { m: M_LIMIT + 1, ..Settings::default() },
        Settings { keep_warn: 1.5, ..Settings::default() },
        Settings { keep_least: f64::NAN, ..Settings::default() },
    ] {
        assert_eq!(code(composed(&[part(&file, 0.1)], &settings)), "invalid_value");
    }
}

#[test]
fn a_projection_of_what_another_adds_is_a_mistake_unless_it_is_meant() {
    let away = built("away", &[(HERE, along(16, 0))], |card| card.operation = Operation::Project);
    let mut slanted = along(16, 1);
    slanted[0] = 0.7;
    let push = vector("push", &[(HERE, slanted)]);
    let parts = [part(&push, 0.1), part(&away, 1.0)];
    assert_eq!(code(composed(&parts, &by(Mode::Sum))), "operations_cancel");
    let meant = Settings { cancelling: Cancelling::Allow, ..by(Mode::Sum) };
    assert_eq!(composed(&parts, &meant).unwrap().report().findings.len(), 1);
    // At right angles they do not touch each other, and there is nothing to tell.
    let clear = vector("push", &[(HERE, along(16, 1))]);
    let parts = [part(&clear, 0.1), part(&away, 1.0)];
    assert_eq!(composed(&parts, &by(Mode::Sum)).unwrap().report().findings, []);
}

#[test]
fn doses_are_those_of_what_is_left() {
    let mut draws = Draws(8);
    let (one, other) = (draws.row(16), draws.row(16));
    let mixed: Vec<f64> = one.iter().zip(&other).map(|(a, b)| a + b).collect();
    let stretched = |row: &[f64]| {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        narrow(&row.iter().map(|v| v * 4.9 / length).collect::<Vec<_>>())
    };
    let first = vector("first", &[(HERE, stretched(&one))]);
    let second = vector("second", &[(HERE, stretched(&mixed))]);
    let parts = [part(&first, 1.0), part(&second, 2.0)];
    let policy = |policy| Settings {
        dose: DoseLimit { policy, ..DoseLimit::default() },
        ..by(Mode::Subspace)
    };
    assert_eq!(code(composed(&parts, &policy(DosePolicy::Refuse))), "dose_exceeded");
    let clamped = composed(&parts, &policy(DosePolicy::Clamp)).unwrap();
    let report = clamped.report();
    let left = report.groups[0].kept[1];
    assert!((report.doses.vectors[1].asked - 2.0 * 0.49 * left).abs() < 1e-6);
    assert!(report.doses.vectors[1].dose <= 0.5 + 1e-6);
    // The merged push is what the dose says.
    let site = &report.doses.sites[0];
    assert!((report.groups[0].push / site.norm - site.dose).abs() < 1e-6);
    let params = clamped.file("both").unwrap().card().method.params.clone();
    assert!(params.contains_key("dose_factor"));
}
