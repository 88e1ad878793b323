//! Laws of the learner, named by the row of the specification's table of mechanics that they hold.

mod judging;
mod learning;
mod linear;
mod lookahead;
mod noise;
mod storing;
mod token;

use super::pair::Recorded;
use super::stream::Stream;
use super::*;
use std::sync::Arc;

pub(super) const WIDTH: usize = 6;
pub(super) const EXTRACTOR: TpopDigest = [3; 32];

pub(super) fn state_of(params: TpopParams) -> TpopState {
    let config = params.check().unwrap();
    let scope = TpopScope { config, extractor: EXTRACTOR, width: WIDTH, seed: 7 };
    TpopState::new(scope).unwrap()
}

pub(super) fn state() -> TpopState {
    state_of(TpopParams::default())
}

/// Feature vectors that are the same for the same seed.
pub(super) fn vectors(seed: u64, n: usize) -> Vec<Vec<f32>> {
    let mut stream = Stream::of(seed, "vectors", 0);
    let mut vector = || stream.normals(WIDTH).iter().map(|x| *x as f32).collect();
    (0..n).map(|_| vector()).collect()
}

pub(super) fn pair(id: u64, features: [&[f32]; 2], judgement: PairLabel) -> DuelPair {
    let digest = |side: u8| {
        let mut digest = [side; 32];
        digest[..8].copy_from_slice(&id.to_le_bytes());
        digest
    };
    DuelPair {
        id,
        features: features.map(<[f32]>::to_vec),
        answers: [digest(1), digest(2)],
        prefixes: None,
        order: if id.is_multiple_of(2) { DuelOrder::ALeft } else { DuelOrder::BLeft },
        judgement,
        weight: 1.0,
        propensity: 1.0,
        contrast: 1.0,
        time_ms: id as i64,
    }
}

/// A taste of length 1.5, and what it prefers of two, with the noise of the choice model.
pub(super) struct Taste {
    pub(super) theta: Vec<f64>,
    stream: Stream,
}

impl Taste {
    pub(super) fn of(seed: u64) -> Taste {
        let mut stream = Stream::of(seed, "taste", 0);
        let direction = stream.normals(WIDTH);
        let length = matrix::dot(&direction, &direction).sqrt();
        Taste { theta: direction.iter().map(|x| 1.5 * x / length).collect(), stream }
    }

    pub(super) fn utility(&self, features: &[f32]) -> f64 {
        matrix::dot(&self.theta, &matrix::wide(features))
    }

    pub(super) fn prefers(&mut self, a: &[f32], b: &[f32]) -> PairLabel {
        let odds = self.utility(a) - self.utility(b);
        if self.stream.uniform() < matrix::sigmoid(odds) { PairLabel::A } else { PairLabel::B }
    }
}

/// Judged pairs of random features.
pub(super) fn pairs(seed: u64, n: usize) -> Vec<DuelPair> {
    let (all, mut taste) = (vectors(seed, 2 * n), Taste::of(seed));
    let each = all.chunks_exact(2).zip(0..);
    each.map(|(both, id)| {
        let judgement = taste.prefers(&both[0], &both[1]);
        pair(id, [&both[0], &both[1]], judgement)
    })
    .collect()
}

pub(super) fn taught(state: TpopState, pairs: impl IntoIterator<Item = DuelPair>) -> TpopState {
    pairs.into_iter().fold(state, |state, pair| state.learn(pair).unwrap().state)
}

pub(super) fn recorded(pairs: &[DuelPair]) -> Vec<Arc<Recorded>> {
    let one = |pair: &DuelPair| Recorded { pair: pair.clone(), margin: 0.0, held: false };
    pairs.iter().map(one).map(Arc::new).collect()
}

/// Candidates with a digest each.
pub(super) fn candidates(features: &[Vec<f32>]) -> Vec<DuelCandidate<'_>> {
    let all = features.iter().zip(0u8..);
    all.map(|(features, at)| DuelCandidate { features, answer: [at; 32] }).collect()
}

pub(super) fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{found} for {expected}");
    }
}
