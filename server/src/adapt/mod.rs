//! Adapters of requests: from `steering.adapt` to a version that an answer holds, and what its learner wants done in the
//! turn.
//!
//! - `admit` finds or makes the adapter and pins its version, before anything of the answer is made.
//! - `setting` is a named setting that a learner of tastes may choose: an instruction and a `steering` object.

mod admit;
mod setting;

pub(crate) use admit::{admit, ask};
pub(crate) use setting::Setting;

use crate::error::ApiError;
use crate::learning::Learning;
use crate::wire::adapt::Adapt;
use crate::wire::receipt::{AdapterReceipt, TasteReceipt};
use crate::wire::steering::Level;
use trimtab_adapters::host::{
    AdapterState, DuelRequest, PinnedAdapter, RecordingHandle, StateRecorder, TurnPlan,
};
use trimtab_runtime::plan::Plan;

/// An adapter as one request has it, from its admission to its last token.
#[derive(Clone)]
pub(crate) struct Adapted {
    pub(crate) learning: Learning,
    pub(crate) pinned: PinnedAdapter,
    /// What its learner wants done.
    pub(crate) turn: TurnPlan,
    /// What asks for the same again, if that can be asked for.
    pub(crate) again: Option<Adapt>,
    /// The duel that is wanted, if one is.
    pub(crate) duel: Option<DuelRequest>,
    /// The settings of the turn, one for each prompt that is made.
    settings: Vec<Setting>,
}

impl Adapted {
    /// What each prompt of the turn is made under: one setting, two of them in a duel, or none.
    pub(crate) fn settings(&self) -> Vec<Option<&Setting>> {
        match self.settings.is_empty() {
            true => vec![None],
            false => self.settings.iter().map(Some).collect(),
        }
    }

    /// How many answers to one prompt the learner wants to choose from.
    pub(crate) fn candidates(&self) -> Option<usize> {
        match (&self.turn, self.duel) {
            (TurnPlan::Samples(count), _) => Some(*count),
            (TurnPlan::Tokens, Some(_)) => Some(2),
            // The better arm alone.
            (TurnPlan::Tokens, None) => None,
            (TurnPlan::Plain | TurnPlan::Setting(_) | TurnPlan::Settings(_), _) => None,
        }
    }

    /// Whether one of the answers is picked and the others are not shown.
    pub(crate) fn picks(&self) -> bool {
        self.duel.is_none() && matches!(self.turn, TurnPlan::Samples(_))
    }

    /// Whether one answer to one prompt is all that can be asked for: it is chosen among several, or token by token.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.turn, TurnPlan::Samples(_) | TurnPlan::Tokens)
    }

    /// A monitor that keeps what learning needs of an answer, or what a full receipt tells of it.
    pub(crate) fn recorder(&self, level: Level) -> Option<(StateRecorder, RecordingHandle)> {
        self.pinned.recorder().or_else(|| {
            let AdapterState::Rosa(state) = self.pinned.state() else { return None };
            let spec = self.learning.host.model().model().decoder().spec();
            let shape = (spec.d_model, spec.n_layers());
            (level == Level::Full).then(|| StateRecorder::new(shape, state.block.kind()))
        })
    }

    /// A plan with the version in it, and that of an adapter that the setting names.
    pub(crate) fn plan(&self, setting: Option<&Setting>, plan: &Plan) -> Result<Plan, ApiError> {
        let plan = self.pinned.plan(plan)?;
        match setting.and_then(|setting| setting.pinned.as_ref()) {
            None => Ok(plan),
            Some(other) => Ok(other.plan(&plan)?),
        }
    }

    /// What receipts say of it.
    pub(crate) fn receipt(&self, setting: Option<&Setting>) -> AdapterReceipt {
        let taste = TasteReceipt {
            setting: setting.map(|setting| setting.name.clone()),
            candidates: self.candidates(),
            picked: None,
        };
        AdapterReceipt {
            id: self.pinned.key().id().to_owned(),
            version: self.pinned.version(),
            learn: self.pinned.learns(),
            behind: self.pinned.is_behind(),
            taste: Some(taste).filter(|taste| *taste != TasteReceipt::default()),
            tokens: Vec::new(),
        }
    }
}
