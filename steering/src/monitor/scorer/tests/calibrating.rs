//! Calibrations: measured, kept, and refused where they do not belong.

use super::*;
use crate::error::Error;
use crate::monitor::detect::Action;
use crate::monitor::scorer::{Depth, Split, benign, content_free};

/// A folder of its own for one test.
fn folder(name: &str) -> std::path::PathBuf {
    let name = format!("trimtab-calibration-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn content_free_texts_come_out_even_and_two_in_a_hundred_benign_ones_above_the_threshold() {
    let (form, policy) = (form(), policy(BuiltIn::Default));
    let mut seen = Vec::new();
    let measured =
        Calibration::measure(&form, &policy, &mut |done, total| seen.push((done, total))).unwrap();
    let select = benign(Split::Select).unwrap();
    assert_eq!(measured.select(), select.len());
    assert!(seen.is_sorted() && seen.last().is_some_and(|(done, total)| done == total));
    let judge = Judge::new(form, &policy, measured.clone(), Judging::default()).unwrap();
    let read = judge.read(&content_free(), &mut |_| {}).unwrap();
    for state in 0..20 {
        let mean = read.iter().map(|r| r.scores()[state]).sum::<f64>() / read.len() as f64;
        assert!((mean + measured.full().biases[state]).abs() < 2e-9);
    }
    let read = judge.read(&select, &mut |_| {}).unwrap();
    for depth in [Depth::Lazy, Depth::Full] {
        let above = read.iter().filter(|r| judge.find(r, depth).margin > 0.0).count();
        let share = above as f64 / read.len() as f64;
        assert!((0.012..=0.028).contains(&share), "{share}");
    }
    let test = judge.read(&benign(Split::Test).unwrap(), &mut |_| {}).unwrap();
    let share = |action: Action| {
        let hits = test.iter().filter(|r| judge.find(r, Depth::Lazy).action == action);
        hits.count() as f64 / test.len() as f64
    };
    let margin = Judging::default().margin;
    assert!((share(Action::Unknown) - measured.lazy().unknown_rate(margin)).abs() < 1e-12);
    assert!((share(Action::Rollback) - measured.lazy().rollback_rate(margin)).abs() < 1e-12);
}

#[test]
fn a_judge_that_cannot_tell_benign_texts_from_its_threshold_may_only_advise() {
    let bound = |close: usize| Bound {
        biases: vec![0.0; 3],
        theta: 1.0,
        benign: (0..50).map(|index| if index < close { 0.8 } else { -2.0 }).collect(),
    };
    let (form, policy) = (form(), policy(BuiltIn::Default));
    let full = super::bound(20, 0.0);
    let with = |close| Calibration::of(&form, &policy, full.clone(), bound(close));
    assert!(with(5).allows_mandatory(0.5));
    assert!(!with(6).allows_mandatory(0.5));
    assert!(with(6).allows_mandatory(0.1));
    let mut strange = bound(0);
    strange.benign[..10].fill(f64::NAN);
    assert_eq!(strange.unknown_rate(0.5), 0.2);
    assert_eq!(bound(7).rollback_rate(0.5), 0.0);
}

#[test]
fn what_was_saved_is_loaded_and_what_was_changed_is_not() {
    let folder = folder("kept");
    let (form, default) = (form(), policy(BuiltIn::Default));
    let bounds = (super::bound(20, 0.3), super::bound(3, -0.333_333_333));
    let calibration = Calibration::of(&form, &default, bounds.0, bounds.1);
    assert_eq!(Calibration::load(&folder, &form, &default).unwrap(), None);
    let path = calibration.save(&folder).unwrap();
    assert_eq!(Calibration::load(&folder, &form, &default).unwrap(), Some(calibration.clone()));
    // Another policy, another wording: another file.
    let strict = policy(BuiltIn::Strict);
    assert_eq!(Calibration::load(&folder, &form, &strict).unwrap(), None);
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["calibration"]["full"]["theta"].is_number());
    for (what, damaged) in [
        ("cut", text[..text.len() - 9].to_owned()),
        ("a digit", text.replacen("0.1", "0.2", 1)),
        ("empty", String::new()),
        ("more", format!("{text} ")),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = Calibration::load(&folder, &form, &default).unwrap_err();
        assert!(matches!(error, Error::In { .. }), "{what}: {error}");
        assert!(error.to_string().contains("damaged"), "{what}: {error}");
    }
    // A whole file under a name that is not its own.
    let foreign = Calibration::of(&form, &strict, super::bound(20, 0.0), super::bound(3, 0.0));
    std::fs::rename(foreign.save(&folder).unwrap(), &path).unwrap();
    let error = Calibration::load(&folder, &form, &default).unwrap_err().to_string();
    assert!(error.contains("another build"), "{error}");
    assert!(Judge::new(form.clone(), &default, foreign, Judging::default()).is_err());
    // Measured again instead.
    let again = Calibration::obtain(&folder, &form, &default, &mut |_, _| {}).unwrap();
    assert_eq!(Calibration::load(&folder, &form, &default).unwrap(), Some(again));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn numbers_that_make_everything_unknown_are_refused() {
    let (form, policy) = (form(), policy(BuiltIn::Default));
    let wrong = [
        (super::bound(20, f64::NAN), super::bound(3, 0.0)),
        (super::bound(19, 0.0), super::bound(3, 0.0)),
        (super::bound(20, 0.0), Bound { benign: Vec::new(), ..super::bound(3, 0.0) }),
    ];
    for (full, lazy) in wrong {
        let calibration = Calibration::of(&form, &policy, full, lazy);
        assert!(Judge::new(form.clone(), &policy, calibration, Judging::default()).is_err());
    }
}
