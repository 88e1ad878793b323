//! When a duel is worth a user's time.

/// So many first contrasts say what a large one is.
pub(super) const FIRST_CONTRASTS: usize = 20;
/// Turns between two questions once the budget is spent.
const REST_TURNS: u64 = 10;

/// How much has been asked before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) pairs: u64,
    pub(super) budget: usize,
    /// u of the best contrast of the first pairs.
    pub(super) contrasts: &'a [f64],
}

impl Asked<'_> {
    /// Whether a duel with this best contrast is held: always within the budget; then if the contrast exceeds half the
    /// median of the first ones, at most once in ten turns.
    pub(super) fn is_worth(&self, contrast: f64, since_asked: Option<u64>) -> bool {
        if self.pairs < self.budget as u64 {
            return true;
        }
        let rested = since_asked.is_none_or(|turns| turns >= REST_TURNS);
        let threshold = median(self.contrasts).map(|median| median / 2.0);
        rested && threshold.is_some_and(|threshold| contrast > threshold)
    }
}

// [n] -> []
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let upper = sorted.get(n / 2)?;
    let lower = sorted.get((n - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_budget_only_informative_duels_are_held() {
        let contrasts = [4.0, 1.0, 3.0, 2.0];
        let asked = |pairs| Asked { pairs, budget: 4, contrasts: &contrasts };
        assert!(asked(3).is_worth(0.0, Some(0)));
        assert!(!asked(4).is_worth(1.25, None));
        assert!(asked(4).is_worth(1.26, None));
        assert!(!asked(4).is_worth(9.0, Some(9)));
        assert!(asked(4).is_worth(9.0, Some(10)));
        let never = Asked { pairs: 0, budget: 0, contrasts: &[] };
        assert!(!never.is_worth(9.0, None));
    }
}
