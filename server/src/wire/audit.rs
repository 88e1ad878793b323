//! The audit of monitors: what they found in answers and took back.

use super::flag::Flag;
use serde::{Deserialize, Serialize};
use trimtab_adapters::store::Intervention;
use utoipa::ToSchema;

/// Which interventions are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Those of this moment or later, in milliseconds since 1970.
    pub since: Option<i64>,
    /// How many, the newest; 100 unless it is said, at most 1000.
    pub limit: Option<u32>,
}

/// Interventions, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditList {
    /// `list`.
    pub object: String,
    /// The interventions.
    pub data: Vec<AuditEntry>,
}

/// One step in the story of a watched answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The id of the request.
    pub request: String,
    /// The id of the response.
    pub response: String,
    /// The label of the key that asked.
    pub owner: String,
    /// When the answer ended, in milliseconds since 1970.
    pub when_ms: i64,
    /// Of the weights that answered.
    pub weights_sha256: String,
    /// Of the policy that decided, where one did.
    pub policy_sha256: Option<String>,
    /// Of the prompt's tokens.
    pub prompt_sha256: String,
    /// Which of the request's answers.
    pub choice: u32,
    /// How often the answer had been rewound before.
    pub attempt: u32,
    /// The watch.
    pub watch: String,
    /// How many of the answer's tokens stayed; of what was found several times, where first.
    pub from: u32,
    /// How many there were; of what was found several times, where last.
    pub at: u32,
    /// How often the watch found this in this attempt; the score is the one farthest beyond the threshold.
    pub count: u32,
    /// What the watch found; `null` where it could not tell.
    pub score: Option<f64>,
    /// How far that is from its threshold.
    pub margin: Option<f64>,
    /// The judged state, where there is one.
    pub state: Option<String>,
    /// `retry`, `refuse`, `stop` or `keep`; `hit`, `unknown`, `watch` or `continue` of a check that nothing followed from;
    /// `end` of the last row of an answer.
    pub action: String,
    /// By which rule the point to go back to was found; of the end, why it was one.
    pub rule: String,
    /// What was said to the model.
    pub guidance: String,
    /// How hard guidance pushed, where it was a vector.
    pub beta: Option<f64>,
    /// Tokens that could not come next.
    pub ban: Vec<u32>,
    /// How many tokens were taken back.
    pub discarded: u32,
    /// Hash of what was taken back: equal spans have equal hashes.
    pub span_sha256: Option<String>,
    /// Whether what was taken back is there in words.
    #[schema(value_type = bool)]
    pub text_kept: Flag,
    /// What was taken back, in words, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What became of it.
    pub outcome: String,
}

impl From<Intervention> for AuditEntry {
    fn from(row: Intervention) -> AuditEntry {
        AuditEntry {
            request: row.request,
            response: row.response,
            owner: row.owner,
            when_ms: row.when_ms,
            weights_sha256: row.weights_sha256,
            policy_sha256: row.policy_sha256,
            prompt_sha256: row.prompt_sha256,
            choice: row.choice,
            attempt: row.attempt,
            watch: row.watch,
            from: row.from,
            at: row.at,
            count: row.count,
            score: row.score,
            margin: row.margin,
            state: row.state,
            action: row.action,
            rule: row.rule,
            guidance: row.guidance,
            beta: row.beta,
            ban: row.ban,
            discarded: row.discarded,
            span_sha256: row.span_sha256,
            text_kept: if row.text.is_some() { Flag::Yes } else { Flag::No },
            text: row.text,
            outcome: row.outcome,
        }
    }
}
