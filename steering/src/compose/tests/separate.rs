//! Which vector gives way to which, and how much is left.

use super::{Draws, HERE, LATER, by, code, composed, narrow, part, protected, vector, with};
use crate::compose::{Finding, Lost, Mode, Settings};
use crate::file::VectorFile;
use proptest::prelude::*;

const MODES: [Mode; 3] = [Mode::Sum, Mode::GramSchmidt, Mode::Subspace];

/// Two vectors in a stream 16 wide, the second at this cosine to the first.
fn pair(cosine: f32) -> (VectorFile, VectorFile) {
    let (mut first, mut second) = (vec![0.0; 16], vec![0.0; 16]);
    first[0] = 2.0;
    second[0] = 2.0 * cosine;
    second[1] = 2.0 * (1.0 - cosine * cosine).sqrt();
    (vector("first", &[(HERE, first)]), vector("second", &[(HERE, second)]))
}

fn digest(parts: &[crate::compose::Part<'_>], settings: &Settings) -> String {
    let file = composed(parts, settings).unwrap().file("both").unwrap();
    crate::file::sha256(&file.to_bytes().unwrap())
}

#[test]
fn the_first_stays_and_the_second_gives_way() {
    let (first, second) = pair(0.6);
    for (parts, left) in [
        ([part(&first, 1.0), part(&second, 1.0)], [0, 1]),
        ([part(&second, 1.0), part(&first, 1.0)], [0, 1]),
    ] {
        let composed = composed(&parts, &by(Mode::GramSchmidt)).unwrap();
        let group = &composed.report().groups[0];
        assert_eq!(group.members, left);
        assert_eq!(group.kept[0], 1.0);
        assert!((group.kept[1] - 0.8).abs() < 1e-6, "{}", group.kept[1]);
        assert!((group.before[0][1] - 0.6).abs() < 1e-6);
        assert!(group.after[0][1].abs() < 1e-12);
    }
}

#[test]
fn gram_and_schmidt_protect_one_direction_per_vector() {
    let mut draws = Draws(5);
    let rows: Vec<Vec<f64>> = (0..20).map(|_| draws.row(32)).collect();
    let files: Vec<VectorFile> =
        (0..3).map(|_| vector("any", &[(HERE, narrow(&draws.row(32)))])).collect();
    let parts: Vec<_> = files.iter().map(|f| with(part(f, 0.1), HERE, &rows)).collect();
    let pushes = |settings: &Settings| {
        let composed = composed(&parts, settings).unwrap();
        composed.pushes().map(|(_, _, push)| push.to_vec()).collect::<Vec<_>>()
    };
    let one = Settings { m: 1, ..by(Mode::Subspace) };
    assert_eq!(pushes(&by(Mode::GramSchmidt)), pushes(&one));
    assert_ne!(pushes(&one), pushes(&Settings { m: 2, ..one }));
    // Nothing is protected with m = 0, which is the sum.
    assert_eq!(pushes(&Settings { m: 0, ..one }), pushes(&by(Mode::Sum)));
}

#[test]
fn protected_vectors_are_unchanged_to_the_bit() {
    let (first, second) = pair(0.6);
    let parts = [part(&first, 1.0), protected(part(&second, 1.0))];
    let settings = by(Mode::Subspace);
    let composed = composed(&parts, &settings).unwrap();
    let group = &composed.report().groups[0];
    assert_eq!((group.members.as_slice(), group.kept[0]), ([1, 0].as_slice(), 1.0));
    // The protected one alone, and what both add minus the other's rest.
    let alone = super::composed(&[part(&second, 1.0)], &settings).unwrap();
    let of = |composed: &crate::compose::Composed<'_>| {
        let plan = composed.separate().unwrap();
        plan.items()[0].fingerprint()
    };
    assert_eq!(of(&composed), of(&alone));
}

#[test]
fn what_is_lost_is_shown_or_stretched() {
    let (first, second) = pair(0.6);
    let parts = [part(&first, 0.0), part(&second, 1.0)];
    let length = |lost| {
        let settings = Settings { lost, ..by(Mode::Subspace) };
        composed(&parts, &settings).unwrap().report().groups[0].push
    };
    assert!((length(Lost::Shown) - 1.6).abs() < 1e-6);
    assert!((length(Lost::Renormalised) - 2.0).abs() < 1e-6);
}

