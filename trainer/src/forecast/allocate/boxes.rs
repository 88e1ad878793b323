//! The boxes of an allocation, and the best one.

use super::moves::{AllocationEnd, Spend, SpendCause, SpendTarget};
use super::params::ModelEntry;
use super::state::Allocation;
use crate::error::TrainerError;
use crate::forecast::chain::ChainEnd;
use crate::forecast::index::RewardBox;

/// A box with what it is of.
struct LabelledBox {
    target: SpendTarget,
    tokens: u32,
    of: RewardBox,
}

impl Allocation {
    /// All boxes: continuations of open chains, then a new chain per model, each over the grid. Caps are not looked
    /// at. A continuation without tokens reveals nothing and is no box.
    // [] -> [boxes]
    fn boxes(&self) -> impl Iterator<Item = LabelledBox> {
        let open = self.chains.iter().enumerate().filter(|(_, c)| c.end == ChainEnd::Open);
        let continued = open.filter_map(|(at, chain)| {
            let model = self.models.get(chain.model)?;
            let forecast = chain.forecast.as_ref()?;
            Some((SpendTarget::Chain(at), model, forecast, 0))
        });
        let new = self.models.iter().enumerate().map(|(at, model)| {
            let prefill = self.prefill_left(at, model);
            (SpendTarget::NewChain(at), model, &model.forecast, prefill)
        });
        continued.chain(new).flat_map(move |(target, model, forecast, prefill)| {
            self.grid.points().zip(forecast).skip(1).map(move |(tokens, mean)| {
                let cost = self.cost(model, tokens + prefill);
                LabelledBox { target, tokens, of: RewardBox { mean: *mean, cost } }
            })
        })
    }

    /// What keeps a box closed.
    fn blocked(&self, of: &LabelledBox) -> Option<AllocationEnd> {
        match of.target {
            SpendTarget::NewChain(_) if self.chains.len() >= self.params.max_chains => {
                Some(AllocationEnd::ChainCap)
            }
            _ if of.tokens > self.left() => Some(AllocationEnd::HardCap),
            SpendTarget::NewChain(_) | SpendTarget::Chain(_) => None,
        }
    }

    /// The box of highest index above the value in hand.
    pub(super) fn best_box(&self) -> Result<Option<Spend>, TrainerError> {
        let value = self.value_in_hand();
        let at_once = self.at_once().filter(|(_, index)| *index > value);
        let boxes: Vec<LabelledBox> =
            self.boxes().filter(|of| self.blocked(of).is_none()).collect();
        let floor = at_once.map_or(value, |(_, index)| index);
        let found = self.params.reward.best(boxes.iter().map(|labelled| labelled.of), floor)?;
        let spend =
            |target, tokens, index| Spend { target, tokens, cause: SpendCause::Index(index) };
        let opened = found.and_then(|found| {
            let LabelledBox { target, tokens, .. } = boxes.get(found.at)?;
            Some(spend(*target, *tokens, found.index))
        });
        Ok(opened.or(at_once.map(|(target, index)| spend(target, 0, index))))
    }

    /// The best new chain that answers at once, unless there are too many chains. It reveals nothing, so its index is
    /// its m_0 less its prefill.
    fn at_once(&self) -> Option<(SpendTarget, f64)> {
        if self.chains.len() >= self.params.max_chains {
            return None;
        }
        let index = |(at, model): (usize, &ModelEntry)| {
            let prefill = self.prefill_left(at, model);
            (SpendTarget::NewChain(at), model.value() - self.cost(model, prefill))
        };
        let better = |best: (SpendTarget, f64), next: (SpendTarget, f64)| {
            if next.1 > best.1 { next } else { best }
        };
        self.models.iter().enumerate().map(index).reduce(better)
    }

    /// The chain to open where there is none and no box pays: there must be an answer.
    pub(super) fn last_resort(&self) -> Option<Spend> {
        let (target, _) = self.at_once().filter(|_| self.chains.is_empty())?;
        Some(Spend { target, tokens: 0, cause: SpendCause::NothingPays })
    }

    /// Why nothing more is spent: a cap, if a box behind it would pay. Of both caps the hard one.
    pub(super) fn end(&self) -> Result<AllocationEnd, TrainerError> {
        let value = self.value_in_hand();
        let mut end = AllocationEnd::NoBoxPays;
        for labelled in self.boxes() {
            let RewardBox { mean, cost } = labelled.of;
            if self.params.reward.excess(mean, value)? <= cost {
                continue;
            }
            match self.blocked(&labelled) {
                Some(AllocationEnd::HardCap) => return Ok(AllocationEnd::HardCap),
                Some(cap) => end = cap,
                None => {}
            }
        }
        Ok(end)
    }

    /// Tokens of a prompt that a new chain of this model has to pay.
    pub(super) fn prefill_left(&self, at: usize, model: &ModelEntry) -> u32 {
        let entered = self.chains.iter().any(|chain| chain.model == at);
        if entered { 0 } else { model.prefill_tokens }
    }

    fn cost(&self, model: &ModelEntry, tokens: u32) -> f64 {
        self.params.lambda * model.price * f64::from(tokens)
    }
}
