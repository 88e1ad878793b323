//! Every shape, every flaw, and the split.

mod flaws;
mod shapes;

use super::{BadPairs, PairError, Pairs, Part, Shares};
use crate::error::Error;

fn read(text: &str) -> Pairs {
    Pairs::from_bytes(text.as_bytes(), BadPairs::Refuse).unwrap()
}

fn flaw(text: &str) -> PairError {
    match Pairs::from_bytes(text.as_bytes(), BadPairs::Refuse) {
        Err(Error::Data(flaw)) => *flaw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn shares_are_met_exactly_and_groups_stay_together() {
    let line = |i: usize, g: usize| {
        format!("{{\"prompt\": \"p{g}\", \"chosen\": \"c{i}\", \"rejected\": \"r{i}\"}}\n")
    };
    let text: String = (0..100).map(|i| line(i, i)).collect();
    let pairs = read(&text);
    let count = |parts: &[Part]| {
        [Part::Fit, Part::Select, Part::Test].map(|p| parts.iter().filter(|q| **q == p).count())
    };
    let parts = pairs.parts(Shares::default(), 0);
    assert_eq!(count(&parts), [40, 20, 40]);
    assert_eq!(parts, pairs.parts(Shares::default(), 0));
    assert_ne!(parts, pairs.parts(Shares::default(), 1));
    assert_eq!(count(&pairs.parts(Shares::new(1.0, 0.0, 0.0).unwrap(), 0)), [100, 0, 0]);
    assert_eq!(count(&pairs.parts(Shares::new(0.5, 0.0, 0.5).unwrap(), 0)), [50, 0, 50]);
    assert_eq!(count(&pairs.parts(Shares::new(0.5, 0.5, 0.0).unwrap(), 0)), [50, 50, 0]);
    assert!(Shares::new(0.5, 0.5, 0.5).is_none() && Shares::new(1.1, -0.1, 0.0).is_none());

    // Ten groups of ten: whatever the seed, a group is in one part.
    let grouped = read(&(0..100).map(|i| line(i, i % 10)).collect::<String>());
    for seed in 0..20 {
        let parts = grouped.parts(Shares::default(), seed);
        assert_eq!(count(&parts), [40, 20, 40]);
        assert!((0..100).all(|i| parts[i] == parts[i % 10]), "{seed}");
    }
    // The order of the file plays no part.
    let backward = read(&(0..100).rev().map(|i| line(i, i)).collect::<String>());
    let mut turned = backward.parts(Shares::default(), 0);
    turned.reverse();
    assert_eq!(turned, pairs.parts(Shares::default(), 0));
}
