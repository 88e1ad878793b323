//! The types of the wire: the only place where HTTP's JSON is known.

pub mod error;
pub mod flag;
pub mod receipt;
pub mod steering;
pub mod vector;

use crate::refusal::Refusal;
use error::Code;
use serde::de::DeserializeOwned;

/// Reads a body.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read: T = serde_path_to_error::deserialize(&mut json).map_err(|e| refusal(&e))?;
    json.end().map_err(|e| Refusal::new(Code::InvalidJson, e.to_string()))?;
    Ok(read)
}

fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let (path, told) = (error.path().to_string(), error.inner().to_string());
    if !error.inner().is_data() {
        return Refusal::new(Code::InvalidJson, told);
    }
    let unknown = told.starts_with("unknown field");
    let code = if unknown { Code::UnknownField } else { Code::InvalidValue };
    Refusal::new(code, format!("{path}: {told}")).at(path)
}
