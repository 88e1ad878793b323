//! Errors on the wire: the codes of the contract, and OpenAI's body around them.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body is no JSON.
    InvalidJson,
    /// A value that a field cannot have.
    InvalidValue,
    /// A field that does not exist.
    UnknownField,
    /// A field that exists and is refused.
    UnsupportedField,
    /// More tokens than the model's context.
    ContextLengthExceeded,
    /// A site that was asked for and is not in the file.
    SiteNotInVector,
    /// A scope in which no token is.
    EmptySelection,
    /// An operation that the file does not allow.
    OperationRefused,
    /// A push that is too hard.
    DoseExceeded,
    /// A direction without the numbers for class coordinates.
    AnchorMissing,
    /// A head that was fitted under another plan.
    PlanMismatch,
    /// A container that is not the expected one.
    NotAVectorFile,
    /// A file that can carry code.
    PickleRefused,
    /// A file above its limit.
    FileTooLarge,
    /// A version of the header this program does not know.
    SpecUnsupported,
    /// A header with a wrong field.
    HeaderInvalid,
    /// An operation this program does not know.
    OperationUnknown,
    /// A name that is no site.
    SiteUnknown,
    /// A tensor that does not fit the header.
    TensorMismatch,
    /// NaN or an infinity.
    NotFinite,
    /// A row whose length is not 1.
    NotUnitNorm,
    /// Data that is not what its hash says.
    ContentHashMismatch,
    /// A vector that was measured and did nothing.
    StatusNull,
    /// A direction that must not be added.
    RoleRead,
    /// Layer numbers with two readings.
    LayerBaseAmbiguous,
    /// A block the model does not have.
    LayerOutOfRange,
    /// A key that is missing or wrong.
    InvalidApiKey,
    /// Administration is off.
    AdminDisabled,
    /// The key is none of an administrator.
    AdminRequired,
    /// The server default cannot be dropped.
    DefaultLocked,
    /// Vectors from elsewhere are off.
    SourceDisabled,
    /// There is no such thing.
    NotFound,
    /// There is no such model.
    ModelNotFound,
    /// There is no such vector.
    VectorNotFound,
    /// There is no such adapter.
    AdapterNotFound,
    /// There is no such trace.
    TraceNotFound,
    /// Feedback was given already.
    FeedbackExists,
    /// The duel was decided already.
    DuelClosed,
    /// The name belongs to something else.
    IdInUse,
    /// Something still names it.
    InUse,
    /// Another change was faster.
    VersionConflict,
    /// The body is too large.
    BodyTooLarge,
    /// The body has another type.
    UnsupportedMediaType,
    /// A vector for another model.
    ModelMismatch,
    /// A vector for a model of another shape.
    ModelShapeMismatch,
    /// The queue is full.
    QueueFull,
    /// Something is being done that only one may do.
    Busy,
    /// The server is at fault.
    Internal,
    /// The model is being loaded.
    Loading,
    /// The server is being shut down.
    Draining,
    /// The request's time is over.
    DeadlineExceeded,
}

impl Code {
    /// As it is written.
    pub fn text(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(text)) => text,
            // A unit variant always is a text.
            Ok(_) | Err(_) => String::new(),
        }
    }

    /// The code of this text.
    pub fn of(text: &str) -> Option<Code> {
        serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
    }
}

impl From<Code> for Cow<'static, str> {
    fn from(code: Code) -> Cow<'static, str> {
        code.text().into()
    }
}

/// The body of a response that is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: Fault,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// For people.
    pub message: String,
    /// The kind of error, in OpenAI's words.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The field, as a JSON path.
    pub param: Option<String>,
    /// For programs.
    pub code: Code,
}

/// The kinds of error, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ErrorKind)]
pub enum Kind {
    /// The request is at fault.
    InvalidRequestError,
    /// The key is.
    AuthenticationError,
    /// The key may not do this.
    PermissionError,
    /// Too much at once.
    RateLimitError,
    /// The server is at fault, or is not there for now.
    ServerError,
}

impl Kind {
    /// The kind that goes with a status.
    pub fn of(status: StatusCode) -> Kind {
        match status.as_u16() {
            401 => Kind::AuthenticationError,
            403 => Kind::PermissionError,
            429 => Kind::RateLimitError,
            500.. => Kind::ServerError,
            _ => Kind::InvalidRequestError,
        }
    }
}
