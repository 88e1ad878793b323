//! Fits to shuffled labels beside a vector.

use super::arms::{Rig, report, setup, vector};
use crate::direction::Direction;
use crate::eval::{Arm, Check, Report, Setup, evaluated, shuffled};
use crate::file::VectorFile;
use crate::file::card::{Card, DataCard, Method, MethodName, Operation, SiteCard};
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

/// A control of the rig's vector, far shorter than it.
fn control(seed: u64) -> VectorFile {
    let method = Method { seed: Some(seed), ..Method::named(MethodName::Shuffled) };
    made(method, &[0, 1], seed as usize)
}

fn made(method: Method, blocks: &[usize], at: usize) -> VectorFile {
    let mut card = Card::unmeasured("calm.shuffled", "a control", Operation::Add, method);
    let directions = blocks.iter().map(|block| {
        let mut row = vec![0.0; tiny::WIDTH];
        row[at % tiny::WIDTH] = 1.0;
        row[(at + 1 + block) % tiny::WIDTH] = 0.1 * at as f32;
        let (direction, _) = Direction::normalised(Site::ResidPost(*block), &row).unwrap();
        card.sites.insert(direction.site(), SiteCard::of(direction.site(), Some(0.01)));
        direction
    });
    let directions: Vec<Direction> = directions.collect();
    VectorFile::new(card, directions).unwrap()
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.lines.iter().map(|line| line.measured.arm.kind()).collect()
}

#[test]
fn a_control_pushes_where_the_vector_does_and_as_far() {
    let (file, control) = (vector(), control(3));
    let pushed = shuffled(&file, &control).unwrap();
    let expected: Vec<(Site, f64)> = lengths(&file);
    for ((site, length), (at, long)) in lengths(&pushed).into_iter().zip(expected) {
        assert_eq!(site, at);
        assert!((length - long).abs() < 1e-5, "{length} {long}");
    }
    assert_eq!(pushed.directions(), control.directions());
    let method = &pushed.card().method;
    assert_eq!((method.name, method.seed), (MethodName::Shuffled, Some(3)));
}

fn lengths(file: &VectorFile) -> Vec<(Site, f64)> {
    let length = |row: Vec<f32>| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    file.offsets().unwrap().into_iter().map(|(site, row)| (site, length(row))).collect()
}

#[test]
fn what_controls_nothing_is_refused_before_anything_runs() {
    let reason = |control: &VectorFile| {
        let error = shuffled(&vector(), control).unwrap_err();
        assert_eq!(error.code(), "operation_refused");
        error.to_string()
    };
    assert!(reason(&vector()).contains("its method is mean_difference, expected shuffled"));
    let method = || Method { seed: Some(1), ..Method::named(MethodName::Shuffled) };
    let elsewhere = reason(&made(method(), &[0], 4));
    assert!(
        elsewhere.contains("it has resid_post.0 [1, 16], the vector resid_post.0"),
        "{elsewhere}"
    );
    assert!(reason(&made(Method::named(MethodName::Shuffled), &[0, 1], 4)).contains("a seed"));
    let mut card = control(1).card().clone();
    card.data = Some(DataCard {
        contrast: "a against b".to_owned(),
        licence: "unknown".to_owned(),
        pairs: 1,
        sha256: "0".repeat(64),
    });
    let other = VectorFile::new(card, control(1).directions().to_vec()).unwrap();
    assert!(reason(&other).contains("other examples"));
    let twice = Setup { shuffled: vec![control(1), control(1)], ..setup(2) };
    let error = report(&Rig::new(), &twice).unwrap_err();
    assert!(error.to_string().contains("given twice"), "{error}");
}

#[test]
fn an_effect_must_exceed_both_kinds_of_controls() {
    let rig = Rig::new();
    let some = Setup { shuffled: (1..4).map(control).collect(), ..setup(3) };
    let found = report(&rig, &some).unwrap();
    assert_eq!(
        kinds(&found)[5..],
        ["random", "random", "random", "shuffled", "shuffled", "shuffled", "other"]
    );
    let dose = |line: usize| found.lines[line].dose;
    assert_eq!((dose(8), found.lines[8].measured.arm.scale()), (dose(5), Some(found.judged)));
    assert_eq!(found.lines[8].measured.arm.seed(), Some(1));
    let changes: Vec<f64> =
        found.lines[8..11].iter().map(|line| line.gain.unwrap().mean.abs()).collect();
    let most = changes.iter().copied().fold(0.0, f64::max);
    // Three have no percentile: the largest stands in for it.
    assert_eq!(found.shuffled_p95, Some(most));
    let larger = most.max(found.random_p95.unwrap());
    assert_eq!(found.chance(), Some(larger));
    let gain = found.at(found.judged).unwrap().gain.unwrap();
    assert_eq!(found.failed.contains(&Check::ConceptOverRandom), gain.low <= larger);
    assert_eq!(report(&rig, &setup(3)).unwrap().shuffled_p95, None);
}

#[test]
fn twenty_controls_stand_in_the_card() {
    let rig = Rig::new();
    for (count, is_written) in [(19, false), (20, true)] {
        let many = Setup { shuffled: (1..=count).map(control).collect(), ..setup(20) };
        let found = report(&rig, &many).unwrap();
        let mut changes: Vec<f64> = found.lines.iter().filter_map(changed).collect();
        changes.sort_by(f64::total_cmp);
        let most = changes.last().copied();
        assert!(if is_written { found.shuffled_p95 <= most } else { found.shuffled_p95 == most });
        let file = evaluated(&vector(), &found, None).unwrap();
        let read = VectorFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
        assert_eq!(read, file);
        let evaluation = read.card().evaluation.as_ref().unwrap();
        let expected = found.shuffled_p95.filter(|_| is_written).map(|p95| p95 as f32);
        assert_eq!(evaluation.shuffled_p95, expected);
        assert_eq!(evaluation.chance(), evaluation.random_p95.max(expected.unwrap_or(0.0)));
    }
}

fn changed(line: &crate::eval::Line) -> Option<f64> {
    let is_shuffled = matches!(line.measured.arm, Arm::Shuffled { .. });
    line.gain.filter(|_| is_shuffled).map(|gain| gain.mean.abs())
}
