//! How much answers repeat themselves.
//!
//! Steering too hard shows as loops first. Counts are over words, not tokens, so that they mean the same for every
//! model.

use super::reply::{End, Reply, words};
use std::collections::BTreeSet;

/// How varied a set of answers is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variety {
    /// Share of 4-grams that stood in the same answer before, mean over answers.
    pub repetition: f64,
    /// Different words per word, over all answers.
    pub distinct_1: f64,
    /// Different pairs of words per pair, over all answers.
    pub distinct_2: f64,
    /// Words of an answer, mean.
    pub words: f64,
    /// Share of answers that the model ended itself.
    pub ended: f64,
}

impl Variety {
    /// Of these answers; of none, everything is 0.
    pub fn of(replies: &[Reply]) -> Variety {
        let texts: Vec<Vec<String>> =
            replies.iter().map(|r| words(&r.text).map(str::to_lowercase).collect()).collect();
        let n = replies.len().max(1) as f64;
        let ended = replies.iter().filter(|reply| reply.end == End::Itself).count();
        Variety {
            repetition: texts.iter().map(|text| repetition(text)).sum::<f64>() / n,
            distinct_1: distinct(&texts, 1),
            distinct_2: distinct(&texts, 2),
            words: texts.iter().map(Vec::len).sum::<usize>() as f64 / n,
            ended: ended as f64 / n,
        }
    }
}

/// The share of a text's 4-grams that it had before; 0 of a text too short to have one.
pub(super) fn repetition(text: &[String]) -> f64 {
    let all = text.windows(4).count();
    let different = text.windows(4).collect::<BTreeSet<&[String]>>().len();
    (all - different) as f64 / all.max(1) as f64
}

fn distinct(texts: &[Vec<String>], n: usize) -> f64 {
    let grams = || texts.iter().flat_map(|text| text.windows(n));
    grams().collect::<BTreeSet<&[String]>>().len() as f64 / grams().count().max(1) as f64
}
