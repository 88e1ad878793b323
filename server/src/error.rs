//! What the server refuses, in the shape of the wire.
//!
//! The status follows from the code, in one match; the codes of the errors of other crates are found in one match each.

use crate::wire::error::{Code, ErrorBody, Fault, Kind};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use trimtab_runtime::Error as Runtime;
use trimtab_runtime::printable::Line;
use trimtab_runtime::text::Error as Text;
use trimtab_steering::spec::{FieldCause, FieldError};

/// OpenAI's clients try again after 409, 429 and 5xx unless this header says otherwise.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// A field's path and a message are cut at so many characters: both may quote the request.
const QUOTED: usize = 400;
/// Seconds after which a server that is being shut down may have a successor.
pub(crate) const SUCCESSOR_S: u64 = 5;

/// Whether a client may send the same request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShouldRetry {
    /// As its status says.
    ByStatus,
    /// It must not.
    Never,
}

/// A request that is not done.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
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
    /// Whether to try again at all.
    pub should_retry: ShouldRetry,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// A refusal with the status of its code.
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        let status = status(code);
        let retry_after = match code {
            Code::Busy | Code::QueueFull => Some(1),
            Code::Draining | Code::Loading => Some(SUCCESSOR_S),
            _ => None,
        };
        let should_retry = match code {
            // The same request would run into the same limit, and be asked for once more by a client that gives up waiting.
            Code::DeadlineExceeded => ShouldRetry::Never,
            _ if status == StatusCode::CONFLICT => ShouldRetry::Never,
            _ => ShouldRetry::ByStatus,
        };
        ApiError {
            status,
            code,
            message: cut(message.into()),
            param: None,
            retry_after,
            should_retry,
        }
    }

    /// A value that a field cannot have. The message begins with the field.
    pub fn invalid(param: impl Into<String>, problem: impl std::fmt::Display) -> ApiError {
        let param = param.into();
        ApiError::new(Code::InvalidValue, format!("{} {problem}", cut(param.clone()))).at(param)
    }

    /// A field that is known and cannot be honoured.
    pub fn unsupported(param: impl Into<String>, why: impl std::fmt::Display) -> ApiError {
        let param = param.into();
        let message = format!("{} is not supported: {why}", cut(param.clone()));
        ApiError::new(Code::UnsupportedField, message).at(param)
    }

    /// A prompt that leaves no room for an answer in a context of `room` tokens, at the field that holds it; `tokens` is
    /// `None` where it was refused before it was counted.
    ///
    /// The words are OpenAI's: clients recognise an overflow by them and shorten the conversation.
    pub(crate) fn context_overflow(at: &str, room: usize, tokens: Option<usize>) -> ApiError {
        let what = at.split(['[', '.']).next().filter(|what| !what.is_empty()).unwrap_or("prompt");
        let found = match tokens {
            Some(tokens) => format!("your {what} resulted in {tokens} tokens."),
            None => format!("your {what} resulted in more tokens than that."),
        };
        let message =
            format!("This model's maximum context length is {room} tokens. However, {found}");
        ApiError::new(Code::ContextLengthExceeded, message).at(at)
    }

    /// What the model says about a prompt at a field.
    pub(crate) fn of_prompt(error: Runtime, at: &str) -> ApiError {
        match error {
            Runtime::PromptTooLong { room, .. } => ApiError::context_overflow(at, room, None),
            other => ApiError::from(other).about(at),
        }
    }

    /// What is the server's own fault: told to the log, and not to the client.
    pub fn failed(error: &dyn std::fmt::Display) -> ApiError {
        // It may quote the request.
        tracing::error!(error = %Line(&error.to_string()), "request failed");
        ApiError::new(Code::Internal, "server failed; its log says why under this request's id")
    }

    /// What the host says of a lesson. Where the server is at fault, the lesson may have been learnt all the same.
    pub(crate) fn of_learning(error: trimtab_adapters::Error) -> ApiError {
        let refusal = ApiError::from(error);
        match refusal.code {
            Code::Internal => ApiError { should_retry: ShouldRetry::Never, ..refusal },
            _ => refusal,
        }
    }

    /// The same, at a field.
    pub fn at(self, param: impl Into<String>) -> ApiError {
        ApiError { param: Some(cut(param.into())), ..self }
    }

    /// The same, at a field if it names none.
    pub fn about(self, param: &str) -> ApiError {
        if self.param.is_some() { self } else { self.at(param) }
    }

    /// The same, to be tried again after so many seconds.
    pub fn after(self, seconds: u64) -> ApiError {
        ApiError { retry_after: Some(seconds.clamp(1, 60)), ..self }
    }

    /// The body.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: Fault {
                message: self.message.clone(),
                kind: Kind::of(self.status),
                param: self.param.clone(),
                code: self.code,
            },
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.should_retry == ShouldRetry::Never {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, self.headers(), Json(self.body())).into_response()
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
        Code::InvalidJson
        | Code::InvalidValue
        | Code::UnknownField
        | Code::UnsupportedField
        | Code::ContextLengthExceeded
        | Code::SiteNotInVector
        | Code::EmptySelection
        | Code::OperationRefused
        | Code::DoseExceeded
        | Code::AnchorMissing
        | Code::PlanMismatch
        | Code::NotAVectorFile
        | Code::PickleRefused
        | Code::SpecUnsupported
        | Code::HeaderInvalid
        | Code::OperationUnknown
        | Code::SiteUnknown
        | Code::TensorMismatch
        | Code::NotFinite
        | Code::NotUnitNorm
        | Code::ContentHashMismatch
        | Code::StatusNull
        | Code::RoleRead
        | Code::LayerBaseAmbiguous
        | Code::LayerOutOfRange => StatusCode::BAD_REQUEST,
    }
}

