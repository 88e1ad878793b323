//! Judges: the policies under which this server's model was calibrated to score answers.
//!
//! Calibration takes the model some time, so it is made when a server starts, for the policies that its operator names, and
//! kept in a folder. A request that names another policy is refused.

use super::super::fault::Fault;
use crate::wire::monitor::{Guard, PerceiverKind, Watch};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_steering::Result;
use trimtab_steering::monitor::Perceiver;
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::monitor::scorer::{
    Calibration, Depth, Form, Judge, Judging, MARGIN, MOST_UNKNOWN, Parser, Wording,
};

/// The policies that answers can be judged by, by their names.
#[derive(Debug, Clone, Default)]
pub struct Judges(BTreeMap<String, Arc<Seat>>);

/// A policy and what judging by it takes.
#[derive(Debug)]
pub(crate) struct Seat {
    policy: Arc<Policy>,
    scorer: Arc<Form>,
    calibration: Calibration,
    parser: Arc<Form>,
}

impl Judges {
    /// Calibrates a model for a policy, or takes the calibration that an earlier run left in the folder. `progress` hears how
    /// many texts of how many are read.
    pub fn seat(
        &mut self,
        model: &Model,
        policy: &Arc<Policy>,
        folder: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        let scorer = Arc::new(Form::new(model, Wording::scorer(policy))?);
        let calibration = match folder {
            Some(folder) => Calibration::obtain(folder, &scorer, policy, progress)?,
            None => Calibration::measure(&scorer, policy, progress)?,
        };
        let parser = Parser::form(model, policy)?;
        let seat = Seat { policy: policy.clone(), scorer, calibration, parser };
        self.0.insert(policy.name().to_owned(), Arc::new(seat));
        Ok(())
    }

    /// The names of the policies, and whether the model judges well enough under each to end answers.
    pub fn names(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, seat)| (name.as_str(), seat.calibration.unknown_rate(MARGIN)))
    }

    /// The seat of a watch, if it may sit there.
    pub(super) fn of(&self, watch: &Watch) -> std::result::Result<Arc<Seat>, Fault> {
        let name = watch.policy.as_deref().unwrap_or_default();
        let seat = self.0.get(name).ok_or_else(|| {
            let problem = format!(
                "is {name:?}, and this server's model is not calibrated for it; its operator starts it with --judge {name}"
            );
            Fault::value("policy", problem)
        })?;
        let mandatory = watch.guard.unwrap_or_default() == Guard::Mandatory;
        let scores = watch.perceiver.unwrap_or_default() == PerceiverKind::Scorer;
        let unknown = seat.calibration.unknown_rate(margin(watch));
        if mandatory && scores && unknown > MOST_UNKNOWN {
            let problem = format!(
                "is mandatory, and this model cannot judge {:.0} % of benign answers at margin {}; at most {:.0} % may be; \
                 ask for advisory",
                100.0 * unknown,
                margin(watch),
                100.0 * MOST_UNKNOWN
            );
            return Err(Fault::value("guard", problem));
        }
        Ok(seat.clone())
    }
}

impl Seat {
    /// Who judges one answer to a request.
    pub(super) fn perceiver(
        &self,
        watch: &Watch,
        (request, seed): (&str, u64),
    ) -> Result<Box<dyn Perceiver>> {
        Ok(match watch.perceiver.unwrap_or_default() {
            PerceiverKind::Parse => {
                Box::new(Parser::new(&self.parser, &self.policy, request, seed)?)
            }
            PerceiverKind::Scorer => {
                let judging = Judging { depth: Depth::Lazy, margin: margin(watch) };
                let calibration = self.calibration.clone();
                let judge = Judge::new(self.scorer.clone(), &self.policy, calibration, judging)?;
                Box::new(judge.scorer(request, seed)?)
            }
        })
    }
}

fn margin(watch: &Watch) -> f64 {
    watch.margin.map_or(MARGIN, f64::from)
}
