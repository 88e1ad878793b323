//! The receipt: what was done to an answer.

use serde::Serialize;
use utoipa::ToSchema;

/// What was done to one answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Receipt {
    /// Version of this shape.
    pub spec: u32,
    /// The request.
    pub request_id: String,
    /// Of every draw.
    pub seed: u64,
    /// Vectors in order of application.
    pub vectors: Vec<VectorReceipt>,
    /// Fields of the request that nothing was done with.
    pub ignored: Vec<String>,
}

/// What one vector did.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VectorReceipt {
    /// Its name.
    pub id: String,
    /// What was done with it.
    pub op: String,
    /// Where.
    pub sites: Vec<SiteReceipt>,
}

/// What one vector did at one site.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SiteReceipt {
    /// The site.
    pub site: String,
    /// How many tokens it changed.
    pub tokens: u64,
}