impl From<Runtime> for ApiError {
    fn from(error: Runtime) -> ApiError {
        let code = match error {
            Runtime::Invalid { field, problem } => return ApiError::invalid(field, problem),
            Runtime::Text(text) => return (*text).into(),
            Runtime::ContextFull { needed, limit } => {
                let refusal = ApiError::context_overflow("prompt", limit, Some(needed));
                return ApiError { param: None, ..refusal };
            }
            Runtime::PromptTooLong { room, .. } => {
                let refusal = ApiError::context_overflow("prompt", room, None);
                return ApiError { param: None, ..refusal };
            }
            Runtime::NoSuchToken { .. } | Runtime::NoTokenizer => Code::InvalidValue,
            Runtime::Site(_) | Runtime::NoSuchSite { .. } => Code::SiteUnknown,
            Runtime::Template(_) => Code::UnsupportedField,
            Runtime::CannotAct { .. } => Code::OperationRefused,
            Runtime::Width { .. } => Code::ModelShapeMismatch,
            Runtime::PoolFull { .. } => Code::Busy,
            Runtime::QueueFull { .. } => Code::QueueFull,
            Runtime::Draining => Code::Draining,
            Runtime::Deadline => Code::DeadlineExceeded,
            other => return ApiError::failed(&other),
        };
        ApiError::new(code, error.to_string())
    }
}

impl From<Text> for ApiError {
    fn from(error: Text) -> ApiError {
        match error {
            Text::NoTemplate => ApiError::new(
                Code::UnsupportedField,
                "model has no chat template; use /v1/completions with a prompt",
            ),
            Text::UnknownRole { .. }
            | Text::ControlInContent { .. }
            | Text::ReservedVariable { .. }
            | Text::UnknownToken { .. }
            | Text::ControlFromText { .. } => ApiError::new(Code::InvalidValue, error.to_string()),
            // What a template says to a conversation it does not take, such as roles in another order.
            Text::Template(said) => {
                // Without words of the template's own, those of the engine that ran it.
                let said = said.detail().map_or_else(|| said.kind().to_string(), str::to_owned);
                let message = format!("messages do not fit the model's chat template: {said}");
                ApiError::new(Code::InvalidValue, message)
            }
            other => ApiError::failed(&other),
        }
    }
}

