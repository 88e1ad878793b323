//! Settings that duels choose between, on the vectors of a conversation.

use super::conversation::TurnTerms;
use crate::commands::vectors::Steering;
use crate::error::{Error, Result};
use serde::Deserialize;
use trimtab_adapters::host::{AdapterConfig, DuelArm, PinnedAdapter};

/// A setting: an instruction, and vectors at scales.
pub struct Arm {
    pub name: String,
    pub instruction: Option<String>,
    pub steering: Steering,
}

/// What of a `steering` object a conversation on the command line can do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmSteering {
    vectors: Vec<ArmVector>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmVector {
    id: String,
    scale: f32,
}

impl Arm {
    fn of(arm: &DuelArm, steering: &Steering) -> Result<Arm> {
        let refused = |problem: String| {
            Error::usage("--adapt-arms", format!("has setting {}, which {problem}", arm.name))
        };
        let vectors = match arm.steering.clone() {
            None => Vec::new(),
            Some(value) => {
                let read: ArmSteering =
                    serde_json::from_value(value).map_err(|error| refused(error.to_string()))?;
                read.vectors
            }
        };
        let names: Vec<String> = steering.names().map(str::to_owned).collect();
        let scales = vectors.iter().map(|vector| (vector.id.as_str(), vector.scale));
        // A vector that a setting does not name is not in force under it.
        let scales = names.iter().map(|name| (name.as_str(), 0.0)).chain(scales);
        let mut own = steering.clone();
        for (name, scale) in scales {
            own = own.rescaled(name, scale).map_err(|error| refused(error.to_string()))?;
        }
        Ok(Arm { name: arm.name.clone(), instruction: arm.instruction.clone(), steering: own })
    }

    /// An answer under this setting.
    pub fn terms<'t>(&'t self, pinned: &'t PinnedAdapter) -> TurnTerms<'t> {
        let instruction = self.instruction.as_deref();
        TurnTerms { instruction, adapter: Some(pinned), ..TurnTerms::of(&self.steering) }
    }
}

/// The settings of a configuration.
pub fn arms(config: &AdapterConfig, steering: &Steering) -> Result<Vec<Arm>> {
    match config {
        AdapterConfig::Rosa { .. } => Ok(Vec::new()),
        AdapterConfig::Tpop(taste) => taste.arms.iter().map(|arm| Arm::of(arm, steering)).collect(),
    }
}
