//! The loop, as a state machine.

use super::ledger::{ModelTokens, TokenLedger};
use super::moves::{
    AllocationEnd, AllocationMove, AllocationOutcome, ForcedAnswer, Spend, SpendCause, SpendTarget,
    Spent,
};
use super::params::{AllocateParams, AnswerPick, ModelEntry};
use crate::error::{TrainerError, at_least, width, within};
use crate::forecast::beta_binomial::BetaParams;
use crate::forecast::chain::ChainEnd;
use crate::forecast::grid::ForecastGrid;
use std::collections::BTreeMap;

/// Chains, tokens and the next move of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    pub(super) params: AllocateParams,
    pub(super) grid: ForecastGrid,
    pub(super) models: Vec<ModelEntry>,
    pub(super) chains: Vec<Chain>,
    ledger: TokenLedger,
    missing: usize,
    /// A chain whose answer was not understood, and why the loop had ended.
    retried: Option<(usize, AllocationEnd)>,
    asked: AllocationMove,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    pub(super) model: usize,
    generated: u32,
    pub(super) end: ChainEnd,
    /// The last m_0 that was known.
    value: f64,
    pub(super) forecast: Option<Vec<BetaParams>>,
}

impl Allocation {
    /// An allocation before its first move.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] or [`TrainerError::Width`] names the key or the part of a model,
    /// [`TrainerError::TooFew`] without a model.
    pub fn new(
        params: AllocateParams,
        grid: ForecastGrid,
        models: Vec<ModelEntry>,
    ) -> Result<Allocation, TrainerError> {
        params.check(grid)?;
        at_least("models", models.len(), 1)?;
        models.iter().try_for_each(|model| model.check(grid))?;
        let ledger = TokenLedger::of(models.len());
        let (asked, chains) = (AllocationMove::Force(Vec::new()), Vec::new());
        let mut new =
            Allocation { params, grid, models, chains, ledger, missing: 0, retried: None, asked };
        new.asked = new.plan()?;
        Ok(new)
    }

    /// What to do next.
    pub fn next_move(&self) -> &AllocationMove {
        &self.asked
    }

    fn plan(&self) -> Result<AllocationMove, TrainerError> {
        if let Some((chain, _)) = self.retried {
            return Ok(AllocationMove::Force(vec![chain]));
        }
        if let Some(spend) = self.blind_chain() {
            return Ok(AllocationMove::Spend(spend));
        }
        let spend = self.best_box()?.or_else(|| self.last_resort());
        Ok(spend.map_or_else(|| AllocationMove::Force(self.answering()), AllocationMove::Spend))
    }

    /// The first chain whose forecast is missing and that is shorter than the default length.
    fn blind_chain(&self) -> Option<Spend> {
        let step = self.grid.step();
        let blind = |chain: &Chain| {
            chain.end == ChainEnd::Open
                && chain.forecast.is_none()
                && chain.generated < self.params.default_length
        };
        let chain = self.chains.iter().position(blind).filter(|_| self.left() >= step)?;
        let (target, cause) = (SpendTarget::Chain(chain), SpendCause::MissingForecast);
        Some(Spend { target, tokens: step, cause })
    }

    /// Reports what came of the tokens that were asked for.
    ///
    /// # Errors
    ///
    /// [`TrainerError::OutOfTurn`] if none were, [`TrainerError::Range`] for more tokens than asked for or, of an
    /// open chain, fewer, [`TrainerError::Width`] for a forecast of another grid. Nothing changes then.
    pub fn spent(&mut self, spent: Spent) -> Result<(), TrainerError> {
        let AllocationMove::Spend(spend) = self.asked else {
            let (found, expected) = ("spent tokens", "an answer");
            return Err(TrainerError::OutOfTurn { found, expected });
        };
        let most = f64::from(spend.tokens);
        let least = if spent.end == ChainEnd::Open { most } else { 0.0 };
        within("generated", f64::from(spent.generated), [least, most])?;
        if let Some(forecast) = &spent.forecast {
            width("forecast", forecast.len(), self.grid.count())?;
        }
        let mut next = self.clone();
        let at = match spend.target {
            SpendTarget::Chain(at) => at,
            SpendTarget::NewChain(model) => next.open(model),
        };
        next.grow(at, spent);
        next.asked = next.plan()?;
        *self = next;
        Ok(())
    }

    /// Opens a chain; the first of a model pays its prefill.
    fn open(&mut self, model: usize) -> usize {
        let entry = self.models.get(model);
        let prefill = entry.map_or(0, |entry| u64::from(self.prefill_left(model, entry)));
        let value = entry.map_or(0.0, ModelEntry::value);
        self.ledger.add(model, ModelTokens { prefill, ..ModelTokens::default() });
        let end = ChainEnd::Open;
        self.chains.push(Chain { model, generated: 0, end, value, forecast: None });
        self.chains.len() - 1
    }

    fn grow(&mut self, at: usize, spent: Spent) {
        let Some(chain) = self.chains.get_mut(at) else { return };
        let sound = |all: &Vec<BetaParams>| all.iter().all(|of| of.check().is_ok());
        chain.generated += spent.generated;
        chain.end = spent.end;
        chain.forecast = spent.forecast.filter(sound);
        match chain.forecast.as_ref().and_then(|all| all.first()) {
            Some(now) => chain.value = now.mean(),
            None => self.missing += 1,
        }
        let thinking = u64::from(spent.generated);
        self.ledger.add(chain.model, ModelTokens { thinking, ..ModelTokens::default() });
    }

