//! The two arms of a duel, and the probability with which the second was chosen.
//!
//! Arm a is what would be served. Arm b is chosen by a rule, and its propensity is kept with the pair, so that what was
//! learnt can later be judged without the rule that gathered it. `ucb` and `runner_up` are deterministic: 1. `random` is
//! 1/(m − 1). For `thompson` the probability that another draw of weights had chosen the same arm is estimated from
//! 1,000 further keyed draws, with one count added to every arm: it is never 0, and sums to 1 over the arms.

use super::matrix::{cholesky, dot};
use super::params::SecondRule;
use super::stream::{Stream, named};
use ndarray::Array2;

/// Further draws of weights that a propensity is estimated from.
pub const PROPENSITY_DRAWS: usize = 1000;

/// What is known of a candidate.
#[derive(Debug, Clone)]
pub(super) struct Rated {
    /// Its row among all candidates.
    pub(super) row: usize,
    /// The reward r in log-odds.
    pub(super) reward: f64,
    /// u: its contrast with arm a.
    pub(super) bonus: f64,
    /// `L⁻¹∂r`, by which its reward varies under drawn weights; empty unless the rule asks for it.
    pub(super) deviation: Vec<f64>,
}

/// The largest value's place; of equals the first.
// [n] -> []
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, value) in values.enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((at, value));
        }
    }
    best.map(|(at, _)| at)
}

/// The place of arm b among candidates without arm a, in order of rows, and its propensity. `None` of none.
pub(super) fn second(
    rule: SecondRule,
    nu: f64,
    others: &[Rated],
    (seed, round): (u64, usize),
) -> Option<(usize, f64)> {
    match rule {
        SecondRule::Ucb => {
            largest(others.iter().map(|o| o.reward + nu * o.bonus)).map(|at| (at, 1.0))
        }
        SecondRule::RunnerUp => largest(others.iter().map(|o| o.reward)).map(|at| (at, 1.0)),
        SecondRule::Random if others.is_empty() => None,
        SecondRule::Random => {
            let n = others.len();
            let at = (named(seed, "tpop.second", round).uniform() * n as f64) as usize;
            Some((at.min(n - 1), 1.0 / n as f64))
        }
        SecondRule::Thompson => thompson(others, (seed, round)),
    }
}

/// Arm b under drawn weights, and how often further draws choose it.
fn thompson(others: &[Rated], (seed, round): (u64, usize)) -> Option<(usize, f64)> {
    let deviations = reduced(others);
    let width = deviations.first().map_or(0, Vec::len);
    let choose = |stream: &mut Stream| {
        let z = stream.normals(width);
        largest(others.iter().zip(&deviations).map(|(other, by)| other.reward + dot(by, &z)))
    };
    let chosen = choose(&mut Stream::of(seed, "tpop.thompson", round))?;
    let mut further = Stream::of(seed, "tpop.propensity", round);
    let same = (0..PROPENSITY_DRAWS).filter(|_| choose(&mut further) == Some(chosen)).count();
    let all = (PROPENSITY_DRAWS + others.len()) as f64;
    Some((chosen, (same as f64 + 1.0) / all))
}

/// Deviations with the same products among each other, in no more coordinates than there are candidates.
// [candidates, width] -> [candidates, least of both]
fn reduced(others: &[Rated]) -> Vec<Vec<f64>> {
    let (n, whole) = (others.len(), || others.iter().map(|o| o.deviation.clone()).collect());
    if others.first().is_none_or(|other| other.deviation.len() <= n) {
        return whole();
    }
    let product = |(i, j): (usize, usize)| {
        let both = others.get(i).zip(others.get(j));
        both.map_or(0.0, |(a, b)| dot(&a.deviation, &b.deviation))
    };
    let mut covariance = Array2::from_shape_fn((n, n), product);
    // Two answers with the same features make it singular.
    let slack = 1e-12 * covariance.diag().sum() + 1e-18;
    covariance.diag_mut().iter_mut().for_each(|x| *x += slack);
    match cholesky(&covariance, "covariance of rewards") {
        Ok(lower) => lower.rows().into_iter().map(|row| row.to_vec()).collect(),
        Err(_) => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(row: usize, reward: f64, bonus: f64, deviation: Vec<f64>) -> Rated {
        Rated { row, reward, bonus, deviation }
    }

    fn three() -> [Rated; 3] {
        [
            rated(1, 0.5, 0.1, vec![0.3, 0.0, 0.1, 0.2]),
            rated(2, 0.4, 1.0, vec![0.0, 1.0, -0.2, 0.1]),
            rated(3, 0.5, 0.1, vec![0.2, 0.4, 0.9, 0.0]),
        ]
    }

    #[test]
    fn rules_choose_what_they_say_and_ties_go_to_the_smaller_row() {
        let by = |rule, nu| second(rule, nu, &three(), (1, 0));
        assert_eq!(by(SecondRule::RunnerUp, 0.5), Some((0, 1.0)));
        assert_eq!(by(SecondRule::Ucb, 0.5), Some((1, 1.0)));
        // m02: without ν the bonus counts for nothing.
        assert_eq!(by(SecondRule::Ucb, 0.0), Some((0, 1.0)));
        for rule in
            [SecondRule::Ucb, SecondRule::Random, SecondRule::RunnerUp, SecondRule::Thompson]
        {
            assert_eq!(second(rule, 0.5, &[], (1, 0)), None);
        }
    }

    #[test]
    fn propensities_are_the_shares_of_choices() {
        for rule in [SecondRule::Random, SecondRule::Thompson] {
            let (mut counts, mut propensity) = ([0.0; 3], [0.0; 3]);
            for round in 0..4000 {
                let (at, p) = second(rule, 0.5, &three(), (7, round)).unwrap();
                counts[at] += 1.0 / 4000.0;
                propensity[at] = p;
            }
            for (count, p) in counts.iter().zip(propensity) {
                assert!((count - p).abs() < 0.05, "{rule:?}: {count} at {p}");
            }
        }
    }

    #[test]
    fn a_propensity_is_never_0() {
        // The second is chosen about once in 30,000 draws: none of the further thousand chooses it.
        let others = [rated(1, 4.0, 0.0, vec![1.0]), rated(2, 0.0, 0.0, vec![0.0])];
        let rare = (0..200_000).find_map(|round| {
            let z = Stream::of(3, "tpop.thompson", round).normals(1);
            (z[0] < -4.0).then(|| second(SecondRule::Thompson, 0.0, &others, (3, round)))
        });
        let (at, propensity) = rare.unwrap().unwrap();
        assert_eq!((at, propensity), (1, 1.0 / 1002.0));
    }

    #[test]
    fn fewer_coordinates_have_the_same_products() {
        let (others, reduced) = (three(), reduced(&three()));
        for (i, a) in others.iter().enumerate() {
            assert_eq!(reduced[i].len(), 3);
            for (j, b) in others.iter().enumerate() {
                let expected = dot(&a.deviation, &b.deviation);
                assert!((dot(&reduced[i], &reduced[j]) - expected).abs() < 1e-9);
            }
        }
        let same = [rated(1, 0.0, 0.0, vec![1.0; 5]), rated(2, 0.0, 0.0, vec![1.0; 5])];
        assert_eq!(super::reduced(&same)[0].len(), 2);
    }
}
