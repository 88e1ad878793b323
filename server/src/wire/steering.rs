//! The `steering` object of a request.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What is done to the model while it answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// A named object of the server's.
    pub preset: Option<String>,
    /// `false` drops the server default.
    pub use_default: Option<bool>,
    /// Vectors in order of application.
    #[schema(value_type = Option<Vec<Object>>)]
    pub vectors: Option<Vec<Value>>,
    /// Not supported yet.
    #[schema(value_type = Option<Object>)]
    pub monitor: Option<Value>,
    /// Not supported yet.
    #[schema(value_type = Option<Object>)]
    pub adapt: Option<Value>,
    /// Not supported yet.
    #[schema(value_type = Option<Object>)]
    pub ponder: Option<Value>,
    /// Not supported yet.
    #[schema(value_type = Option<Object>)]
    pub forecast: Option<Value>,
    /// What two vectors at one site and position are.
    pub conflict: Option<String>,
    /// How much is told of what was done.
    pub receipt: Option<String>,
}
