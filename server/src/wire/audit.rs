//! The audit of monitors: what they found in answers and took back.

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

/// One step in the story of a watched answer, as the store has it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The stored row.
    #[serde(flatten)]
    pub row: Intervention,
    /// Whether what was taken back is there in words.
    pub text_kept: bool,
}

impl From<Intervention> for AuditEntry {
    fn from(row: Intervention) -> AuditEntry {
        AuditEntry { text_kept: row.text.is_some(), row }
    }
}
