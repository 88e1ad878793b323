//! A run: everything that changes from update to update, in one value.

use super::batch::{BatchReport, BatchSetting};
use super::curriculum::{Curriculum, CurriculumPoint, CurriculumStage, ItemPool};
use super::params::Train;
use super::score::{PolicyScore, Scoring};
use super::standing::{COLLAPSE_SHARE, PolicyCollapse, SignalWindow, TrainStanding, TrainStop};
use crate::draw::Draws;
use crate::error::{TrainerError, width};
use crate::ponder::adamw::{AdamW, AdamWParams};
use crate::ponder::net::{Controller, PreparedController};
use crate::ponder::strength::Ponder;
use crate::ponder::table::{RewardRule, RewardTable, TableItem};
use std::sync::Arc;

/// Updates between two scores of the greedy policy.
pub const SCORE_EVERY: usize = 50;
/// How many of the best controllers are kept.
pub const KEPT_CONTROLLERS: usize = 3;

/// The tables of a run. They never change, so clones of a run share them.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainTables {
    /// What is learnt from.
    pub fit: Arc<RewardTable>,
    /// What controllers are chosen by.
    pub select: Arc<RewardTable>,
}

/// A controller that was scored.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptController {
    /// Updates made when it was scored.
    pub update: usize,
    /// Its score on the select split under the whole cost weight.
    pub score: PolicyScore,
    /// The controller itself.
    pub controller: Controller,
}

/// What one update did.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateReport {
    /// Updates made, this one included.
    pub update: usize,
    /// Its settings.
    pub point: CurriculumPoint,
    /// Its groups.
    pub batch: BatchReport,
    /// The gradient's norm before clipping; none where all groups were skipped and no weight moved.
    pub gradient_norm: Option<f64>,
    /// The score of the new controller, every [`SCORE_EVERY`] updates and at the end.
    pub score: Option<PolicyScore>,
}

/// A run between two updates. A clone, continued with the same random numbers, gives the same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    ponder: Ponder,
    train: Train,
    tables: TrainTables,
    rule: RewardRule,
    curriculum: Curriculum,
    learnable: Vec<usize>,
    reference: Option<PreparedController>,
    controller: Controller,
    optimiser: AdamW,
    update: usize,
    draws: u64,
    window: SignalWindow,
    kept: Vec<KeptController>,
    collapses: Vec<PolicyCollapse>,
    standing: TrainStanding,
}

/// An update that is computed and not yet made.
struct Computed {
    controller: Controller,
    optimiser: AdamW,
    report: UpdateReport,
}

/// An update that was not made, with the ids of its items.
struct Failure {
    error: TrainerError,
    items: Vec<String>,
}

impl Training {
    /// A run that starts from a controller. With `train.kl` above 0 the start is P_ref.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] for K = 0, for a fit table with fewer answers than `train.answers`, or without an item that can
    /// be learnt from; [`TrainerError::Width`] if controller and tables differ in K or width; those of [`RewardRule::new`].
    pub fn new(
        ponder: Ponder,
        train: Train,
        controller: Controller,
        tables: TrainTables,
    ) -> Result<Training, TrainerError> {
        check_shapes(&ponder, &controller, &tables)?;
        let learnable = tables.fit.learnable();
        let answers = tables.fit.shape().answers;
        for (what, found, least) in [
            ("ponder.steps", controller.steps(), 1),
            ("answers at a strength", answers, train.params().answers),
            ("fit items with a pass rate from 0.1 to 0.9", learnable.len(), 1),
        ] {
            if found < least {
                return Err(TrainerError::TooFew { what, found, least });
            }
        }
        let optimiser = AdamWParams { lr: train.params().lr, ..AdamWParams::default() };
        Ok(Training {
            rule: RewardRule::new(&tables.fit, controller.input().ladder())?,
            curriculum: Curriculum::new(train.params()),
            reference: (train.params().kl > 0.0).then(|| controller.prepare()),
            optimiser: AdamW::new(optimiser, controller.weights().len())?,
            update: 0,
            draws: 0,
            window: SignalWindow::default(),
            kept: Vec::new(),
            collapses: Vec::new(),
            standing: TrainStanding::Running,
            ponder,
            train,
            tables,
            learnable,
            controller,
        })
    }

    /// The keys of the run.
    pub fn train(&self) -> &Train {
        &self.train
    }

    /// The reward of the run.
    pub fn rule(&self) -> &RewardRule {
        &self.rule
    }

    /// The controller after the updates made so far.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Updates made.
    pub fn updates(&self) -> usize {
        self.update
    }

    /// Random numbers taken so far: where the caller's generator has to stand to continue.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// Whether the run goes on.
    pub fn standing(&self) -> &TrainStanding {
        &self.standing
    }

    /// The best controllers by reward on the select split, the best first; of equals the earlier one. At most
    /// [`KEPT_CONTROLLERS`].
    pub fn kept(&self) -> &[KeptController] {
        &self.kept
    }

    /// Scores before stage 3 at which nearly all items had one strength.
    pub fn collapses(&self) -> &[PolicyCollapse] {
        &self.collapses
    }

