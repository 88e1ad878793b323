//! Behaviours whose read-outs are known, so that the matrix is known too.

use super::{Draws, HERE, built, by, composed, narrow, part, vector};
use crate::compose::algebra::{dot, wide};
use crate::compose::dose::Dosed;
use crate::compose::interference::{Behaviour, Interference, Probe, cosines, measure};
use crate::compose::{Covariance, Mode, Part, Settings, Stream, compose};
use crate::error::Result;
use crate::file::VectorFile;
use linfa_linalg::eigh::Eigh;
use ndarray::{Array1, Array2};
use std::collections::BTreeMap;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hook::Bound;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::testing::tiny;

const WIDTH: usize = tiny::WIDTH;

/// What a plan adds, all together.
fn push(plan: &Plan, decoder: &Decoder) -> Vec<f64> {
    let mut sum = vec![0.0; WIDTH];
    for item in plan.items() {
        let Bound::Additions(additions) = item.bind(decoder.spec()).unwrap() else { panic!() };
        for addition in additions {
            sum.iter_mut().zip(wide(addition.vector())).for_each(|(s, v)| *s += v);
        }
    }
    sum
}

/// Measures vectors against linear read-outs `w_i · (x_k + u)` over states `x_k`.
fn matrix(vectors: &[Dosed<'_>], readouts: &[Vec<f64>], probe: &Probe) -> Result<Interference> {
    let decoder = tiny::decoder().unwrap();
    let mut draws = Draws(1);
    let states: Vec<Vec<f64>> = (0..12).map(|_| draws.row(WIDTH)).collect();
    let mut scores: Vec<_> = readouts
        .iter()
        .map(|w| {
            let (decoder, states) = (&decoder, &states);
            move |plan: &Plan| {
                let push = push(plan, decoder);
                Ok(states.iter().map(|x| dot(w, x) + dot(w, &push)).collect())
            }
        })
        .collect();
    let mut behaviours: Vec<Behaviour<'_, '_>> = vectors
        .iter()
        .zip(&mut scores)
        .map(|(vector, score)| Behaviour { vector: vector.clone(), score })
        .collect();
    measure(&mut behaviours, &BTreeMap::new(), probe, &mut |_, _| Flow::Continue)
}

fn quick() -> Probe {
    Probe { random: 4, draws: 50, ..Probe::default() }
}

/// How a read-out looks at the stream.
#[derive(Clone, Copy)]
enum Seen {
    Plain,
    /// Along Σ⁻¹ times the vector.
    Whitened,
}

/// Three vectors that overlap, in a stream of length 10, and a covariance with its inverse.
struct Toy {
    files: Vec<VectorFile>,
    rows: Vec<Vec<f64>>,
    stream: Stream,
    inverse: Array2<f64>,
}

impl Toy {
    fn new() -> Toy {
        let mut draws = Draws(21);
        let shared = draws.row(WIDTH);
        let rows: Vec<Vec<f64>> = (0..3)
            .map(|_| draws.row(WIDTH).iter().zip(&shared).map(|(a, b)| a + 0.5 * b).collect())
            .collect();
        let files: Vec<VectorFile> =
            rows.iter().map(|row| vector("any", &[(HERE, narrow(row))])).collect();
        let rows = files.iter().map(|file| wide(file.directions()[0].values())).collect();
        let factor =
            Array2::from_shape_fn((WIDTH, WIDTH), |(i, _)| draws.normal() / (1.0 + i as f64));
        let sigma = factor.dot(&factor.t());
        let sigma = 0.5 * (&sigma + &sigma.t());
        let values: Vec<f64> = sigma.iter().copied().collect();
        let covariance = Covariance::new(&values, 10 * WIDTH, 0.1).unwrap();
        let mut shrunk = 0.9 * &sigma;
        shrunk.diag_mut().mapv_inplace(|v| v + 0.1 * sigma.diag().sum() / WIDTH as f64);
        let (energies, frame) = shrunk.eigh().unwrap();
        let inverse = (&frame / &energies).dot(&frame.t());
        let covariances = BTreeMap::from([(HERE, covariance)]);
        Toy { files, rows, stream: Stream { covariances, ..Stream::default() }, inverse }
    }

    fn parts(&self) -> Vec<Part<'_>> {
        self.files.iter().map(|file| part(file, 0.1)).collect()
    }

    /// Read-outs along the vectors, or along Σ⁻¹ times them, scaled so that each sees its own vector as 1.
    fn readouts(&self, kind: Seen) -> Vec<Vec<f64>> {
        let of = |row: &Vec<f64>| {
            let w = match kind {
                Seen::Plain => row.clone(),
                Seen::Whitened => self.inverse.dot(&Array1::from_vec(row.clone())).to_vec(),
            };
            let own = dot(&w, row);
            w.iter().map(|x| x / own).collect()
        };
        self.rows.iter().map(of).collect()
    }

    /// The largest response of a behaviour to a vector below it, after separation by a mode.
    fn leak(&self, mode: Mode, kind: Seen) -> f64 {
        let settings = Settings { keep_least: 0.0, m: 1, ..by(mode) };
        let parts = self.parts();
        let composed = compose(&parts, &settings, &self.stream).unwrap();
        let found = matrix(&composed.vectors(), &self.readouts(kind), &quick()).unwrap();
        let below = found.response.iter().enumerate();
        let below = below.flat_map(|(i, row)| row.iter().skip(i + 1).map(|m| m.mean.abs()));
        below.fold(0.0, f64::max)
    }
}

