//! Values that come in more than one shape: one text or several, a text or its tokens.
//!
//! Each reads its shape off what is there, by hand: a derived union tries one shape after the other and forgets
//! where in the value it failed.

use super::rest::Rest;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use utoipa::openapi::schema::{AnyOf, Array, Object, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// One text, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Texts, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Texts)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts of it.
    Parts(Vec<Part>),
}

/// A part of what a message says.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct Part {
    /// `text`, or its other names `input_text` and `output_text`; other kinds are refused.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    pub text: Option<String>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string or a list of parts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// What is to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A text.
    Text(String),
    /// Its tokens.
    Ids(Vec<u32>),
}

/// What is to be continued or embedded: one prompt, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// One prompt.
    One(Prompt),
    /// A list of prompts.
    Many(Vec<Prompt>),
}

/// An element of a list of inputs.
enum Element {
    Whole(Prompt),
    Id(u32),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, a token id or a list of token ids")
            }

            fn visit_str<E>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Whole(Prompt::Text(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Element, E> {
                let id = u32::try_from(id);
                id.map(Element::Id).map_err(|_| E::custom("a token id has at most 32 bits"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Element, A::Error> {
                let ids = Vec::deserialize(SeqAccessDeserializer::new(list));
                ids.map(|ids| Element::Whole(Prompt::Ids(ids)))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, a list of strings, token ids or lists of token ids")
            }

            fn visit_str<E>(self, text: &str) -> Result<Inputs, E> {
                Ok(Inputs::One(Prompt::Text(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
                let (mut whole, mut ids) = (Vec::new(), Vec::new());
                while let Some(element) = list.next_element()? {
                    match element {
                        Element::Whole(prompt) => whole.push(prompt),
                        Element::Id(id) => ids.push(id),
                    }
                }
                match (whole.is_empty(), ids.is_empty()) {
                    (false, false) => Err(A::Error::custom("list mixes texts and token ids")),
                    (true, false) => Ok(Inputs::One(Prompt::Ids(ids))),
                    (_, true) => Ok(Inputs::Many(whole)),
                }
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

fn string() -> Object {
    Object::with_type(Type::String)
}

pub(super) fn id() -> Object {
    let mut id = Object::with_type(Type::Integer);
    id.minimum = Some(0.into());
    id.maximum = Some((u32::MAX as usize).into());
    id
}

pub(super) fn any_of(shapes: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    let mut union = AnyOf::new();
    union.items.extend(shapes);
    Schema::AnyOf(union).into()
}

pub(super) fn list(of: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    Schema::Array(Array::new(of)).into()
}

impl PartialSchema for Texts {
    fn schema() -> RefOr<Schema> {
        any_of([string().into(), list(string())])
    }
}

impl PartialSchema for Content {
    fn schema() -> RefOr<Schema> {
        any_of([string().into(), list(Ref::from_schema_name("Part"))])
    }
}

impl PartialSchema for Inputs {
    fn schema() -> RefOr<Schema> {
        any_of([string().into(), list(string()), list(id()), list(list(id()))])
    }
}

impl ToSchema for Texts {}
impl ToSchema for Content {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Part".to_owned(), Part::schema()));
    }
}
impl ToSchema for Inputs {}
