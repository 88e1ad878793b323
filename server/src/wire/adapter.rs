//! `/v1/adapters`: adapters, their versions, and what is done with them. What they look like is a type of the host's.

use serde::{Deserialize, Serialize};
use trimtab_adapters::host::{AdapterSummary, AdapterVersionSummary};
use utoipa::{IntoParams, ToSchema};

/// All adapters of an owner.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AdapterList {
    /// `list`.
    pub object: &'static str,
    /// By id.
    pub data: Vec<AdapterSummary>,
}

/// All versions of an adapter.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AdapterVersionList {
    /// `list`.
    pub object: &'static str,
    /// Oldest first.
    pub data: Vec<AdapterVersionSummary>,
}

/// `POST /v1/adapters/{id}/revert`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertBody {
    /// The version to go back to; 0 is the untaught adapter.
    pub to: u32,
}

/// An adapter that is gone.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AdapterDeleted {
    /// Its name.
    pub id: String,
    /// `adapter`.
    pub object: &'static str,
    /// It is.
    pub deleted: bool,
}

/// Whose adapters are meant.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// The label of a key; only administrators may name another than their own.
    pub owner: Option<String>,
}

/// Which version is exported.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// The label of a key; only administrators may name another than their own.
    pub owner: Option<String>,
    /// The newest if it is left out.
    pub version: Option<u32>,
}
