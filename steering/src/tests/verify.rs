//! The proofs of `verify`, on the tiny model, and what makes them fail.

use super::{adding, card, one_hot};
use crate::file::VectorFile;
use crate::file::card::{Card, Evaluation, Operation, Response, Status};
use crate::scope::Scope;
use crate::steer::SteerOptions;
use crate::verify::{Check, Depth, ROOM, Subject, Verdict, concept_over_random, throwaway, verify};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

const NAMES: [&str; 8] = [
    "zero_scale_identical",
    "fires",
    "site_probe",
    "bystander_untouched",
    "rewind_exact",
    "seed_repeats",
    "concept_over_random",
    "cost",
];

fn checks(file: Option<&VectorFile>, scale: Option<f32>, depth: Depth) -> Vec<Check> {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(4 * ROOM).unwrap();
    let own = throwaway(&decoder, &pool).unwrap();
    let options = SteerOptions { scale, ..SteerOptions::default() };
    let file = file.unwrap_or(&own);
    let subject = Subject { decoder: &decoder, pool: &pool, file, options: &options };
    verify(&subject, depth, &mut |_| Flow::Continue).unwrap()
}

fn verdict(checks: &[Check], name: &str) -> Verdict {
    checks.iter().find(|check| check.name == name).unwrap().verdict
}

#[test]
fn everything_holds_for_a_throw_away_vector() {
    let checks = checks(None, None, Depth::Whole);
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names, NAMES);
    for check in &checks {
        let skipped = ["concept_over_random", "cost"].contains(&check.name);
        let expected = if skipped { Verdict::Skipped } else { Verdict::Passed };
        assert_eq!(check.verdict, expected, "{check:?}");
    }
    assert!(checks[7].value.is_some_and(|ratio| ratio > 0.1), "{:?}", checks[7]);
}

#[test]
fn every_site_is_proved_by_itself() {
    let sites = [Site::Embed, Site::AttnOut(0), Site::ResidMid(1), Site::MlpOut(2), Site::Final];
    let file = adding(&sites, tiny::WIDTH).unwrap();
    let checks = checks(Some(&file), Some(-0.5), Depth::Quick);
    assert!(checks[..6].iter().all(|check| check.verdict == Verdict::Passed), "{checks:?}");
    assert_eq!(checks[1].value, Some(24.0));
    assert_eq!(checks[7].value, None);
}

#[test]
fn a_vector_that_only_acts_on_the_answer_is_proved_too() {
    let directions = vec![one_hot(Site::ResidPost(1), tiny::WIDTH, 3)];
    let card = Card { scope: Scope::generated(), ..card(Operation::Add, &directions) };
    let checks = checks(Some(&VectorFile::new(card, directions).unwrap()), None, Depth::Quick);
    assert!(checks[..6].iter().all(|check| check.verdict == Verdict::Passed), "{checks:?}");
    assert_eq!(checks[1].value, Some(8.0));
    // The probe looked at the answer, and a push that is not the file's would be seen there.
    assert!(checks[2].note.contains("over 8 tokens"), "{:?}", checks[2]);
    assert!(checks[2].value.is_some_and(|far| far > 0.0), "{:?}", checks[2]);
}

#[test]
fn a_vector_that_does_nothing_fires_nowhere() {
    let checks = checks(None, Some(0.0), Depth::Quick);
    assert_eq!(verdict(&checks, "fires"), Verdict::Failed);
    assert_eq!(verdict(&checks, "site_probe"), Verdict::Skipped);
    assert_eq!(verdict(&checks, "zero_scale_identical"), Verdict::Passed);
}

#[test]
fn an_effect_no_larger_than_chance_fails() {
    let directions = vec![one_hot(Site::ResidPost(1), tiny::WIDTH, 3)];
    let measured = |concept: f32, scale: f32| {
        let response = Response { concept, kl: 0.0, ppl_ratio: 1.0, scale };
        let far = Response { concept: 9.0, scale: 4.0, ..response };
        let zero = Response { concept: 0.0, scale: 0.0, ..response };
        let evaluation = Evaluation {
            build: "a test".to_owned(),
            json_valid_delta: None,
            n: 8,
            random_p95: 0.25,
            refusal_delta: None,
            response: vec![far, response, zero],
            set_sha256: "0".repeat(64),
            shuffled_p95: None,
        };
        let (status, evaluation) = (Status::Measured, Some(evaluation));
        Card { status, evaluation, ..card(Operation::Add, &directions) }
    };
    for (concept, scale, expected) in [
        (0.5, 1.0, Verdict::Passed),
        (0.25, 1.0, Verdict::Failed),
        (-0.5, 1.0, Verdict::Failed),
        (-0.5, -1.0, Verdict::Passed),
    ] {
        let check = concept_over_random(&measured(concept, scale));
        assert_eq!((check.verdict, check.limit), (expected, Some(0.25)), "{concept} {scale}");
    }
    let silent = concept_over_random(&card(Operation::Add, &directions));
    assert_eq!(silent.verdict, Verdict::Skipped);
}

#[test]
fn a_proof_ends_where_it_is_told_to() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(4 * ROOM).unwrap();
    let file = throwaway(&decoder, &pool).unwrap();
    let options = SteerOptions::default();
    let subject = Subject { decoder: &decoder, pool: &pool, file: &file, options: &options };
    let mut seen = 0;
    let found = verify(&subject, Depth::Whole, &mut |_| {
        seen += 1;
        if seen == 2 { Flow::Cancel } else { Flow::Continue }
    });
    assert_eq!(found.unwrap().len(), 2);
}