    /// What scores of this run are computed with: the select split under the whole cost weight, so that scores of different
    /// stages compare.
    pub fn scoring(&self) -> Scoring<'_> {
        Scoring {
            table: &self.tables.select,
            rule: &self.rule,
            cost: self.train.params().cost,
            tau: self.ponder.params().tau,
        }
    }

    /// Makes updates until `update` of them are made in all, or the run ends. `uniform` gives numbers in [0, 1).
    ///
    /// # Errors
    ///
    /// Those of [`Training::step`], except that a run that has ended stays as it is.
    pub fn run(
        &mut self,
        update: usize,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<&TrainStanding, TrainerError> {
        while self.update < update && self.standing == TrainStanding::Running {
            self.step(uniform)?;
        }
        Ok(&self.standing)
    }

    /// Makes one update. Nothing is returned where a number was not finite: the run has stopped, and the controller is as it
    /// was. `uniform` gives numbers in [0, 1); one is taken per item, and `1 + M` per action.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Ended`] after the run's end, [`TrainerError::NotUniform`]. All but [`Training::draws`] is as it was.
    pub fn step(
        &mut self,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<Option<UpdateReport>, TrainerError> {
        if self.standing != TrainStanding::Running {
            return Err(TrainerError::Ended { updates: self.update });
        }
        let mut draws = Draws::of(uniform);
        let computed = self.attempt(&mut draws);
        self.draws += draws.taken();
        match computed {
            Ok(computed) => self.commit(computed).map(Some),
            Err(Failure { error, items }) => {
                self.standing = TrainStanding::Stopped(TrainStop::of(error, items)?);
                Ok(None)
            }
        }
    }

    fn attempt(&self, draws: &mut Draws<'_>) -> Result<Computed, Failure> {
        let point = self.curriculum.at(self.update);
        let items = self.pick(point.pool, draws);
        let items = items.map_err(|error| Failure { error, items: Vec::new() })?;
        self.compute(point, &items, draws).map_err(|error| {
            let items = items.iter().map(|item| item.id.clone()).collect();
            Failure { error, items }
        })
    }

    /// The items of an update, drawn without replacement; all of the pool where it is smaller than `train.items` (ours).
    // [] -> [items]
    fn pick(&self, pool: ItemPool, draws: &mut Draws<'_>) -> Result<Vec<&TableItem>, TrainerError> {
        let all = self.tables.fit.items();
        let pool = match pool {
            ItemPool::All => all.iter().collect(),
            ItemPool::Learnable => self.learnable.iter().filter_map(|at| all.get(*at)).collect(),
        };
        draws.choose(pool, self.train.params().items)
    }

    // items [groups] -> [m · (d + 3) + 1]
    fn compute(
        &self,
        point: CurriculumPoint,
        items: &[&TableItem],
        draws: &mut Draws<'_>,
    ) -> Result<Computed, TrainerError> {
        let setting = BatchSetting {
            controller: &self.controller.prepare(),
            reference: self.reference.as_ref(),
            table: &self.tables.fit,
            rule: &self.rule,
            train: &self.train,
            point,
        };
        let batch = setting.play(items, draws)?;
        let (mut controller, mut optimiser) = (self.controller.clone(), self.optimiser.clone());
        let mut gradient_norm = None;
        if batch.report.dead < batch.report.groups {
            let mut weights = controller.weights().to_vec();
            gradient_norm = Some(optimiser.step(&mut weights, &batch.gradient)?);
            controller = controller.with_weights(weights)?;
        }
        let update = self.update + 1;
        let is_due = update.is_multiple_of(SCORE_EVERY) || update == self.train.params().updates;
        let score = is_due.then(|| self.scoring().greedy(&controller.prepare())).transpose()?;
        let report = UpdateReport { update, point, batch: batch.report, gradient_norm, score };
        Ok(Computed { controller, optimiser, report })
    }

    fn commit(&mut self, computed: Computed) -> Result<UpdateReport, TrainerError> {
        let Computed { controller, optimiser, report } = computed;
        // The only part that can fail comes before the first change.
        let collapse = self.collapse(&report)?;
        self.collapses.extend(collapse);
        if let Some(score) = report.score.clone() {
            let controller = controller.clone();
            self.kept.push(KeptController { update: report.update, score, controller });
            self.kept.sort_by(|a, b| b.score.reward.total_cmp(&a.score.reward));
            self.kept.truncate(KEPT_CONTROLLERS);
        }
        (self.controller, self.optimiser) = (controller, optimiser);
        self.update = report.update;
        self.window.push(report.batch);
        if self.update >= self.train.params().updates {
            self.standing = TrainStanding::Finished;
        } else if let Some(stop) = self.window.stop(&self.tables.fit) {
            self.standing = TrainStanding::Stopped(stop);
        }
        Ok(report)
    }

    /// The warning of a score that has one strength for nearly all items.
    fn collapse(&self, report: &UpdateReport) -> Result<Option<PolicyCollapse>, TrainerError> {
        let Some(score) = &report.score else { return Ok(None) };
        let (n, share) = score.most_frequent();
        if report.point.stage == CurriculumStage::AllItems || share <= COLLAPSE_SHARE {
            return Ok(None);
        }
        let fixed_reward = self.scoring().fixed(n)?.reward;
        let (update, reward) = (report.update, score.reward);
        Ok(Some(PolicyCollapse { update, n, share, reward, fixed_reward }))
    }
}

fn check_shapes(
    ponder: &Ponder,
    controller: &Controller,
    tables: &TrainTables,
) -> Result<(), TrainerError> {
    width("ladder of the controller", controller.steps(), ponder.params().steps)?;
    width("hidden layer", controller.hidden(), ponder.params().hidden)?;
    for table in [&tables.fit, &tables.select] {
        width("ladder of the table", table.shape().steps, controller.steps())?;
        width("state of the table", table.shape().width, controller.input().width())?;
    }
    Ok(())
}
