//! What requests may be steered by: nothing yet.

use crate::refusal::Refusal;
use crate::wire::receipt::Receipt;
use crate::wire::steering::Steering as Asked;
use trimtab_runtime::plan::Plan;

/// What requests may be steered by.
#[derive(Debug, Default)]
pub struct Steering;

/// What one request is steered by.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// What is done to the model.
    pub plan: Plan,
}

/// What is known of an answer that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The request.
    pub request_id: &'a str,
    /// Keys its draws.
    pub seed: u64,
    /// How often it was begun, rewinds included.
    pub attempts: u32,
    /// Positions each intervention has changed, in plan order.
    pub fired: &'a [u64],
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were computed.
    pub forward_tokens: usize,
    /// Of them taken back.
    pub discarded_tokens: usize,
    /// Fields that nothing was done with.
    pub ignored: &'a [String],
}

impl Steering {
    /// What a request is steered by.
    pub fn resolve(
        &self,
        asked: Option<&Asked>,
        preset: Option<&str>,
        _prompt: &[u32],
    ) -> Result<Resolved, Refusal> {
        let empty = asked.is_none_or(|asked| *asked == Asked::default());
        if empty && preset.is_none() {
            return Ok(Resolved::default());
        }
        Err(Refusal::unsupported("steering", "vectors are not served yet"))
    }

    /// The names of the presets.
    pub fn presets(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Resolved {
    /// Whether nothing is done.
    pub fn is_plain(&self) -> bool {
        self.plan.items().is_empty()
    }

    /// What was done to an answer.
    pub fn receipt(&self, facts: &Facts) -> Receipt {
        Receipt {
            spec: 1,
            request_id: facts.request_id.to_owned(),
            seed: facts.seed,
            vectors: Vec::new(),
            ignored: facts.ignored.to_vec(),
        }
    }
}
