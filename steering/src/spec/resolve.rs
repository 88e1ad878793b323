//! A monitor's specification against what there is: its watches, its policy, and what is done on a retry.
//!
//! Everything that can be refused is refused here, before a token is made: a watch that could not act is no watch.

use super::lower::SpecContext;
use super::monitor::{DEFAULT_POLICY, MonitorSpec, WatchKind, WatchSpec};
use super::refusal::FieldError;
use super::vector::VectorSpec;
use crate::compose::dose::Standing;
use crate::gate::Side;
use crate::monitor::policy::Policy;
use crate::monitor::{Lexical, Probe};
use crate::stack::{Lowered, Stack};
use std::sync::Arc;

/// What watches answers.
#[derive(Debug, Clone)]
pub struct ResolvedMonitor {
    /// What asks for the same again.
    pub spec: MonitorSpec,
    /// What the watches look at, in their order.
    pub(super) looks: Vec<Look>,
    /// Whose notes guide a retry: the policy of the first watch that judges, or the usual one.
    pub(super) policy: Option<Arc<Policy>>,
    /// What is done to the model once an answer was rewound, where that is something else.
    pub retry: Option<Lowered>,
}

/// What a watch looks at.
#[derive(Debug, Clone)]
pub(super) enum Look {
    Probe(Probe),
    Text(Arc<Lexical>),
    Coot(Arc<Policy>),
}

impl SpecContext<'_> {
    /// Resolves a monitor, but for what is done to the model on a retry.
    pub fn monitor(&self, spec: &MonitorSpec) -> Result<ResolvedMonitor, FieldError> {
        let at = |index: usize| move |fault: FieldError| fault.under(&format!("watch[{index}]"));
        let policy = match spec.judges().next() {
            None => self.policies.get(DEFAULT_POLICY).cloned(),
            Some((index, watch)) => Some(self.policy(watch).map_err(at(index))?),
        };
        let spec = spec.settled(policy.as_deref())?;
        let mut looks = Vec::with_capacity(spec.watch.len());
        for (index, watch) in spec.watch.iter().enumerate() {
            looks.push(self.look(watch).map_err(at(index))?);
        }
        Ok(ResolvedMonitor { spec, looks, policy, retry: None })
    }

    fn look(&self, watch: &WatchSpec) -> Result<Look, FieldError> {
        match watch.kind {
            WatchKind::Probe => self.probe(watch).map(Look::Probe),
            WatchKind::Text => text(watch).map(Look::Text),
            // The kinds that are not built have been refused.
            WatchKind::Coot | WatchKind::Cue | WatchKind::Geometry => {
                self.policy(watch).map(Look::Coot)
            }
        }
    }

    /// The policy that a watch names.
    fn policy(&self, watch: &WatchSpec) -> Result<Arc<Policy>, FieldError> {
        let name = watch.policy();
        self.policies.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.policies.keys().map(String::as_str).collect();
            let problem = format!("is {name:?}, which is no policy; there is {}", known.join(", "));
            FieldError::value("policy", problem)
        })
    }

    /// A probe on a registered vector of either role.
    fn probe(&self, watch: &WatchSpec) -> Result<Probe, FieldError> {
        let vector = (watch.vector.as_deref().unwrap_or_default(), watch.site.as_deref());
        let (field, side, threshold) = match (watch.above, watch.below) {
            (Some(above), _) => ("above", Side::Above, above),
            (None, below) => ("below", Side::Below, below.unwrap_or_default()),
        };
        let condition = self.condition(vector, side, threshold).map_err(|fault| {
            let path = if fault.path == "threshold" { field.to_owned() } else { fault.path };
            FieldError { path, ..fault }
        });
        Probe::new(condition?, &self.model.spec).map_err(|e| FieldError::at(e, "vector"))
    }
}

fn text(watch: &WatchSpec) -> Result<Arc<Lexical>, FieldError> {
    let texts = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
    for (index, pattern) in watch.regex.iter().flatten().enumerate() {
        let alone = Lexical::new(&[], std::slice::from_ref(pattern));
        alone.map_err(|e| FieldError::at(e, &format!("regex[{index}]")))?;
    }
    let lexical = Lexical::new(&texts(&watch.any), &texts(&watch.regex));
    lexical.map(Arc::new).map_err(|e| FieldError::of(e, ""))
}

impl ResolvedMonitor {
    /// The digest of each watch's policy, where it has one.
    pub fn policies(&self) -> Vec<Option<String>> {
        let digest = |look: &Look| match look {
            Look::Coot(policy) => Some(policy.digest()),
            Look::Probe(_) | Look::Text(_) => None,
        };
        self.looks.iter().map(digest).collect()
    }

    /// The vectors that a retry has beside those of the answer.
    pub fn retry_vectors(&self) -> &[VectorSpec] {
        let retry = self.spec.retry.as_ref();
        retry.and_then(|retry| retry.vectors.as_deref()).unwrap_or_default()
    }

    /// The same for an answer under these vectors: those of a retry stand behind them.
    pub fn beside(mut self, context: SpecContext<'_>, stack: &Stack) -> Result<Self, FieldError> {
        let vectors = self.retry_vectors();
        if vectors.is_empty() {
            return Ok(self);
        }
        let at = |index: usize, fault: FieldError| fault.under(&format!("retry.vectors[{index}]"));
        // A retry keeps what was run: its vectors act on the answer or not at all.
        let context = SpecContext { prompt: Some(&[]), ..context };
        let mut all = stack.clone();
        for (index, vector) in vectors.iter().enumerate() {
            context.push(&mut all, vector, Standing::Free).map_err(|fault| at(index, fault))?;
        }
        let retry = context.lower(&all).map_err(|(vector, fault)| {
            match vector.and_then(|vector| vector.checked_sub(stack.len())) {
                Some(index) => at(index, fault),
                None => FieldError { path: "retry.vectors".to_owned(), ..fault },
            }
        });
        self.retry = Some(retry?);
        Ok(self)
    }
}
