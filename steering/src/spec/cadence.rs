//! A cadence as JSON: the word `sentence`, or a number of tokens.

use crate::monitor::Cadence;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

const SENTENCE: &str = "sentence";

impl Serialize for Cadence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cadence::Sentence => serializer.serialize_str(SENTENCE),
            Cadence::Tokens(tokens) => tokens.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cadence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = Cadence;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"sentence\" or a number of tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Cadence, E> {
                match text {
                    SENTENCE => Ok(Cadence::Sentence),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_u64<E: Error>(self, tokens: u64) -> Result<Cadence, E> {
                // A number that is too large for the machine is too large for a cadence.
                Ok(Cadence::Tokens(usize::try_from(tokens).unwrap_or(usize::MAX)))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Cadence {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{KnownFormat, Object, OneOf, Schema, SchemaFormat, Type};
        let word = Object::builder().schema_type(Type::String).enum_values(Some([SENTENCE]));
        let tokens = Object::builder()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(1))
            .maximum(Some(64));
        Schema::OneOf(OneOf::builder().item(word).item(tokens).build()).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Cadence {
    fn name() -> std::borrow::Cow<'static, str> {
        "Cadence".into()
    }
}
