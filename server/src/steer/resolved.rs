//! What one request is steered by, and the receipt for it.

use super::layer::LayerSource;
use crate::error::ApiError;
use crate::wire::receipt::{AdapterReceipt, Replay, ReplayableReceipt};
use crate::wire::steering::{Level, Steering};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::file::card::OperationKind;
use trimtab_steering::receipt::{AnswerFacts, PlanPrints, Receipt, ReceiptModel};
use trimtab_steering::spec::ResolvedMonitor;
use trimtab_steering::stack::{Applied, Lowered};

/// What one request is steered by. Whatever changes on the server, this stays.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What is done to the model.
    pub lowered: Lowered,
    /// What is to be known about the vectors.
    pub warnings: Vec<String>,
    /// What would be asked to get the same again: everything after defaults and presets were applied.
    pub request: Steering,
    pub(crate) prints: PlanPrints,
    pub(crate) monitor: Option<ResolvedMonitor>,
    /// Whose monitor it is.
    pub(crate) voice: LayerSource,
    pub(crate) level: Level,
    pub(crate) limit: DoseLimit,
    pub(crate) model: ReceiptModel,
    /// Blocks of the model.
    pub(crate) n_layers: usize,
}

/// What is known of an answer that has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The request.
    pub request_id: &'a str,
    /// The answer.
    pub answer: AnswerFacts<'a>,
    /// Fields that nothing was done with.
    pub ignored: &'a [String],
    /// The prompt.
    pub prompt: &'a [u32],
    /// What asks for the same again.
    pub replay: Option<&'a Replay>,
    /// The adapter that it was made with.
    pub adapter: Option<&'a AdapterReceipt>,
}

/// How many tokens were changed at one site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateCounts {
    /// Where.
    pub site: Site,
    /// By what.
    pub op: OperationKind,
    /// How many.
    pub tokens: u64,
    /// Predicted dose, where it can be.
    pub dose: Option<f64>,
}

impl Resolved {
    /// Whether nothing is done to the model, and nothing watches it.
    pub fn is_plain(&self) -> bool {
        self.lowered.applied.is_empty() && self.monitor.is_none()
    }

    /// The same with other plans in force: each of its plans, that of a retry too, as `adapt` makes it. What is told of
    /// vectors stays, as long as it adds nothing before them.
    pub(crate) fn with_plans(
        mut self,
        prompt: usize,
        adapt: impl Fn(&Plan) -> Result<Plan, ApiError>,
    ) -> Result<Resolved, ApiError> {
        self.lowered.plan = adapt(&self.lowered.plan)?;
        if let Some(retry) = self.monitor.as_mut().and_then(|monitor| monitor.retry.as_mut()) {
            retry.plan = adapt(&retry.plan)?;
        }
        self.prints = PlanPrints::of(&self.lowered.plan, prompt, self.n_layers);
        Ok(self)
    }

    /// What fired where, for metrics.
    pub fn fired(&self, facts: &Facts<'_>) -> impl Iterator<Item = GateCounts> {
        let fired = facts.answer.fired;
        self.in_force(facts.answer.rewinds).iter().flat_map(move |vector| {
            vector.sites.iter().map(move |at| GateCounts {
                site: at.site,
                op: vector.op,
                tokens: at.tokens(fired),
                dose: at.dose,
            })
        })
    }

    /// The vectors of an answer's last attempt.
    fn in_force(&self, rewinds: u32) -> &[Applied] {
        let retry = self.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
        self.lowered.in_force(retry, rewinds)
    }

    /// The receipt, if one is due: something was done to the model and the request did not say `none`, or it said
    /// `full`, which tells how to get the same again even where that is nothing.
    pub fn receipt(&self, facts: &Facts<'_>) -> Option<ReplayableReceipt> {
        match self.level {
            Level::None => None,
            Level::Summary if self.is_plain() && facts.adapter.is_none() => None,
            Level::Summary => Some(self.summary(facts)),
            Level::Full => Some(self.full(facts)),
        }
    }

    /// With all that is needed to do it again, whatever the request said.
    pub fn full(&self, facts: &Facts<'_>) -> ReplayableReceipt {
        let prompt = Some(facts.prompt.to_vec());
        let (adapter, request) = (facts.adapter.cloned(), facts.replay.cloned());
        ReplayableReceipt { adapter, prompt, request, ..self.summary(facts) }
    }

    fn summary(&self, facts: &Facts<'_>) -> ReplayableReceipt {
        let applied = self.in_force(facts.answer.rewinds);
        let (prints, vectors) = (&self.prints, (applied, self.warnings.as_slice()));
        let receipt = Receipt::new(&self.model, prints, vectors, &facts.answer);
        let variables = facts.replay.map(|replay| replay.chat_template_kwargs.clone());
        let summary = Receipt {
            request_id: Some(facts.request_id.to_owned()),
            chat_template_kwargs: variables.unwrap_or_default(),
            ignored: facts.ignored.to_vec(),
            ..receipt
        };
        // What was done token by token is a part of full receipts.
        let short = |told: &AdapterReceipt| AdapterReceipt { tokens: Vec::new(), ..told.clone() };
        let adapter = facts.adapter.map(short);
        ReplayableReceipt { summary, adapter, prompt: None, request: None }
    }
}
