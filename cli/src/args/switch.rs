//! A flag without a value, which the environment may also turn off.

use serde::{Serialize, Serializer};

/// A flag that is given or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is not given.
    Off,
    /// It is given.
    On,
}

impl Switch {
    /// Whether it is given.
    pub fn is_on(self) -> bool {
        self == Switch::On
    }
}

impl From<bool> for Switch {
    fn from(on: bool) -> Switch {
        if on { Switch::On } else { Switch::Off }
    }
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.is_on())
    }
}

/// Reads what the environment says, and what clap says for a flag: `true` or `false`.
pub fn parse(text: &str) -> Result<Switch, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Ok(Switch::On),
        "" | "0" | "false" | "off" | "no" => Ok(Switch::Off),
        _ => Err("a switch is 1 or 0".to_owned()),
    }
}
