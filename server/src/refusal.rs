//! What the server refuses, in the shape of the wire.

use crate::wire::error::Code;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A request that is not done.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Of the response.
    pub status: StatusCode,
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
    /// The field, as a JSON path.
    pub param: Option<String>,
    /// Seconds until it is worth trying again.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal with the status of its code.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        let retry_after = matches!(code, Code::Busy | Code::QueueFull).then_some(1);
        Refusal { status: status(code), code, message: message.into(), param: None, retry_after }
    }

    /// The same, at a field.
    pub fn at(self, param: impl Into<String>) -> Refusal {
        Refusal { param: Some(param.into()), ..self }
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidApiKey => StatusCode::UNAUTHORIZED,
        Code::AdminDisabled | Code::AdminRequired | Code::DefaultLocked | Code::SourceDisabled => {
            StatusCode::FORBIDDEN
        }
        Code::NotFound
        | Code::ModelNotFound
        | Code::VectorNotFound
        | Code::AdapterNotFound
        | Code::TraceNotFound => StatusCode::NOT_FOUND,
        Code::FeedbackExists
        | Code::DuelClosed
        | Code::IdInUse
        | Code::InUse
        | Code::VersionConflict => StatusCode::CONFLICT,
        Code::BodyTooLarge | Code::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::ModelMismatch | Code::ModelShapeMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::QueueFull | Code::Busy => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Loading | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl From<trimtab_steering::Error> for Refusal {
    fn from(error: trimtab_steering::Error) -> Refusal {
        let named = serde_json::Value::String(error.code().to_owned());
        let code = serde_json::from_value(named).unwrap_or(match error.kind() {
            trimtab_runtime::Kind::Input | trimtab_runtime::Kind::Refused => Code::InvalidValue,
            trimtab_runtime::Kind::Busy => Code::Busy,
            _ => Code::Internal,
        });
        Refusal::new(code, error.to_string())
    }
}

impl From<trimtab_runtime::Error> for Refusal {
    fn from(error: trimtab_runtime::Error) -> Refusal {
        trimtab_steering::Error::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = serde_json::json!({
            "message": self.message, "type": "invalid_request_error", "param": self.param,
            "code": self.code,
        });
        (self.status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}
