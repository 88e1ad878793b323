//! The tokens that an update computes with: the likeliest of every position, and one pseudo-token for all others.

use super::head::{HeadFacts, OutputHead};
use super::product;
use crate::error::Result;
use std::collections::BTreeMap;

/// The union of the listed tokens and the observed ones, in rising order. Above the limit the most probable are kept, by
/// their largest probability at any position; observed tokens always.
pub(super) fn choose(likeliest: &[Vec<(u32, f32)>], observed: &[u32], limit: usize) -> Vec<u32> {
    let mut best: BTreeMap<u32, f32> = BTreeMap::new();
    for (id, log_p) in likeliest.iter().flatten() {
        let most = best.entry(*id).or_insert(f32::NEG_INFINITY);
        *most = most.max(*log_p);
    }
    for id in observed {
        best.insert(*id, f32::INFINITY);
    }
    let mut ranked: Vec<(u32, f32)> = best.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let always = ranked.iter().take_while(|(_, most)| *most == f32::INFINITY).count();
    ranked.truncate(limit.max(always));
    let mut ids: Vec<u32> = ranked.into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids
}

/// Rows of the output matrix over which a policy is kept.
pub(super) enum SupportRows<'a> {
    /// Some rows in memory, the mean row as the last of them.
    Gathered {
        /// `[n − 1]`, rising.
        ids: Vec<u32>,
        /// `[n, d]`
        rows: Vec<f32>,
        width: usize,
    },
    /// The whole matrix, by way of the head.
    Whole(&'a dyn OutputHead),
}

impl<'a> SupportRows<'a> {
    /// Reads the rows of these tokens.
    // ids [n - 1] -> rows [n, d]
    pub(super) fn gather(
        head: &dyn OutputHead,
        facts: &HeadFacts,
        ids: Vec<u32>,
    ) -> Result<SupportRows<'a>> {
        let mut rows = head.rows(&ids)?;
        rows.extend_from_slice(&facts.mean_row);
        Ok(SupportRows::Gathered { ids, rows, width: head.width() })
    }

    /// Tokens, the pseudo-token counted.
    pub(super) fn len(&self) -> usize {
        match self {
            SupportRows::Gathered { ids, .. } => ids.len() + 1,
            SupportRows::Whole(head) => head.vocabulary(),
        }
    }

    /// Where a token is among the rows.
    pub(super) fn place(&self, id: u32) -> Option<usize> {
        match self {
            SupportRows::Gathered { ids, .. } => ids.binary_search(&id).ok(),
            SupportRows::Whole(head) => Some(id as usize).filter(|at| *at < head.vocabulary()),
        }
    }

    /// ‖row‖² of each token, the pseudo-token's last.
    // -> [n]
    pub(super) fn squared_norms(&self, facts: &HeadFacts) -> Vec<f32> {
        match self {
            SupportRows::Gathered { ids, .. } => {
                let of = |id: &u32| facts.squared_norms.get(*id as usize).copied();
                let listed = ids.iter().map(|id| of(id).unwrap_or_default());
                listed.chain([product::squared(&facts.mean_row) as f32]).collect()
            }
            SupportRows::Whole(_) => facts.squared_norms.clone(),
        }
    }

    /// The scores of many states.
    // states [t, d] -> [t, n]
    pub(super) fn scores(&self, states: &[f32]) -> Result<Vec<f32>> {
        match self {
            SupportRows::Gathered { rows, width, .. } => product::pairs(states, rows, *width),
            SupportRows::Whole(head) => head.scores(states),
        }
    }

    /// The product with one vector.
    // v [d] -> [n]
    pub(super) fn times(&self, v: &[f64]) -> Result<Vec<f64>> {
        match self {
            SupportRows::Gathered { rows, .. } => Ok(product::times(rows, v)),
            SupportRows::Whole(head) => Ok(widened(&head.scores(&narrowed(v))?)),
        }
    }

    /// The transposed product with one vector.
    // s [n] -> [d]
    pub(super) fn transposed(&self, s: &[f64]) -> Result<Vec<f64>> {
        match self {
            SupportRows::Gathered { rows, width, .. } => Ok(product::transposed(rows, s, *width)),
            SupportRows::Whole(head) => Ok(widened(&head.transposed(&narrowed(s))?)),
        }
    }

    /// The mean row under each of many policies.
    // p [t, n] -> [t, d]
    pub(super) fn means(&self, p: &[f32]) -> Result<Vec<f32>> {
        match self {
            SupportRows::Gathered { rows, width, .. } => {
                product::matmul(p, rows, (self.len(), *width))
            }
            SupportRows::Whole(head) => head.transposed(p),
        }
    }
}

// [n] -> [n]
pub(super) fn narrowed(v: &[f64]) -> Vec<f32> {
    v.iter().map(|x| *x as f32).collect()
}

// [n] -> [n]
fn widened(v: &[f32]) -> Vec<f64> {
    v.iter().map(|x| f64::from(*x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_and_the_observed_are_kept() {
        let likeliest = vec![vec![(5, -0.1), (9, -3.0)], vec![(9, -0.5), (2, -1.0), (7, -4.0)]];
        assert_eq!(choose(&likeliest, &[7, 1], 100), [1, 2, 5, 7, 9]);
        assert_eq!(choose(&likeliest, &[7, 1], 4), [1, 5, 7, 9]);
        assert_eq!(choose(&likeliest, &[7, 1], 0), [1, 7]);
    }
}
