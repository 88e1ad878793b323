//! A truth value of the wire: `true` or `false` there, a word of its own here.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `true` or `false`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flag {
    /// `false`
    #[default]
    No,
    /// `true`
    Yes,
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self == Flag::Yes)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flag, D::Error> {
        Ok(if bool::deserialize(deserializer)? { Flag::Yes } else { Flag::No })
    }
}
