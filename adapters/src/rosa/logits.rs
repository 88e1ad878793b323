//! What rows of logits say: partition, entropy, likeliest tokens, divergences.
//!
//! Short rows are those of simulations, and are computed in f64. A vocabulary is long enough that exponentials are what an
//! update costs: these are the runtime's, in f32, summed in f64.

use trimtab_runtime::logits;
use trimtab_runtime::sample::Step;

/// Tokens from which on exponentials are f32.
const LONG: usize = 4096;
/// Logits that are looked at together for one that is likely.
const LINE: usize = 64;

/// `ln Σ exp` and the entropy of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowFacts {
    pub(super) lse: f64,
    pub(super) entropy: f64,
}

// [n] -> []
fn largest(logits: &[f32]) -> f64 {
    f64::from(logits.iter().fold(f32::NEG_INFINITY, |most, z| most.max(*z)))
}

// logits [n] -> [], []
pub(super) fn facts(logits: &[f32]) -> RowFacts {
    if logits.len() >= LONG {
        let step = Step::of(0, logits, 0);
        return RowFacts { lse: step.log_sum_exp, entropy: step.entropy.max(0.0) };
    }
    let most = largest(logits);
    let (mut sum, mut mean) = (0f64, 0f64);
    for z in logits {
        let above = f64::from(*z) - most;
        let weight = above.exp();
        sum += weight;
        // A banned token has weight 0 and a logit of −∞.
        mean += if weight > 0.0 { weight * above } else { 0.0 };
    }
    RowFacts { lse: most + sum.ln(), entropy: (sum.ln() - mean / sum).max(0.0) }
}

/// The likeliest tokens with their log-probabilities; of equals the smaller id.
// logits [n] -> [count]
pub(super) fn likeliest(logits: &[f32], lse: f64, count: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(2 * count + LINE);
    let mut least = f32::NEG_INFINITY;
    for (line, logits) in logits.chunks(LINE).enumerate() {
        // Most lines have nothing that is likely enough.
        if best.len() >= count && !logits.iter().any(|z| *z > least) {
            continue;
        }
        let short = best.len() < count;
        let line = ((line * LINE) as u32..).zip(logits.iter().copied());
        best.extend(line.filter(|(_, z)| short || *z > least));
        if best.len() > 2 * count {
            best.select_nth_unstable_by(count, order);
            best.truncate(count);
            least = best.iter().fold(f32::INFINITY, |least, (_, z)| least.min(*z));
        }
    }
    best.sort_unstable_by(order);
    best.truncate(count);
    best.into_iter().map(|(id, z)| (id, (f64::from(z) - lse) as f32)).collect()
}

/// KL(a‖b) and KL(b‖a) of two rows of logits, nats.
// a [n], b [n] -> [], []
pub(super) fn divergences(a: &[f32], b: &[f32]) -> [f64; 2] {
    if a.len() >= LONG {
        return logits::divergences(a, b);
    }
    let most = [largest(a), largest(b)];
    let (mut sums, mut gaps) = ([0f64; 2], [0f64; 2]);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        let weights = [(a - most[0]).exp(), (b - most[1]).exp()];
        sums[0] += weights[0];
        sums[1] += weights[1];
        gaps[0] += weights[0] * (a - b);
        gaps[1] += weights[1] * (b - a);
    }
    let shift = (most[1] + sums[1].ln()) - (most[0] + sums[0].ln());
    [gaps[0] / sums[0] + shift, gaps[1] / sums[1] - shift]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergences_are_the_textbook_sums() {
        let (a, b) = ([0.3f32, -1.0, 2.0, 0.0], [1.0f32, 0.5, -0.5, 0.25]);
        let probabilities = |z: &[f32]| -> Vec<f64> {
            let total: f64 = z.iter().map(|z| f64::from(*z).exp()).sum();
            z.iter().map(|z| f64::from(*z).exp() / total).collect()
        };
        let (p, q) = (probabilities(&a), probabilities(&b));
        let kl =
            |p: &[f64], q: &[f64]| -> f64 { p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum() };
        let [there, back] = divergences(&a, &b);
        assert!((there - kl(&p, &q)).abs() < 1e-12 && (back - kl(&q, &p)).abs() < 1e-12);
        assert_eq!(divergences(&a, &a), [0.0, 0.0]);
    }

    #[test]
    fn long_rows_say_the_same_as_short_ones() {
        // Twice the tokens at half the mass each: the partition grows by ln 2, the entropy too, divergences stay.
        let wave =
            |pace: f32| (0..LONG - 1).map(|i| (i as f32 * pace).sin() * 6.0).collect::<Vec<_>>();
        let twice = |row: &[f32]| [row, row].concat();
        let (a, b) = (wave(0.7), wave(0.31));
        let (short, long) = (facts(&a), facts(&twice(&a)));
        assert!((long.lse - short.lse - 2f64.ln()).abs() < 1e-5);
        assert!((long.entropy - short.entropy - 2f64.ln()).abs() < 1e-5);
        let pairs = divergences(&a, &b).into_iter().zip(divergences(&twice(&a), &twice(&b)));
        assert!(pairs.into_iter().all(|(short, long)| (short - long).abs() < 1e-5));
    }

    #[test]
    fn the_likeliest_are_those_of_a_sort() {
        let row: Vec<f32> =
            (0..5000).map(|i| ((i * i % 977) as f32 * 0.013).sin().round()).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(row.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for count in [1, 7, 64, 4999, 6000] {
            let expected = sorted.get(..count.min(row.len())).unwrap();
            assert_eq!(likeliest(&row, 0.0, count), expected, "{count}");
        }
    }

    #[test]
    fn a_row_knows_its_partition_and_entropy() {
        let row = facts(&[0.0, 0.0, f32::NEG_INFINITY]);
        assert!((row.lse - 2f64.ln()).abs() < 1e-12 && (row.entropy - 2f64.ln()).abs() < 1e-12);
        let top = likeliest(&[0.0, 2.0, 2.0, -1.0], 0.0, 2);
        assert_eq!(top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
    }
}
