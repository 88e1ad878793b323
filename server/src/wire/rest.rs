//! Fields that no type knows: their names, and as much of their values as tells whether they ask for anything.
//!
//! Clients write down what they leave at its default: empty lists of tools, `"none"`, `null`. Refusing a field for being
//! there would refuse these too, so the shape of its value is kept, and no more of it.

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// Letters of a word that is kept, and words of a list.
const LONGEST_WORD: usize = 32;
const MOST_WORDS: usize = 4;

/// Fields that no type knows.
pub type Rest = BTreeMap<String, Unread>;

/// What is kept of a value that no type reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// `null`.
    Null,
    /// A list, an object or a text with nothing in it.
    Empty,
    /// A short text.
    Word(String),
    /// A few short texts.
    Words(Vec<String>),
    /// A whole number.
    Number(u64),
    /// Anything else.
    Other,
}

impl Unread {
    /// Whether it asks for nothing, in any field.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Unread::Null | Unread::Empty)
    }

    /// Whether it is this word, or a list of it alone.
    pub fn says(&self, word: &str) -> bool {
        match self {
            Unread::Word(own) => own == word,
            Unread::Words(words) => words.iter().all(|own| own == word),
            Unread::Null | Unread::Empty | Unread::Number(_) | Unread::Other => false,
        }
    }
}

/// The names of fields that ask for something.
pub fn names(rest: &Rest) -> impl Iterator<Item = &str> {
    rest.iter().filter(|(_, value)| !value.is_nothing()).map(|(name, _)| name.as_str())
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Unread;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unread, E> {
        Ok(Unread::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unread, E> {
        Ok(Unread::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Unread, E> {
        Ok(Unread::Number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unread, E> {
        Ok(Unread::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Unread, E> {
        Ok(match text.len() {
            0 => Unread::Empty,
            1..=LONGEST_WORD => Unread::Word(text.to_owned()),
            _ => Unread::Other,
        })
    }

    fn visit_unit<E>(self) -> Result<Unread, E> {
        Ok(Unread::Null)
    }

    fn visit_none<E>(self) -> Result<Unread, E> {
        Ok(Unread::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Unread, D::Error> {
        Unread::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unread, A::Error> {
        let (mut words, mut length) = (Vec::new(), 0_usize);
        while let Some(element) = list.next_element::<Unread>()? {
            length += 1;
            if let Unread::Word(word) = element
                && words.len() < MOST_WORDS
            {
                words.push(word);
            }
        }
        Ok(match (length, words.len()) {
            (0, _) => Unread::Empty,
            (all, short) if all == short => Unread::Words(words),
            _ => Unread::Other,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unread, A::Error> {
        let mut found = Unread::Empty;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            found = Unread::Other;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_ask_for_nothing_are_told_from_others() {
        let read = |text: &str| serde_json::from_str::<Unread>(text).unwrap();
        for nothing in ["null", "[]", "{}", r#""""#] {
            assert!(read(nothing).is_nothing(), "{nothing}");
        }
        let some =
            ["[null]", "false", "0", "-1", r#"{"a":null}"#, "[[]]", r#"["a","b","c","d","e"]"#];
        for something in some {
            assert!(!read(something).is_nothing(), "{something}");
        }
        assert!(read(r#""none""#).says("none") && read(r#"["text"]"#).says("text"));
        assert!(!read(r#"["text","audio"]"#).says("text") && !read("[]").says("text"));
        assert_eq!(read(&format!("{:?}", "x".repeat(LONGEST_WORD + 1))), Unread::Other);
        assert_eq!(read("576"), Unread::Number(576));
    }
}
