//! The objects that are put together for one request, and how a refusal names the one it is about.

use super::repository::Lock;
use crate::error::ApiError;
use crate::wire::steering::Steering;
use trimtab_steering::spec::FieldError;

/// Where a request's own object stands in its body.
pub(crate) const REQUEST: &str = "steering";

/// Whose object a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LayerSource {
    /// It stands at this path of the body.
    Body(String),
    /// Something of the server's, by its name for people, and the field that named it.
    Server(String, &'static str),
}

/// One of the objects that are put together.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'a> {
    pub(crate) voice: LayerSource,
    pub(crate) object: &'a Steering,
    /// Whether requests can drop it.
    pub(crate) lock: Lock,
}

impl LayerSource {
    /// Of a part of its object.
    pub(crate) fn inside(&self, part: &str) -> LayerSource {
        match self {
            LayerSource::Body(path) => LayerSource::Body(format!("{path}.{part}")),
            LayerSource::Server(name, param) => {
                LayerSource::Server(format!("{name}: {part}"), param)
            }
        }
    }

    /// Whether it is the request's own.
    pub(crate) fn is_body(&self) -> bool {
        matches!(self, LayerSource::Body(_))
    }

    pub(crate) fn refusal(&self, fault: FieldError) -> ApiError {
        match self {
            LayerSource::Body(path) => fault.under(path).into(),
            LayerSource::Server(name, param) => {
                // Only its name stands in the body.
                let ApiError { code, message, .. } = fault.into();
                ApiError::new(code, format!("{name}: {message}")).at(*param)
            }
        }
    }
}

impl Layer<'_> {
    /// Whether it is what a request says, and not an object of the server's that is being looked at.
    pub(crate) fn is_requests(&self) -> bool {
        self.voice == LayerSource::Body(REQUEST.to_owned())
    }

    pub(crate) fn refusal(&self, fault: FieldError) -> ApiError {
        self.voice.refusal(fault)
    }
}