impl From<trimtab_steering::Error> for ApiError {
    fn from(error: trimtab_steering::Error) -> ApiError {
        use trimtab_runtime::Kind;
        let error = match error {
            trimtab_steering::Error::Runtime(error) => return error.into(),
            other => other,
        };
        match (Code::of(error.code()), error.kind()) {
            (Some(code), _) => ApiError::new(code, error.to_string()),
            (None, Kind::Input | Kind::Refused) => {
                ApiError::new(Code::InvalidValue, error.to_string())
            }
            (None, Kind::Busy) => ApiError::new(Code::Busy, error.to_string()),
            (None, Kind::Model | Kind::Outside | Kind::Internal) => ApiError::failed(&error),
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(error: QueryRejection) -> ApiError {
        ApiError::new(Code::InvalidValue, error.body_text())
    }
}

impl From<FieldError> for ApiError {
    fn from(fault: FieldError) -> ApiError {
        let FieldError { path, cause } = fault;
        let refusal = match cause {
            FieldCause::Problem { code, problem } => {
                let code = Code::of(&code).unwrap_or(Code::InvalidValue);
                ApiError::new(code, format!("{path} {problem}"))
            }
            FieldCause::Refused(error) => {
                let ApiError { code, message, .. } = ApiError::from(*error);
                ApiError::new(code, format!("{path}: {message}"))
            }
        };
        refusal.at(path)
    }
}

impl From<trimtab_adapters::Error> for ApiError {
    fn from(error: trimtab_adapters::Error) -> ApiError {
        use trimtab_adapters::Error as Learn;
        use trimtab_runtime::Kind;
        let error = match error {
            Learn::Model(error) => return error.into(),
            Learn::Steering(error) => return error.into(),
            Learn::Invalid { field, problem } => return ApiError::invalid(field, problem),
            other => other,
        };
        match (Code::of(error.code()), error.kind()) {
            (Some(code), _) if code != Code::Internal => ApiError::new(code, error.to_string()),
            (_, Kind::Input | Kind::Refused) => {
                ApiError::new(Code::InvalidValue, error.to_string())
            }
            // What the state folder is like is the operator's business.
            (_, Kind::Busy | Kind::Model | Kind::Outside | Kind::Internal) => {
                ApiError::failed(&error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_servers_fault_is_not_told() {
        let io = std::io::Error::other("disk on fire");
        let error = Runtime::Io { path: "secret-place".to_owned(), source: io };
        let refusal = ApiError::from(error);
        assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!refusal.message.contains("secret") && !refusal.message.contains("fire"));
    }

    #[test]
    fn conflicts_are_not_to_be_tried_again_and_full_queues_are() {
        let conflict = ApiError::new(Code::FeedbackExists, "x").into_response();
        assert_eq!(conflict.headers()["x-should-retry"], "false");
        let full = ApiError::from(Runtime::QueueFull { places: 3 }).into_response();
        assert_eq!(
            (full.status().as_u16(), &full.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
    }

    #[test]
    fn what_ran_into_the_deadline_is_not_to_be_asked_for_again() {
        let late = ApiError::from(Runtime::Deadline).into_response();
        assert_eq!(
            (late.status().as_u16(), &late.headers()["x-should-retry"]),
            (504, &"false".parse().unwrap())
        );
    }

    #[test]
    fn an_overflow_has_the_words_that_clients_look_for() {
        let counted = ApiError::context_overflow("messages", 8192, Some(20031));
        assert_eq!(
            counted.message,
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 20031 tokens."
        );
        let refused = ApiError::context_overflow("input[3]", 64, None);
        assert_eq!(refused.param.as_deref(), Some("input[3]"));
        assert!(
            refused.message.ends_with("However, your input resulted in more tokens than that.")
        );
    }

    #[test]
    fn a_message_never_quotes_a_whole_body() {
        let refusal = ApiError::invalid("x".repeat(10_000), "is long");
        assert!(refusal.message.len() < 1000 && refusal.param.unwrap().len() < 1000);
    }
}
