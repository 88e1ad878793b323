//! One step of a fit at a time.

use super::adamw::ForecastAdam;
use super::params::FitParams;
use super::set::{FitChain, FitSet};
use crate::draw::Draws;
use crate::error::{TrainerError, width};
use crate::forecast::beta_binomial::{BetaGradient, log_likelihood, log_likelihood_gradient};
use crate::forecast::net::{ForecastWeights, Forecaster};
use crate::forecast::pool::pool_prefixes;
use crate::forecast::real::add_scaled;
use crate::forecast::split::SplitPart;

/// Mean negative log-likelihoods after an epoch, nats per grid point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochLoss {
    /// Of the fit part: each batch before its own step.
    pub fit: f64,
    /// Of the calibrate part, after the epoch.
    pub calibrate: f64,
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitEnd {
    /// All epochs are done.
    Epochs,
    /// The loss on the calibrate part no longer fell.
    EarlyStop,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitStatus {
    /// Another step.
    Running,
    /// Nothing.
    Finished(FitEnd),
}

/// Everything of a fit that changes. A clone continues exactly where it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct FitState {
    params: FitParams,
    current: Forecaster<f64>,
    best: Option<(f64, Forecaster<f64>)>,
    adam: ForecastAdam,
    /// The order of chains in each epoch, drawn at the start: continuing needs no generator.
    orders: Vec<Vec<usize>>,
    /// Chains of this epoch that were seen.
    seen: usize,
    /// Loss of this epoch's batches so far.
    loss: f64,
    losses: Vec<EpochLoss>,
    status: FitStatus,
}

impl FitState {
    /// A fit before its first step. `longest` is `e_max` in tokens, as in [`Forecaster::new`]; `uniform` gives numbers
    /// in [0, 1).
    ///
    /// # Errors
    ///
    /// [`TrainerError::ConstantTarget`] if there is nothing to forecast, [`TrainerError::OtherPart`] if the set is
    /// not the fit part, [`TrainerError::Range`] names a key.
    pub fn new(
        params: FitParams,
        fit: &FitSet,
        longest: u32,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<FitState, TrainerError> {
        params.check()?;
        fit.require(SplitPart::Fit)?;
        fit.check_targets()?;
        let shape = fit.shape();
        let current = Forecaster::new(shape, ForecastWeights::draw(shape, uniform), longest)?;
        let chains = fit.chains().len();
        let mut draws = Draws::of(uniform);
        let orders: Result<Vec<Vec<usize>>, TrainerError> =
            (0..params.epochs).map(|_| draws.choose((0..chains).collect(), chains)).collect();
        let orders = orders?;
        let (adam, status) = (ForecastAdam::new(shape), FitStatus::Running);
        let (best, losses) = (None, Vec::new());
        Ok(FitState { params, current, best, adam, orders, seen: 0, loss: 0.0, losses, status })
    }

    /// One batch; behind the last of an epoch also the loss on the calibrate part. A finished fit stays as it is.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NotFinite`] for a loss, gradient or weight that is not, [`TrainerError::OtherPart`] and
    /// [`TrainerError::Width`] for other sets than the fit began with. The state is as it was then.
    pub fn step(&mut self, fit: &FitSet, calibrate: &FitSet) -> Result<FitStatus, TrainerError> {
        let epoch = self.losses.len();
        let Some(order) = self.orders.get(epoch).filter(|_| self.status == FitStatus::Running)
        else {
            return Ok(self.status);
        };
        fit.require(SplitPart::Fit)?;
        calibrate.require(SplitPart::Calibrate)?;
        width("chains of the fit", fit.chains().len(), order.len())?;
        let (batch, prefixes) = self.batch(order, fit);
        let mut gradient = ForecastWeights::zeros(fit.shape());
        let mut loss = 0.0;
        for chain in &batch {
            loss += add_chain(&self.current, fit, chain, Some(&mut gradient))?;
        }
        // The batch's mean stands for the whole: its expectation is the gradient of the mean over problems.
        let share = fit.prefixes() as f64 / prefixes.max(1) as f64;
        gradient.parts_mut().into_iter().flatten().for_each(|of| *of *= share);
        let mut next = self.clone();
        next.adam.step(&self.params, next.current.weights_mut(), &gradient);
        if !next.current.weights().parts().into_iter().flatten().all(|of| of.is_finite()) {
            return Err(TrainerError::NotFinite { what: "weights" });
        }
        next.loss += loss;
        next.seen += batch.len();
        if next.seen == order.len() {
            next.end_epoch(calibrate)?;
        }
        *self = next;
        Ok(self.status)
    }

    /// The next whole chains until they have a batch's prefixes, and how many these are.
    // order [chains] -> [n]
    fn batch<'a>(&self, order: &[usize], fit: &'a FitSet) -> (Vec<&'a FitChain>, usize) {
        let (mut batch, mut prefixes) = (Vec::new(), 0);
        let rest = order.iter().skip(self.seen);
        for chain in rest.filter_map(|at| fit.chains().get(*at)) {
            batch.push(chain);
            prefixes += chain.prefixes.len();
            if prefixes >= self.params.batch {
                break;
            }
        }
        (batch, prefixes)
    }

