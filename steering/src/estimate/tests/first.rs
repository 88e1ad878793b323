//! Sums, scores and selection.

use crate::estimate::{
    Moments, Place, Score, Selection, auroc, cohens_d, cosine, mean_difference, require_difference,
    select, tied, top_share,
};

fn moments(rows: &[[f32; 2]]) -> Moments {
    Moments::of(2, rows.as_flattened()).unwrap()
}

#[test]
fn a_mean_difference_is_what_one_does_by_hand() {
    let (positive, negative) =
        (moments(&[[4.0, 1.0], [2.0, 7.0]]), moments(&[[0.0, 0.0], [0.0, 0.0]]));
    let made = mean_difference(&positive, &negative).unwrap();
    assert_eq!((made.steer.clone(), made.gap, made.anchor), (vec![0.6, 0.8], 5.0, 0.0));
    assert_eq!((made.read.clone(), made.positive_norm, made.scale_at(0.5)), (None, 5.0, 0.5));
    assert_eq!(positive.variance().unwrap(), [2.0, 18.0]);
    assert_eq!(mean_difference(&positive, &positive).unwrap_err().code(), "no_difference");
    assert_eq!(mean_difference(&positive, &Moments::new(2)).unwrap_err().code(), "too_few_pairs");
    assert_eq!(
        mean_difference(&positive, &Moments::new(3)).unwrap_err().code(),
        "estimate_invalid"
    );
}

#[test]
fn a_state_that_does_not_fit_leaves_the_sums_alone() {
    let mut sums = moments(&[[1.0, 2.0]]);
    let before = sums.clone();
    assert_eq!(sums.add(&[1.0]).unwrap_err().code(), "estimate_invalid");
    assert_eq!(sums.add(&[1.0, f32::NAN]).unwrap_err().code(), "not_finite");
    assert_eq!(sums, before);
}

/// A hash of small numbers: many ties.
fn coarse(seed: u64, n: usize, kinds: u64) -> Vec<f64> {
    let mix = |i: u64| (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..n as u64).map(|i| (mix(i) % kinds) as f64 - 3.0).collect()
}

#[test]
fn auroc_counts_as_the_naive_sum_does() {
    for (n, m, kinds) in [(1, 1, 2), (7, 5, 3), (40, 31, 4), (40, 31, 1), (60, 60, 1_000_000)] {
        let (positive, negative) = (coarse(1, n, kinds), coarse(77, m, kinds));
        let pairs = positive.iter().flat_map(|p| negative.iter().map(move |q| (*p, *q)));
        let won: f64 = pairs
            .map(|(p, q)| {
                if p > q {
                    1.0
                } else if p == q {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        assert_eq!(auroc(&positive, &negative), won / (n * m) as f64, "{n} {m} {kinds}");
        assert_eq!(auroc(&positive, &negative) + auroc(&negative, &positive), 1.0);
    }
    assert_eq!(auroc(&[0.0], &[-0.0]), 0.5);
    assert!(auroc(&[], &[1.0]).is_nan() && auroc(&[f64::NAN], &[1.0]).is_nan());
}

fn score(depth: usize, position: i32, cosine: f64, auroc: f64) -> Score {
    let (positive, negative) = (moments(&[[1.0, 1.0]]), moments(&[[0.0, 0.0]]));
    let plain = Score::of(Place { depth, position }, &positive, &negative).unwrap();
    Score { cosine, auroc: Some(auroc), top_share: 0.1, ..plain }
}

#[test]
fn ties_go_to_the_shallower_site_and_then_to_the_later_position() {
    let scores = [
        score(4, -1, 0.9, 0.8),
        score(2, -2, 0.1, 0.8),
        score(2, -1, 0.1, 0.8),
        score(1, -1, 0.2, 0.7),
    ];
    assert_eq!(select(Selection::HeldoutAuroc, &scores), Some(2));
    assert_eq!(select(Selection::PaperCosine, &scores), Some(0));
    assert_eq!(select(Selection::PaperCosine, &[]), None);
}

#[test]
fn of_equal_separations_the_one_that_pushes_harder_is_taken() {
    let pushing = |depth, auroc, dose| Score { dose: Some(dose), ..score(depth, -1, 0.1, auroc) };
    let scores = [
        pushing(0, 1.0, 0.03),
        pushing(3, 1.0 - 1e-12, 0.11),
        pushing(4, 1.0, 0.12),
        pushing(5, 1.0, 0.1),
        pushing(6, 0.99, 0.5),
        Score { relative_length: 0.05, ..pushing(1, 1.0, 0.5) },
    ];
    assert_eq!(select(Selection::HeldoutAuroc, &scores), Some(1));
    assert_eq!(tied(Selection::HeldoutAuroc, &scores), [0, 1, 2, 3, 5]);
    assert_eq!(tied(Selection::HeldoutAuroc, &[]), [0; 0]);
}

#[test]
fn a_few_outlier_coordinates_are_dropped_by_auroc_and_kept_by_cosine() {
    let outlier = Score { top_share: 0.51, ..score(0, -1, 0.9, 0.9) };
    let scores = [outlier, score(1, -1, 0.5, 0.6)];
    assert_eq!(select(Selection::HeldoutAuroc, &scores), Some(1));
    assert_eq!(select(Selection::PaperCosine, &scores), Some(0));
    assert!(scores[0].is_concentrated() && !scores[1].is_concentrated());
    assert_eq!(select(Selection::HeldoutAuroc, &[outlier]), None);
    let unheard = Score { auroc: None, ..scores[1] };
    assert_eq!(select(Selection::HeldoutAuroc, &[unheard]), None);
}

#[test]
fn a_candidate_without_a_difference_is_never_chosen() {
    let same = Score { relative_length: 1e-7, ..score(0, -1, 0.99, 0.99) };
    assert_eq!(select(Selection::PaperCosine, &[same, score(1, -1, 0.1, 0.5)]), Some(1));
    assert!(require_difference(&[same, score(1, -1, 0.1, 0.5)]).is_ok());
    assert_eq!(require_difference(&[same, same]).unwrap_err().code(), "no_difference");
    assert_eq!(require_difference(&[]).unwrap_err().code(), "no_difference");
}

#[test]
fn scores_are_what_one_does_by_hand() {
    let (positive, negative) = (moments(&[[3.0, 4.0]]), moments(&[[0.0, 4.0]]));
    let made = Score::of(Place::default(), &positive, &negative).unwrap();
    assert_eq!((made.relative_length, made.cosine, made.length_ratio), (0.6, 0.6, 1.25));
    assert_eq!(made.top_share, 1.0);
    let heard = made.with_held_out(&[3.0, 5.0], &[1.0, 3.0]);
    assert_eq!((heard.auroc, heard.cohens_d), (Some(0.875), Some(2.0 / 2.0_f64.sqrt())));
    assert_eq!(cohens_d(&[1.0, 1.0], &[0.0, 0.0]), None);
    assert_eq!(top_share(&[2.0; 100]), 0.01);
    assert_eq!(top_share(&[2.0; 101]), 2.0 / 101.0);
    assert!(cosine(&[0.0], &[1.0]).is_nan());
}
