//! `steering.adapt`: the adapter that an answer is made with.

use super::error::Code;
use super::union::any_of;
use crate::error::ApiError;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use trimtab_adapters::host::{AdapterConfig, AdapterKey, DuelArm, PinRequest, TasteConfig};
use trimtab_runtime::json::{self, JsonErrorKind, JsonLimits};
use trimtab_steering::spec::FieldError;
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// An adapter that the answer is made with. It belongs to the label of the request's key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adapt {
    /// Its name.
    pub adapter: String,
    /// The version; the newest if it is left out. Nothing is learnt from an answer of a version that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How it is to learn, where there is none of this name yet; without it that is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<Create>,
    /// Whether the answer is kept so that what is said of it can teach; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<bool>,
}

/// How a new adapter learns: a method's name for its defaults, or all of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Create {
    /// `rosa` or `tpop`.
    Method(String),
    /// A method and its parameters.
    Whole(NewAdapter),
}

/// A method and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdapter {
    /// `rosa` or `tpop`.
    pub method: String,
    /// The method's keys, as `{"eps_neg": 0.05}`; defaults for those that are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub params: Option<serde_json::Value>,
    /// Settings that duels of `tpop` choose between; without any, duels are between sampled answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arms: Option<Vec<DuelArm>>,
}

impl Adapt {
    /// Which version it asks for.
    pub(crate) fn request(&self) -> PinRequest {
        match (self.version, self.learn) {
            (Some(version), _) => PinRequest::Version(version),
            (None, Some(false)) => PinRequest::NewestFrozen,
            (None, Some(true) | None) => PinRequest::Newest,
        }
    }

    /// Whose adapter it names.
    pub(crate) fn key(&self, owner: &str) -> Result<AdapterKey, FieldError> {
        AdapterKey::new(owner, &self.adapter).map_err(|error| told(error, ""))
    }

    /// Refuses what no adapter can be.
    pub(crate) fn check(&self) -> Result<(), FieldError> {
        self.key("")?;
        self.create.as_ref().map_or(Ok(()), |create| create.config().map(drop))
    }
}

impl Create {
    /// The settings of its duels, each with its place.
    pub(crate) fn arms(&self) -> impl Iterator<Item = (usize, &DuelArm)> {
        let arms = match self {
            Create::Method(_) => None,
            Create::Whole(whole) => whole.arms.as_ref(),
        };
        arms.into_iter().flatten().enumerate()
    }

    /// The configuration that it stands for.
    pub(crate) fn config(&self) -> Result<AdapterConfig, FieldError> {
        let config = match self {
            Create::Method(name) => {
                AdapterConfig::of_method(name).map_err(|e| told(e, "create"))?
            }
            Create::Whole(whole) => whole.config().map_err(|fault| fault.under("create"))?,
        };
        config.check().map_err(|error| told(error, "create"))?;
        Ok(config)
    }
}

impl NewAdapter {
    fn config(&self) -> Result<AdapterConfig, FieldError> {
        let params = self.params.clone().unwrap_or_else(|| serde_json::json!({}));
        match AdapterConfig::of_method(&self.method).map_err(|error| told(error, ""))? {
            AdapterConfig::Rosa { .. } if self.arms.is_some() => {
                Err(FieldError::value("arms", "is given, and only tpop chooses between settings"))
            }
            AdapterConfig::Rosa { .. } => {
                Ok(AdapterConfig::Rosa { params: part(&params, "params")? })
            }
            AdapterConfig::Tpop(_) => Ok(AdapterConfig::Tpop(TasteConfig {
                params: part(&params, "params")?,
                arms: self.arms.clone().unwrap_or_default(),
            })),
        }
    }
}

/// Reads a part of a body that was kept as a document, so that every refusal names its field.
pub(crate) fn part<T: DeserializeOwned>(
    document: &serde_json::Value,
    at: &str,
) -> Result<T, FieldError> {
    json::read(&document.to_string(), JsonLimits::NONE).map_err(|error| {
        let code = match error.kind {
            JsonErrorKind::UnknownField => Code::UnknownField,
            _ => Code::InvalidValue,
        };
        FieldError::new(code, error.dotted(), error.problem).under(at)
    })
}