    fn end_epoch(&mut self, calibrate: &FitSet) -> Result<(), TrainerError> {
        let loss = mean_loss(&self.current, calibrate)?;
        if self.best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
            self.best = Some((loss, self.current.clone()));
        }
        self.losses.push(EpochLoss { fit: self.loss, calibrate: loss });
        (self.seen, self.loss) = (0, 0.0);
        let lowest = self.best.as_ref().map_or(f64::INFINITY, |(lowest, _)| *lowest);
        let since = self.losses.iter().rev().take_while(|of| of.calibrate > lowest).count();
        if since >= self.params.patience {
            self.status = FitStatus::Finished(FitEnd::EarlyStop);
        } else if self.losses.len() == self.params.epochs {
            self.status = FitStatus::Finished(FitEnd::Epochs);
        }
        Ok(())
    }

    /// The forecaster of lowest loss on the calibrate part; `None` before the first epoch ends.
    pub fn best(&self) -> Option<&Forecaster<f64>> {
        self.best.as_ref().map(|(_, forecaster)| forecaster)
    }

    /// The losses of the epochs so far.
    // [epochs]
    pub fn losses(&self) -> &[EpochLoss] {
        &self.losses
    }

    /// Whether there is more to do.
    pub fn status(&self) -> FitStatus {
        self.status
    }
}

/// Mean negative log-likelihood of a set, nats per grid point, every problem weighing the same.
///
/// # Errors
///
/// [`TrainerError::NotFinite`] for an output that is not, [`TrainerError::Width`] for a set of other sizes.
pub fn mean_loss(forecaster: &Forecaster<f64>, set: &FitSet) -> Result<f64, TrainerError> {
    set.chains()
        .iter()
        .try_fold(0.0, |sum, chain| Ok(sum + add_chain(forecaster, set, chain, None)?))
}

/// The weighted loss of a chain; its gradient is added.
// states [n, width] -> []
fn add_chain(
    forecaster: &Forecaster<f64>,
    set: &FitSet,
    chain: &FitChain,
    mut gradient: Option<&mut ForecastWeights<f64>>,
) -> Result<f64, TrainerError> {
    let shape = forecaster.shape();
    let ends: Vec<usize> = chain.prefixes.iter().map(|prefix| prefix.positions).collect();
    let queries = &forecaster.weights().queries;
    let pooled = pool_prefixes(queries, shape.width, &chain.states, &ends)?;
    let weight = set.cell_weight(chain.problem);
    let (mut loss, mut states) = (0.0, Vec::new());
    for (prefix, pooled) in chain.prefixes.iter().zip(pooled.prefixes()) {
        let inputs = forecaster.inputs(pooled, forecaster.scalars(prefix.scalars))?;
        let trace = forecaster.run(inputs)?;
        let betas = trace.betas();
        let mut slopes = vec![BetaGradient::default(); shape.points];
        for cell in prefix.cells.iter().filter(|cell| cell.count.of > 0) {
            let (Some(params), Some(slope)) = (betas.get(cell.point), slopes.get_mut(cell.point))
            else {
                continue;
            };
            loss -= weight * log_likelihood(cell.count, *params)?;
            let found = log_likelihood_gradient(cell.count, *params)?;
            slope.alpha -= weight * found.alpha;
            slope.beta -= weight * found.beta;
        }
        if let Some(gradient) = gradient.as_deref_mut() {
            states.extend(forecaster.backward(pooled, &trace, &slopes, gradient)?);
        }
    }
    if let Some(gradient) = gradient {
        let queries = pooled.backward(&chain.states, &states)?;
        add_scaled(&mut gradient.queries, 1.0, &queries);
    }
    if loss.is_finite() { Ok(loss) } else { Err(TrainerError::NotFinite { what: "loss" }) }
}
