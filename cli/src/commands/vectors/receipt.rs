//! What vectors and monitors did to one answer: a line for people, the receipt for programs.

use super::Steering;
use crate::commands::answer::Reply;
use crate::commands::opened::Opened;
use trimtab_runtime::text::Variables;
use trimtab_steering::receipt::{
    AnswerFacts, PlanPrints, Receipt, ReceiptModel, SiteReceipt, VectorReceipt, short,
};

impl Steering {
    /// The receipt of an answer; `None` where nothing steered it and nothing watched it.
    pub fn receipt(&self, reply: &Reply, seed: u64, opened: &Opened) -> Option<Receipt> {
        if self.is_empty() && reply.record.is_none() {
            return None;
        }
        let (answer, model) = (&reply.answer, &opened.model);
        let n_layers = model.decoder().spec().n_layers();
        let prints = PlanPrints::of(self.plan(), reply.session.prompt_len(), n_layers);
        let facts = AnswerFacts {
            seed,
            rewinds: answer.rewinds,
            usage: answer.usage,
            fired: &answer.fired,
            record: reply.record.as_ref(),
        };
        let retry = reply.retry.as_ref();
        let warnings = self.lowered.warnings(retry);
        let vectors = (self.lowered.in_force(retry, answer.rewinds), warnings.as_slice());
        let receipt = Receipt::new(&ReceiptModel::of(model), &prints, vectors, &facts);
        let variables = model.template().map(|template| template.variables().clone());
        let chat_template_kwargs: Variables = variables.unwrap_or_default();
        Some(Receipt { chat_template_kwargs, ..receipt })
    }

    /// The plan in force, as its fingerprint is shown.
    pub fn plan_digits(&self) -> String {
        short(&self.plan().fingerprint())
    }

    /// The receipt on one line; `None` where nothing steers.
    pub fn line(&self, fired: &[u64]) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let each = self.lowered.applied.iter().map(|applied| {
            let VectorReceipt { id, op, scale, sites, .. } = applied.receipt(fired);
            let tokens = sites.first().map_or(0, |site| site.tokens);
            let doses = sites.iter().filter_map(|site| site.dose);
            let dose = doses.reduce(f64::max).map(|dose| format!(" dose {dose:.2}"));
            let (op, dose) = (op.as_str(), dose.unwrap_or_default());
            format!("{id} ×{scale} {op} {}{dose}, {tokens} tokens", span(&sites))
        });
        Some(format!("steering: {}", each.collect::<Vec<_>>().join("; ")))
    }

    /// Vectors that were meant to act and touched no token of a finished answer.
    pub fn idle(&self, fired: &[u64]) -> Vec<&str> {
        let idle = self.lowered.applied.iter().filter(|applied| applied.is_idle(fired));
        idle.map(|applied| applied.id.as_str()).collect()
    }
}

/// A site, or the first and the last of several.
fn span(sites: &[SiteReceipt]) -> String {
    match sites {
        [] => "nowhere".to_owned(),
        [one] => one.site.clone(),
        [first, .., last] => format!("{} to {} ({} sites)", first.site, last.site, sites.len()),
    }
}