/// What the host says of a field, at its place.
fn told(error: trimtab_adapters::Error, at: &str) -> FieldError {
    match error {
        trimtab_adapters::Error::Invalid { field, problem } => FieldError::value(
            field.replace("rosa.", "params.").replace("tpop.", "params."),
            problem,
        )
        .under(at),
        other => {
            let ApiError { code, message, .. } = other.into();
            FieldError::new(code, "", message).under(at)
        }
    }
}

impl Serialize for Create {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Create::Method(method) => method.serialize(serializer),
            Create::Whole(whole) => whole.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Create {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Create;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("rosa, tpop or an object with a method")
            }

            fn visit_str<E>(self, method: &str) -> Result<Create, E> {
                Ok(Create::Method(method.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Create, A::Error> {
                NewAdapter::deserialize(MapAccessDeserializer::new(map)).map(Create::Whole)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl PartialSchema for Create {
    fn schema() -> RefOr<Schema> {
        let name = Object::builder().schema_type(Type::String).build();
        any_of([name.into(), Ref::from_schema_name("NewAdapter").into()])
    }
}

impl ToSchema for Create {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((NewAdapter::name().into(), NewAdapter::schema()));
        NewAdapter::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        match super::super::read::<Adapt>(text.as_bytes()) {
            Ok(adapt) => {
                let fault = adapt.check().unwrap_err();
                (fault.code().to_owned(), fault.path)
            }
            Err(refusal) => (refusal.code.text(), refusal.param.unwrap_or_default()),
        }
    }

    #[test]
    fn an_adapter_is_named_and_may_be_made() {
        let read = |text: &str| super::super::read::<Adapt>(text.as_bytes()).unwrap();
        assert_eq!(read(r#"{"adapter":"a"}"#).request(), PinRequest::Newest);
        assert_eq!(read(r#"{"adapter":"a","learn":false}"#).request(), PinRequest::NewestFrozen);
        let pinned = read(r#"{"adapter":"a","version":3,"learn":true}"#);
        assert_eq!(pinned.request(), PinRequest::Version(3));
        for text in [
            r#"{"adapter":"a","create":"rosa"}"#,
            r#"{"adapter":"a","create":{"method":"rosa","params":{"eps_neg":0.05}}}"#,
            r#"{"adapter":"a","create":{"method":"tpop","arms":[{"name":"x"},{"name":"y"}]}}"#,
            r#"{"adapter":"a","version":null,"create":null}"#,
        ] {
            read(text).check().unwrap();
        }
    }

    #[test]
    fn every_refusal_names_its_field() {
        for (text, code, path) in [
            (r#"{"adapter":"A"}"#, "invalid_value", "adapter"),
            (r#"{"adapter":"a","lern":true}"#, "unknown_field", "lern"),
            (r#"{"adapter":"a","create":"sgd"}"#, "invalid_value", "create.method"),
            (r#"{"adapter":"a","create":{"method":"rosa","x":1}}"#, "unknown_field", "create.x"),
            (
                r#"{"adapter":"a","create":{"method":"rosa","params":{"eps":1}}}"#,
                "unknown_field",
                "create.params.eps",
            ),
            (
                r#"{"adapter":"a","create":{"method":"rosa","params":{"eps_neg":7}}}"#,
                "invalid_value",
                "create.params.eps_neg",
            ),
            (
                r#"{"adapter":"a","create":{"method":"rosa","arms":[]}}"#,
                "invalid_value",
                "create.arms",
            ),
            (
                r#"{"adapter":"a","create":{"method":"tpop","arms":[{"name":"x"}]}}"#,
                "invalid_value",
                "create.arms",
            ),
            (
                r#"{"adapter":"a","create":{"method":"tpop","arms":[{"nam":"x"}]}}"#,
                "unknown_field",
                "create.arms[0].nam",
            ),
        ] {
            assert_eq!(refused(text), (code.to_owned(), path.to_owned()), "{text}");
        }
    }
}