#[test]
fn the_matrix_is_the_analytic_one() {
    let toy = Toy::new();
    let vectors: Vec<Dosed<'_>> = toy.parts().into_iter().map(|part| part.dosed).collect();
    let readouts = toy.readouts(Seen::Plain);
    let found = matrix(&vectors, &readouts, &quick()).unwrap();
    for (i, w) in readouts.iter().enumerate() {
        for (j, v) in toy.rows.iter().enumerate() {
            // A unit dose is a push of the stream's length.
            let expected = 10.0 * dot(w, v);
            let m = found.response[i][j];
            assert!((m.mean - expected).abs() < 1e-6 * 10.0, "{i} {j}: {} {expected}", m.mean);
            assert!(m.low <= m.mean && m.mean <= m.high && m.high - m.low < 1e-6);
            let magnitude = f64::from(toy.files[j].card().sites[&HERE].magnitude.unwrap());
            let full = 0.1 * magnitude * dot(w, v);
            let together = found.together[i][j].map_or(found.own[i].mean, |n| n.mean);
            assert!((together - full).abs() < 1e-6, "{i} {j}");
        }
        assert!(found.noise[i].unwrap() > 0.0);
    }
    assert_eq!(found.failing(), Vec::<usize>::new());
}

#[test]
fn each_metric_hides_from_its_own_readouts_and_from_no_others() {
    let toy = Toy::new();
    assert!(toy.leak(Mode::Sum, Seen::Plain) > 1.0 && toy.leak(Mode::Sum, Seen::Whitened) > 1.0);
    assert!(toy.leak(Mode::Subspace, Seen::Plain) < 1e-5);
    assert!(toy.leak(Mode::Sigma, Seen::Whitened) < 1e-5);
    assert!(toy.leak(Mode::Subspace, Seen::Whitened) > 0.1);
    assert!(toy.leak(Mode::Sigma, Seen::Plain) > 0.1);
}

#[test]
fn a_behaviour_that_its_vector_does_not_move_is_named() {
    let toy = Toy::new();
    let vectors: Vec<Dosed<'_>> = toy.parts().into_iter().map(|part| part.dosed).collect();
    let mut readouts = toy.readouts(Seen::Plain);
    readouts[1].iter_mut().for_each(|w| *w = -*w);
    readouts[2].iter_mut().for_each(|w| *w = 0.0);
    let found = matrix(&vectors, &readouts, &quick()).unwrap();
    assert_eq!(found.failing(), [1, 2]);
    let none = Probe { random: 0, ..quick() };
    assert_eq!(matrix(&vectors, &readouts, &none).unwrap().noise, [None, None, None]);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let toy = Toy::new();
    let vectors: Vec<Dosed<'_>> = toy.parts().into_iter().map(|part| part.dosed).collect();
    let refused =
        |probe: &Probe| matrix(&vectors, &toy.readouts(Seen::Plain), probe).unwrap_err().code();
    assert_eq!(refused(&Probe { epsilon: 0.0, ..quick() }), "invalid_value");
    let bare = built("bare", &[(HERE, narrow(&toy.rows[0]))], |card| {
        card.sites.values_mut().for_each(|entry| entry.stream_norm = None);
    });
    let measured = |progress: Flow, file: &VectorFile| {
        let mut items = 3;
        let mut score = |_: &Plan| {
            items -= 1;
            Ok(vec![0.0; items])
        };
        let mut behaviours = [Behaviour { vector: part(file, 0.1).dosed, score: &mut score }];
        let norms = BTreeMap::new();
        measure(&mut behaviours, &norms, &quick(), &mut |_, _| progress).unwrap_err().code()
    };
    assert_eq!(measured(Flow::Continue, &bare), "stream_norm_missing");
    assert_eq!(measured(Flow::Continue, &toy.files[0]), "score_invalid");
    assert_eq!(measured(Flow::Cancel, &toy.files[0]), "cancelled");
}

#[test]
fn cosines_are_those_of_the_rows() {
    let toy = Toy::new();
    let parts = toy.parts();
    let vectors: Vec<Dosed<'_>> = parts.iter().map(|part| part.dosed.clone()).collect();
    let table = cosines(&vectors);
    let (places, products) = &table[&HERE];
    assert_eq!(places, &[0, 1, 2]);
    assert!((products[0][1] - dot(&toy.rows[0], &toy.rows[1])).abs() < 1e-6);
    // The report has the same, by priority.
    let report = composed(&parts, &by(Mode::Sum)).unwrap().report().groups[0].before.clone();
    assert_eq!(&report, products);
    assert!(cosines(&vectors[..1]).is_empty());
}