    /// Reports the answers that were asked for, in the order of the chains.
    ///
    /// # Errors
    ///
    /// [`TrainerError::OutOfTurn`] if none were or those of other chains, [`TrainerError::Range`] for tokens of a
    /// finished chain. Nothing changes then.
    pub fn answered(&mut self, answers: &[ForcedAnswer]) -> Result<(), TrainerError> {
        let AllocationMove::Force(asked) = &self.asked else {
            let (found, expected) = ("an answer", "spent tokens");
            return Err(TrainerError::OutOfTurn { found, expected });
        };
        if !answers.iter().map(|of| &of.chain).eq(asked) {
            let (found, expected) = ("answers of other chains", "those that were asked for");
            return Err(TrainerError::OutOfTurn { found, expected });
        }
        for of in answers {
            let finished = self.chains.get(of.chain).is_none_or(|c| c.end == ChainEnd::Finished);
            let most = if finished { 0.0 } else { f64::from(u32::MAX) };
            within("tokens of an answer", f64::from(of.tokens), [0.0, most])?;
        }
        let end = self.retried.map_or_else(|| self.end(), |(_, end)| Ok(end))?;
        for of in answers {
            let forced = u64::from(of.tokens);
            let model = self.chains.get(of.chain).map_or(0, |chain| chain.model);
            self.ledger.add(model, ModelTokens { forced, ..ModelTokens::default() });
        }
        let (chain, answer) = self.choose(answers);
        self.asked = match self.second_try(chain).filter(|_| answer.is_none()) {
            Some(spend) => {
                self.retried = Some((chain, end));
                AllocationMove::Spend(spend)
            }
            None => AllocationMove::Done(AllocationOutcome {
                chain,
                answer,
                end,
                ledger: self.ledger.clone(),
                missing_forecasts: self.missing,
            }),
        };
        Ok(())
    }

    /// One more step for a chain whose answer was not understood, if there was none yet.
    fn second_try(&self, chain: usize) -> Option<Spend> {
        let step = self.grid.step();
        let open = self.chains.get(chain).is_some_and(|chain| chain.end == ChainEnd::Open);
        let can = open && self.retried.is_none() && self.left() >= step;
        let (target, cause) = (SpendTarget::Chain(chain), SpendCause::UnparsedAnswer);
        can.then_some(Spend { target, tokens: step, cause })
    }

    /// The chain of highest m_0 with its answer, or that of the vote. Of equals the first.
    // [n] -> []
    fn choose(&self, answers: &[ForcedAnswer]) -> (usize, Option<String>) {
        let value = |of: &ForcedAnswer| self.chains.get(of.chain).map_or(0.0, |chain| chain.value);
        let mut votes: BTreeMap<&str, f64> = BTreeMap::new();
        for of in answers {
            if let Some(answer) = &of.answer {
                *votes.entry(answer).or_default() += value(of);
            }
        }
        let vote = |of: &ForcedAnswer| {
            of.answer.as_ref().and_then(|answer| votes.get(answer.as_str())).copied()
        };
        // An answer that was not understood has no vote. With one chain there is nothing to choose.
        let rank = |of: &ForcedAnswer| [vote(of).unwrap_or(-1.0), value(of)];
        let mut best: Option<(&ForcedAnswer, [f64; 2])> = None;
        for of in answers {
            if best.is_none_or(|(_, beaten)| rank(of) > beaten) {
                best = Some((of, rank(of)));
            }
        }
        best.map_or((0, None), |(of, _)| (of.chain, of.answer.clone()))
    }

    /// The chains whose answers are needed.
    // [] -> [n]
    fn answering(&self) -> Vec<usize> {
        match self.params.pick {
            AnswerPick::Vote => (0..self.chains.len()).collect(),
            AnswerPick::Forecast => {
                let values = self.chains.iter().map(|chain| chain.value).enumerate();
                let better = |best: (usize, f64), next: (usize, f64)| {
                    if next.1 > best.1 { next } else { best }
                };
                values.reduce(better).map(|(chain, _)| chain).into_iter().collect()
            }
        }
    }

    /// The highest m_0 of a chain that could answer now; 0 without one.
    pub fn value_in_hand(&self) -> f64 {
        self.chains.iter().map(|chain| chain.value).fold(0.0, f64::max)
    }

    /// Tokens that still fit under the hard cap.
    pub(super) fn left(&self) -> u32 {
        let spent = self.ledger.total().thinking;
        self.params.hard_cap.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX))
    }

    /// m_t of a chain: of a finished one its m_0 for all t. `None` if the forecast is missing.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Unknown`] for a chain that was not opened.
    // [] -> [points]
    pub fn means(&self, chain: usize) -> Result<Option<Vec<f64>>, TrainerError> {
        let count = self.chains.len();
        let unknown = TrainerError::Unknown { what: "chain", index: chain, count };
        let chain = self.chains.get(chain).ok_or(unknown)?;
        Ok(match chain.end {
            ChainEnd::Finished => Some(vec![chain.value; self.grid.count()]),
            ChainEnd::Open => {
                let all = chain.forecast.as_ref();
                all.map(|all| all.iter().map(|of| of.mean()).collect())
            }
        })
    }

    /// Tokens spent so far.
    pub fn ledger(&self) -> &TokenLedger {
        &self.ledger
    }

    /// The models.
    // [models]
    pub fn models(&self) -> &[ModelEntry] {
        &self.models
    }

    /// How many chains there are.
    pub fn chains(&self) -> usize {
        self.chains.len()
    }
}
