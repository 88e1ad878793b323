//! `GET /health` and `GET /version`.

use serde::Serialize;
use utoipa::ToSchema;

/// Whether requests are taken.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `draining` while the server is being shut down.
    pub status: &'static str,
}

/// What this build is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VersionBody {
    /// `trimtab`.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// The commit it was built from.
    pub git: String,
    /// The version of the tensor library.
    #[serde(rename = "candle")]
    #[schema(rename = "candle")]
    pub tensors: String,
    /// What it was built with.
    pub features: Vec<String>,
    /// Version of this interface.
    pub api: u32,
    /// Version of vector files.
    pub vector_spec: u32,
    /// Version of receipts.
    pub receipt_spec: u32,
}