#[test]
fn little_kept_warns_and_less_is_refused() {
    let at = |kept: f32| {
        let (first, second) = pair((1.0 - kept * kept).sqrt());
        let parts = [part(&first, 1.0), part(&second, 1.0)];
        composed(&parts, &by(Mode::Subspace)).map(|composed| {
            let little =
                |f: &&Finding| matches!(f, Finding::LittleKept { kept, .. } if *kept < 0.5);
            composed.report().findings.iter().filter(little).count()
        })
    };
    assert_eq!(at(0.51).unwrap(), 0);
    assert_eq!(at(0.49).unwrap(), 1);
    assert_eq!(at(0.21).unwrap(), 1);
    assert_eq!(code(at(0.19)), "not_separable");
    // The baseline projects nothing, so it has nothing to refuse.
    let (first, second) = pair(1.0);
    let parts = [part(&first, 0.5), part(&second, 0.5)];
    assert!(composed(&parts, &by(Mode::Sum)).is_ok());
    let anything = Settings { keep_least: 0.0, ..by(Mode::Subspace) };
    assert_eq!(code(composed(&parts, &anything)), "not_separable");
}

#[test]
fn the_refusal_lists_the_neighbours() {
    let row = |cosine: f32| {
        let mut row = vec![0.0; 16];
        (row[0], row[1]) = (cosine, (1.0 - cosine * cosine).sqrt());
        row
    };
    let sites = [HERE, LATER, trimtab_runtime::site::Site::ResidPost(9)];
    let first = vector("first", &sites.map(|site| (site, row(1.0))));
    let second =
        vector("second", &[(sites[0], row(0.999)), (sites[1], row(0.8)), (sites[2], row(0.0))]);
    let parts = [part(&first, 1.0), part(&second, 1.0)];
    let error = composed(&parts, &by(Mode::Subspace)).unwrap_err().to_string();
    assert!(error.contains("resid_post.2 0.60, resid_post.9 1.00"), "{error}");
}

#[test]
fn equal_input_gives_equal_digests_and_every_setting_changes_them() {
    let (first, second) = pair(0.6);
    let there = [part(&first, 1.0), part(&second, 0.5)];
    let back = [part(&second, 0.5), part(&first, 1.0)];
    let settings = by(Mode::Subspace);
    assert_eq!(digest(&there, &settings), digest(&there.clone(), &settings));
    // Swapping priorities swaps who is projected; equal priorities are decided by content, whatever the list's order.
    assert_ne!(digest(&there, &settings), digest(&back, &settings));
    let ranked = |parts: [crate::compose::Part<'_>; 2]| {
        let one = parts.map(|part| crate::compose::Part { priority: Some(1), ..part });
        digest(&one, &settings)
    };
    assert_eq!(ranked(there.clone()), ranked(back));
    let others = [
        digest(&there, &by(Mode::GramSchmidt)),
        digest(&there, &by(Mode::Sum)),
        digest(&there, &Settings { m: 3, ..settings }),
        digest(&[part(&first, 1.0), part(&second, 0.4)], &settings),
        digest(&there, &Settings { lost: Lost::Renormalised, ..settings }),
    ];
    for (at, other) in others.iter().enumerate() {
        assert_ne!(*other, digest(&there, &settings), "{at}");
    }
}

proptest! {
    #[test]
    fn what_is_added_never_touches_what_is_above(seed: u64, count in 2usize..4) {
        let mut draws = Draws(seed);
        let rows: Vec<Vec<f64>> = (0..count).map(|_| draws.row(16)).collect();
        let files: Vec<VectorFile> =
            rows.iter().map(|row| vector("any", &[(HERE, narrow(row))])).collect();
        let parts: Vec<_> = files.iter().map(|f| part(f, 0.1)).collect();
        let open = Settings { keep_least: 0.0, m: 1, ..by(Mode::Subspace) };
        let composed = composed(&parts, &open).unwrap();
        let group = &composed.report().groups[0];
        for (i, row) in group.after.iter().enumerate() {
            for (j, cosine) in row.iter().enumerate() {
                prop_assert!(i == j || cosine.abs() < 1e-9, "{cosine}");
            }
        }
        prop_assert!(group.kept.iter().all(|kept| (0.0..=1.0 + 1e-12).contains(kept)));
    }

    #[test]
    fn one_vector_is_left_alone_by_every_mode(seed: u64, scale in -0.5f32..0.5) {
        let mut draws = Draws(seed);
        let file = vector("one", &[(HERE, narrow(&draws.row(16)))]);
        let parts = [part(&file, scale)];
        for mode in MODES {
            let composed = composed(&parts, &by(mode)).unwrap();
            let options = crate::SteerOptions { scale: Some(scale), ..Default::default() };
            let alone = trimtab_runtime::plan::Plan::of(crate::Steer::new(&file, &options).unwrap());
            prop_assert_eq!(composed.separate().unwrap().fingerprint(), alone.fingerprint());
            prop_assert_eq!(composed.report().groups[0].kept.as_slice(), [1.0]);
        }
    }
}
