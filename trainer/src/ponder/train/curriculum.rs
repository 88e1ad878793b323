//! What changes over a run: the cost weight, the entropy weight and the items.
//!
//! A curriculum is published (arXiv 2509.24238), its stages are ours: first accuracy alone, then a cost that rises, both on
//! items that are neither hopeless nor certain; then all items. It is a pure function of the update's number.

use super::params::TrainParams;

/// A stage of the curriculum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CurriculumStage {
    /// Stage 1: no cost.
    Accuracy,
    /// Stage 2: the cost rises and the entropy weight falls.
    RisingCost,
    /// Stage 3: the whole cost on all items.
    AllItems,
}

/// The items an update draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemPool {
    /// Those of [`RewardTable::learnable`](crate::ponder::table::RewardTable::learnable).
    Learnable,
    /// All of the fit split.
    All,
}

/// The settings of one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurriculumPoint {
    /// The stage it belongs to.
    pub stage: CurriculumStage,
    /// w_c, what T_ref tokens cost.
    pub cost: f64,
    /// η, the weight of the entropy.
    pub entropy: f64,
    /// The items it draws from.
    pub pool: ItemPool,
}

/// The stages of a run: 30, 40 and 30 % of its updates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curriculum {
    /// Updates before stage 2 and before stage 3.
    starts: [usize; 2],
    cost: f64,
    /// In stage 1 and in stage 3.
    entropy: [f64; 2],
}

impl Curriculum {
    /// The curriculum of a run. Stages begin at whole updates, rounded.
    pub fn new(params: &TrainParams) -> Curriculum {
        let part = |tenths: f64| (params.updates as f64 * tenths / 10.0).round() as usize;
        Curriculum {
            starts: [part(3.0), part(7.0)],
            cost: params.cost,
            entropy: [params.entropy, params.entropy_end],
        }
    }

    /// The settings of an update, counted from 0. In stage 2 both weights move in a line; its last update has those of
    /// stage 3. That the entropy weight falls in a line is our reading.
    pub fn at(&self, update: usize) -> CurriculumPoint {
        let ([second, third], [entropy, entropy_end]) = (self.starts, self.entropy);
        let stage = match update {
            _ if update < second => CurriculumStage::Accuracy,
            _ if update < third => CurriculumStage::RisingCost,
            _ => CurriculumStage::AllItems,
        };
        let way = match stage {
            CurriculumStage::Accuracy => 0.0,
            CurriculumStage::RisingCost => (update + 1 - second) as f64 / (third - second) as f64,
            CurriculumStage::AllItems => 1.0,
        };
        let pool = match stage {
            CurriculumStage::Accuracy | CurriculumStage::RisingCost => ItemPool::Learnable,
            CurriculumStage::AllItems => ItemPool::All,
        };
        let entropy = (1.0 - way) * entropy + way * entropy_end;
        CurriculumPoint { stage, cost: way * self.cost, entropy, pool }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_600_has_stages_of_180_240_and_180() {
        let curriculum = Curriculum::new(&TrainParams::default());
        let count = |stage| (0..600).filter(|at| curriculum.at(*at).stage == stage).count();
        assert_eq!(count(CurriculumStage::Accuracy), 180);
        assert_eq!(count(CurriculumStage::RisingCost), 240);
        let first = curriculum.at(179);
        assert_eq!((first.cost, first.entropy, first.pool), (0.0, 0.02, ItemPool::Learnable));
        let middle = curriculum.at(299);
        assert!((middle.cost - 0.05).abs() < 1e-12 && (middle.entropy - 0.011).abs() < 1e-12);
        let end = curriculum.at(419);
        assert_eq!((end.cost, end.entropy, end.pool), (0.1, 0.002, ItemPool::Learnable));
        let last = curriculum.at(420);
        assert_eq!((last.cost, last.entropy, last.pool), (0.1, 0.002, ItemPool::All));
        assert_eq!(curriculum.at(599), last);
    }

    #[test]
    fn stages_follow_each_other_in_runs_of_any_length() {
        for updates in 1..40 {
            let curriculum = Curriculum::new(&TrainParams { updates, ..TrainParams::default() });
            let points: Vec<CurriculumPoint> = (0..updates).map(|at| curriculum.at(at)).collect();
            assert!(points.windows(2).all(|pair| pair[0].stage <= pair[1].stage));
            assert!(points.windows(2).all(|pair| pair[0].cost <= pair[1].cost));
            assert!(points.iter().all(|point| point.cost.is_finite()));
        }
    }
}
