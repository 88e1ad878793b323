//! Limits are kept, excesses are told, and protected vectors stay.

use super::{built, vector};
use crate::compose::Error;
use crate::compose::dose::{
    DoseLimit, DosePolicy, Dosed, Doses, Note, Standing, Timing, name_apart, sites,
};
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{Card, Evaluation, Operation, Status};
use crate::scope::Scope;
use crate::steer::SteerOptions;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

const HERE: Site = Site::ResidPost(1);
const LATER: Site = Site::ResidPost(2);

fn along(axis: usize, length: f32) -> Vec<f32> {
    let mut row = vec![0.0; 4];
    row[axis] = length;
    row
}

fn at(file: &VectorFile, scale: f32) -> Dosed<'_> {
    Dosed::new(file, &SteerOptions { scale: Some(scale), ..SteerOptions::default() })
}

fn under(policy: DosePolicy, vectors: &[Dosed<'_>]) -> Result<Doses> {
    DoseLimit { policy, ..DoseLimit::default() }.check(vectors, &BTreeMap::new())
}

fn refusal(vectors: &[Dosed<'_>]) -> Error {
    match under(DosePolicy::Refuse, vectors).unwrap_err() {
        crate::Error::Compose(error) => *error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_dose_is_the_pushs_share_of_the_streams_length() {
    let file = vector("calm", &[(HERE, along(0, 4.0)), (LATER, along(1, 2.0))]);
    let doses = under(DosePolicy::Refuse, &[at(&file, -1.0)]).unwrap();
    assert_eq!(doses.scales(), [-1.0]);
    assert_eq!(doses.factor, 1.0);
    let found: Vec<f64> = doses.vectors.iter().map(|v| v.dose).collect();
    assert_eq!(found, [0.4, 0.2]);
    assert!((doses.total - 0.6).abs() < 1e-12);
    assert_eq!(doses.notes, []);
    // A measured length outranks the card's, and a large difference is told.
    let measured = BTreeMap::from([(HERE, 20.0)]);
    let doses = DoseLimit::default().check(&[at(&file, 1.0)], &measured).unwrap();
    assert_eq!(doses.vectors[0].dose, 0.2);
    assert!(matches!(doses.notes[..], [Note::NormDrift { site: HERE, ratio: 2.0, others: 0, .. }]));
    // Once for a vector: of several sites the worst is named.
    let measured = BTreeMap::from([(HERE, 20.0), (LATER, 1.0)]);
    let limit = DoseLimit { policy: DosePolicy::Warn, ..DoseLimit::default() };
    let doses = limit.check(&[at(&file, 0.1)], &measured).unwrap();
    assert!(matches!(doses.notes[..], [Note::NormDrift { site: LATER, others: 1, .. }]));
    assert!(doses.notes[0].to_string().contains("and at 1 more site"), "{}", doses.notes[0]);
}

#[test]
fn pushes_in_the_same_scope_are_one_vector() {
    let file = vector("calm", &[(HERE, along(0, 5.0))]);
    let against = [at(&file, 1.0), at(&file, -1.0)];
    assert_eq!(under(DosePolicy::Refuse, &against).unwrap().sites[0].dose, 0.0);
    // In different scopes they cannot cancel, and at single tokens they may meet or not.
    let mut apart = against.clone();
    apart[0].scope = Scope::prompt();
    assert_eq!(under(DosePolicy::Refuse, &apart).unwrap().sites[0].dose, 0.5);
    apart[0].scope = Scope::last();
    assert_eq!(under(DosePolicy::Refuse, &apart).unwrap().sites[0].dose, 1.0);
    let tail = built("tail", &[(HERE, along(0, 5.0))], |card| card.scope = Scope::generated());
    assert_eq!(at(&tail, 1.0).scope, Scope::generated());
}

#[test]
fn a_vector_above_half_is_refused_unless_it_was_measured_to_be_safe() {
    let file = vector("calm", &[(HERE, along(0, 8.0))]);
    let error = refusal(&[at(&file, 1.0)]);
    let Error::DoseExceeded { what, factor, .. } = &error else { panic!("{error}") };
    assert_eq!(what, "vector calm at resid_post.1");
    assert!((factor - 0.625).abs() < 1e-6, "{factor}");
    assert!(error.to_string().contains("times 0.6249 fit"), "{error}");
    let wide = built("calm", &[(HERE, along(0, 8.0))], evaluated);
    assert!(under(DosePolicy::Refuse, &[at(&wide, 1.0)]).is_ok());
    assert!(under(DosePolicy::Refuse, &[at(&wide, -1.0)]).is_err());
    let over = under(DosePolicy::Warn, &[at(&wide, -1.0)]).unwrap();
    assert!(matches!(over.notes[..], [Note::Over { .. }, Note::OutsideSafe { .. }]));
    assert_eq!(over.scales(), [-1.0]);
    // A range that no evaluation found is no more than a claim.
    let claim = built("calm", &[(HERE, along(0, 8.0))], |card| card.scale.safe = Some([-0.5, 1.0]));
    assert_eq!(refusal(&[at(&claim, 1.0)]).code(), "dose_exceeded");
}

/// A card with an evaluation on record that found scales up to 1 to be safe.
fn evaluated(card: &mut Card) {
    card.status = Status::Measured;
    card.scale.safe = Some([-0.5, 1.0]);
    card.evaluation = Some(Evaluation {
        set_sha256: "0".repeat(64),
        n: 1,
        response: Vec::new(),
        random_p95: 0.0,
        refusal_delta: None,
        json_valid_delta: None,
        shuffled_p95: None,
        build: String::new(),
    });
}

#[test]
fn protected_vectors_are_never_scaled() {
    let safety = vector("safety", &[(HERE, along(0, 5.0))]);
    let style = vector("style", &[(HERE, along(1, 5.0)), (LATER, along(1, 5.0))]);
    let mut vectors = vec![at(&safety, 1.0), at(&style, 4.0)];
    vectors[0].standing = Standing::Protected;
    let doses = under(DosePolicy::Clamp, &vectors).unwrap();
    assert_eq!(doses.scales()[0], 1.0);
    assert!((doses.factor - 0.25).abs() < 1e-6);
    assert_eq!(doses.notes[0], Note::Clamped { factor: doses.factor });
    for policy in [DosePolicy::Refuse, DosePolicy::Clamp, DosePolicy::Warn] {
        let mut alone = vec![at(&safety, 1.5), at(&style, -1.0)];
        alone[0].standing = Standing::Protected;
        let error = under(policy, &alone).unwrap_err();
        assert!(error.to_string().contains("protected vectors alone"), "{error}");
    }
}

#[test]
fn what_has_no_norm_says_what_to_do() {
    let bare = |name| {
        built(name, &[(HERE, along(0, 1.0))], |card| {
            card.sites.values_mut().for_each(|entry| entry.stream_norm = None);
        })
    };
    let (first, known) = (bare("first"), vector("known", &[(HERE, along(1, 1.0))]));
    let alone = [at(&first, 1.0)];
    let error = refusal(&alone);
    assert_eq!(error.code(), "stream_norm_missing");
    assert!(error.to_string().contains("-m"), "{error}");
    assert_eq!(sites(&alone), [HERE]);
    let measured = BTreeMap::from([(HERE, 10.0)]);
    assert!(DoseLimit::default().check(&alone, &measured).is_ok());
    // Another card that knows the site's length is enough.
    let both = [at(&first, 1.0), at(&known, 1.0)];
    assert!(under(DosePolicy::Refuse, &both).is_ok());
}

#[test]
fn only_the_blocks_in_use_count_and_a_long_way_is_told() {
    let sites: Vec<(Site, Vec<f32>)> =
        (0..6).map(|l| (Site::ResidPost(l), along(0, 4.0))).collect();
    let file = vector("calm", &sites);
    let doses = under(DosePolicy::Refuse, &[at(&file, 1.0)]).unwrap();
    assert!(matches!(doses.notes[..], [Note::Total { .. }]));
    let options = SteerOptions { blocks: Some(1..=2), ..SteerOptions::default() };
    let doses = under(DosePolicy::Refuse, &[Dosed::new(&file, &options)]).unwrap();
    assert_eq!(doses.sites.iter().map(|s| s.site).collect::<Vec<_>>(), [HERE, LATER]);
    assert_eq!(doses.notes, []);
}

#[test]
fn operations_that_depend_on_the_token_are_named() {
    let rows = [(HERE, along(0, 1.0))];
    let project = built("away", &rows, |card| card.operation = Operation::Project);
    let doses = under(DosePolicy::Refuse, &[at(&project, 1.0)]).unwrap();
    let note = Note::Unpredicted { name: "away".to_owned(), kind: "project" };
    assert_eq!(doses.notes, [note]);
    let turn = built("turn", &rows, |card| card.operation = Operation::Rotate { degrees: 20.0 });
    let doses = under(DosePolicy::Refuse, &[at(&turn, 1.0)]).unwrap();
    assert!((doses.sites[0].dose - 2.0 * 10f64.to_radians().sin()).abs() < 1e-12);
}

fn turning(degrees: f32) -> VectorFile {
    built("turn", &[(HERE, along(0, 1.0)), (LATER, along(0, 1.0))], |card| {
        card.operation = Operation::Rotate { degrees };
    })
}

#[test]
fn a_turn_is_lowered_by_its_angle() {
    let turn = turning(60.0);
    // A turn by 60 degrees is as long as the stream itself, and one by 28.955 degrees half of it.
    let error = refusal(&[at(&turn, 1.0)]);
    let Error::DoseExceeded { dose, factor, .. } = error else { panic!("{error}") };
    assert!((dose - 1.0).abs() < 1e-6);
    let expected = 2.0 * 0.25f64.asin().to_degrees() / 60.0;
    assert!((f64::from(factor) - expected).abs() < 1e-5, "{factor} {expected}");
    let doses = under(DosePolicy::Clamp, &[at(&turn, 1.0)]).unwrap();
    assert!(doses.vectors.iter().all(|v| v.dose <= 0.5 * (1.0 + 1e-6) && v.dose > 0.4999));
    assert!((doses.sites[0].dose - 0.5).abs() < 1e-4, "{doses:?}");
}

#[test]
fn a_dose_is_that_of_what_is_done() {
    use crate::ops::{Rescale, Unit};
    let file = built("calm", &[(HERE, along(0, 4.0))], |card| {
        card.scale.default = 0.25;
        card.scale.safe = Some([-9.0, 9.0]);
    });
    let of = |options: &SteerOptions| {
        let limit = DoseLimit { policy: DosePolicy::Warn, ..DoseLimit::default() };
        limit.check(&[Dosed::new(&file, options)], &BTreeMap::new()).unwrap()
    };
    let plain = SteerOptions::default();
    let half = |degrees: f64| 2.0 * (degrees / 2.0).to_radians().sin();
    let operation = |operation| SteerOptions { operation: Some(operation), ..plain.clone() };
    // As Steer has it: another operation has scale 1, and the card's safe range is not about it.
    let turned = of(&operation(Operation::Rotate { degrees: 20.0 }));
    assert_eq!(turned.scales(), [1.0]);
    assert!((turned.sites[0].dose - half(20.0)).abs() < 1e-6, "{turned:?}");
    assert_eq!(turned.vectors[0].limit, 0.5);
    let away = of(&operation(Operation::Project));
    assert!(matches!(&away.notes[..], [Note::Unpredicted { kind: "project", .. }]));
    let share = of(&SteerOptions { unit: Unit::StreamNorm, scale: Some(0.3), ..plain.clone() });
    assert!((share.sites[0].dose - 0.3).abs() < 1e-6, "{share:?}");
    assert!((of(&plain).sites[0].dose - 0.1).abs() < 1e-6);
    // An addition that keeps the length turns the stream by at most asin(0.4).
    let kept = of(&SteerOptions { rescale: Rescale::KeepNorm, scale: Some(1.0), ..plain.clone() });
    let bound = half(0.4f64.asin().to_degrees());
    assert!((kept.sites[0].dose - bound).abs() < 1e-6, "{kept:?}");
    let round = of(&SteerOptions { rescale: Rescale::KeepNorm, scale: Some(3.0), ..plain });
    assert!((round.sites[0].dose - 2.0).abs() < 1e-12);
}

#[test]
fn what_has_no_dose_beforehand_is_not_lowered() {
    let away = built("away", &[(HERE, along(1, 1.0))], |card| card.operation = Operation::Project);
    let push = vector("push", &[(HERE, along(0, 10.0))]);
    let doses = under(DosePolicy::Clamp, &[at(&away, 1.0), at(&push, 1.0)]).unwrap();
    assert_eq!(doses.scales()[0], 1.0);
    assert!((doses.scales()[1] - 0.5).abs() < 1e-5);
}

#[test]
fn what_is_not_a_number_is_refused() {
    let file = vector("calm", &[(HERE, along(0, 1.0))]);
    assert_eq!(under(DosePolicy::Warn, &[at(&file, f32::NAN)]).unwrap_err().code(), "not_finite");
    let limit = DoseLimit { site: -1.0, ..DoseLimit::default() };
    assert_eq!(limit.check(&[], &BTreeMap::new()).unwrap_err().code(), "invalid_value");
}

/// A row, a scale, whether it is protected, a scope, and the degrees of one that turns.
type Made = (Vec<f32>, f32, bool, u8, Option<f32>);

/// Vectors of any direction, length, standing and operation at two sites.
fn plans() -> impl Strategy<Value = Vec<Made>> {
    let row = proptest::collection::vec(-6.0f32..6.0, 4)
        .prop_filter("a direction", |row| row.iter().map(|v| v * v).sum::<f32>() > 0.1);
    let degrees = proptest::option::of(1.0f32..180.0);
    proptest::collection::vec((row, -2.0f32..2.0, any::<bool>(), 0u8..4, degrees), 1..6)
}

proptest! {
    #[test]
    fn clamped_plans_keep_every_limit_and_refusals_name_the_same_factor(plan in plans()) {
        let files: Vec<VectorFile> = plan
            .iter()
            .map(|(row, .., degrees)| {
                built("any", &[(HERE, row.clone()), (LATER, row.clone())], |card| {
                    if let Some(degrees) = *degrees {
                        card.operation = Operation::Rotate { degrees };
                    }
                })
            })
            .collect();
        let vectors: Vec<Dosed<'_>> = files
            .iter()
            .zip(&plan)
            .map(|(file, (_, scale, protected, scope, _))| Dosed {
                standing: if *protected { Standing::Protected } else { Standing::Free },
                scope: [Scope::all(), Scope::prompt(), Scope::generated(), Scope::last()]
                    [usize::from(*scope)]
                .clone(),
                ..at(file, *scale)
            })
            .collect();
        match (under(DosePolicy::Clamp, &vectors), under(DosePolicy::Refuse, &vectors)) {
            (Ok(clamped), Ok(kept)) => {
                prop_assert_eq!(clamped.factor, 1.0);
                prop_assert_eq!(clamped, kept);
            }
            (Ok(clamped), Err(crate::Error::Compose(error))) => {
                let Error::DoseExceeded { factor, .. } = *error else { panic!("{error}") };
                prop_assert_eq!(clamped.factor, factor);
                prop_assert!(factor < 1.0);
                prop_assert!(clamped.sites.iter().all(|s| s.dose <= 1.0 + 1e-6));
                prop_assert!(clamped.vectors.iter().all(|v| v.dose <= v.limit * (1.0 + 1e-6)));
                // No larger factor would do, within what f32 can say.
                let tight = clamped.sites.iter().any(|s| s.dose > 1.0 - 1e-4)
                    || clamped.vectors.iter().any(|v| v.dose > v.limit - 1e-4);
                prop_assert!(tight);
                // Applied with the clamped scales, nothing is left to refuse.
                let again: Vec<Dosed<'_>> = vectors
                    .iter()
                    .zip(clamped.scales())
                    .map(|(vector, scale)| Dosed { scale: *scale, ..vector.clone() })
                    .collect();
                prop_assert_eq!(under(DosePolicy::Refuse, &again).unwrap().factor, 1.0);
            }
            (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
            (one, other) => panic!("{one:?} {other:?}"),
        }
    }
}

#[test]
fn pushes_at_different_times_do_not_cancel() {
    use crate::gate::{Condition, Gate, Side};
    use crate::schedule::{Course, Schedule};
    let file = vector("calm", &[(HERE, along(0, 4.0))]);
    let read = built("read", &[(HERE, along(0, 4.0))], |card| {
        card.sites.values_mut().for_each(|entry| entry.anchor = Some(0.0));
    });
    let dose = |timings: [Timing; 2]| {
        let mut both = [at(&file, 1.0), at(&file, -1.0)];
        both.iter_mut().zip(timings).for_each(|(vector, timing)| vector.timing = timing);
        under(DosePolicy::Refuse, &both).unwrap().sites[0].dose
    };
    let always = Timing::default();
    let fading = Timing::of(&SteerOptions {
        schedule: Schedule::new(Course::Decay { half_life: 8.0 }).unwrap(),
        ..SteerOptions::default()
    });
    let gated = Timing::of(&SteerOptions {
        gate: Some(Gate::when(Condition::new(&read, Side::Above, 0.5).unwrap())),
        ..SteerOptions::default()
    });
    assert_eq!(dose([always.clone(), always.clone()]), 0.0);
    // What fades alike cancels all the way.
    assert_eq!(dose([fading.clone(), fading.clone()]), 0.0);
    for apart in [[always, fading], [gated.clone(), Timing::default()], [gated.clone(), gated]] {
        assert!((dose(apart) - 0.8).abs() < 1e-12);
    }
}

#[test]
fn a_clamp_beyond_the_class_means_has_a_dose() {
    let dose = |min, max, scale| {
        let file = built("hold", &[(HERE, along(0, 4.0))], |card| {
            card.operation = Operation::Clamp { min, max };
            card.sites.values_mut().for_each(|entry| entry.anchor = Some(0.0));
        });
        let doses = under(DosePolicy::Warn, &[at(&file, scale)]).unwrap();
        assert!(doses.notes.iter().any(|note| matches!(note, Note::Unpredicted { .. })));
        doses.sites.first().map(|site| site.dose)
    };
    for (min, max) in [(Some(0.0), Some(1.0)), (Some(1.0), None), (None, Some(0.0))] {
        assert_eq!(dose(min, max, 1.0), None, "{min:?} {max:?}");
    }
    // Three class gaps beyond the positives' mean, each 0.4 of the stream.
    assert!((dose(Some(4.0), None, 1.0).unwrap() - 1.2).abs() < 1e-12);
    assert!((dose(None, Some(-3.0), 0.5).unwrap() - 0.6).abs() < 1e-12);
    let file = built("hold", &[(HERE, along(0, 4.0))], |card| {
        card.operation = Operation::Clamp { min: Some(1e6), max: None };
        card.sites.values_mut().for_each(|entry| entry.anchor = Some(0.0));
    });
    assert_eq!(refusal(&[at(&file, 1.0)]).code(), "dose_exceeded");
    let doses = under(DosePolicy::Clamp, &[at(&file, 1.0)]).unwrap();
    assert!(doses.scales()[0] < 1e-5 && doses.sites[0].dose <= 0.5 * (1.0 + 1e-6));
}

#[test]
fn a_clamp_to_where_no_token_is_has_a_dose_whatever_the_card_says() {
    let held = |[magnitude, anchor]: [f32; 2], min, max| {
        built("hold", &[(HERE, along(0, magnitude))], |card| {
            card.operation = Operation::Clamp { min, max };
            card.sites.values_mut().for_each(|entry| entry.anchor = Some(anchor));
        })
    };
    // The stream is 10 long here, so no token is farther out than that.
    for (card, min, max) in [
        ([1.0, 1e6], Some(0.0), Some(1.0)),
        ([1.0, -1e6], Some(0.0), Some(1.0)),
        ([1e6, 0.0], Some(1.0), None),
        ([1e6, 0.0], None, Some(-1.0)),
        ([1.0, 1e6], Some(0.0), None),
    ] {
        let file = held(card, min, max);
        let doses = under(DosePolicy::Warn, &[at(&file, 1.0)]).unwrap();
        assert!(doses.sites[0].dose > 9e4, "{card:?} {min:?} {max:?}: {:?}", doses.sites);
        assert_eq!(refusal(&[at(&file, 1.0)]).code(), "dose_exceeded");
        assert!(under(DosePolicy::Refuse, &[at(&file, 1e-6)]).is_ok(), "{card:?}");
    }
    // Its scale is its own affair where it has no dose: others are lowered, and it is not.
    let inside = held([4.0, -2.0], Some(0.0), Some(1.0));
    let strong = vector("calm", &[(HERE, along(1, 8.0))]);
    let doses = under(DosePolicy::Clamp, &[at(&inside, 1.0), at(&strong, 1.0)]).unwrap();
    assert!(doses.scales()[0] == 1.0 && doses.scales()[1] < 0.7, "{:?}", doses.scales());
}

#[test]
fn refusals_are_short_and_their_factor_is_never_nothing() {
    let file = vector("calm", &[(HERE, along(0, 1.0))]);
    let text = refusal(&[at(&file, 3e38)]).to_string();
    assert!(text.len() < 200 && text.contains("dose 3.00e37"), "{text}");
    assert!(text.contains("times 1.6e-38 fit"), "{text}");
}

#[test]
fn names_that_come_again_are_numbered() {
    let mut names = ["calm", "glad", "calm", "calm"].map(str::to_owned);
    name_apart(&mut names);
    assert_eq!(names, ["calm", "glad", "calm#2", "calm#3"]);
    let mut names = ["calm", "calm", "calm#2", "calm#2"].map(str::to_owned);
    name_apart(&mut names);
    assert_eq!(names, ["calm", "calm#3", "calm#2", "calm#2#2"]);
}

#[test]
fn what_a_file_says_of_the_stream_sets_no_limit() {
    use trimtab_runtime::testing::tiny;
    let model = tiny::model(2048).unwrap();
    let claimed = |norm: f32| {
        let row: Vec<f32> = (0..tiny::WIDTH).map(|i| (i as f32).cos()).collect();
        built("calm", &[(HERE, row)], |card| {
            card.sites.values_mut().for_each(|entry| entry.stream_norm = Some(norm));
        })
    };
    let limit = DoseLimit::default();
    let honest = claimed(1.0);
    let unit = limit.check_on(&model, &[at(&honest, 0.0)]).unwrap().sites[0].norm;
    let gap = f64::from(honest.card().sites[&HERE].magnitude.unwrap());
    let (strong, weak) = ((2.0 * unit / gap) as f32, (0.1 * unit / gap) as f32);
    for norm in [1e38, 1e-38] {
        let forged = claimed(norm);
        let refused = limit.check_on(&model, &[at(&forged, strong)]).unwrap_err();
        assert_eq!(refused.code(), "dose_exceeded", "{norm}");
        let doses = limit.check_on(&model, &[at(&forged, weak)]).unwrap();
        assert!((doses.vectors[0].dose - 0.1).abs() < 1e-6, "{norm}");
        assert!(doses.notes.iter().any(|note| matches!(note, Note::NormDrift { .. })));
    }
}

#[test]
fn a_claim_is_believed_as_far_as_the_model_bears_it_out() {
    use crate::file::card::{ModelPin, Pinned};
    use crate::neutral::stream_norms;
    use trimtab_runtime::testing::tiny;
    let length = |claim: f32| {
        // A model of its own, of which nothing was measured yet.
        let model = tiny::model(2048).unwrap();
        let row: Vec<f32> = (0..tiny::WIDTH).map(|i| (i as f32).cos()).collect();
        let file = built("calm", &[(HERE, row)], |card| {
            card.model = Some(ModelPin::of(&model, Pinned::Extract).unwrap());
            card.sites.values_mut().for_each(|entry| entry.stream_norm = Some(claim));
        });
        let doses = DoseLimit::default().check_on(&model, &[at(&file, 0.0)]).unwrap();
        doses.sites[0].norm as f32
    };
    let model = tiny::model(2048).unwrap();
    let [short, long] =
        [32, 512].map(|tokens| stream_norms(&model, &[HERE], tokens).unwrap()[&HERE].median);
    assert_eq!(length(short), short);
    // A claim never counts for more than was found.
    assert_eq!(length(0.9 * short), 0.9 * short);
    assert_eq!(length(1.2 * short), short);
    for wrong in [0.5 * short, 1.3 * short, 1.5 * short, 1e30, 1e-30] {
        assert_eq!(length(wrong), long, "{wrong}");
    }
}
