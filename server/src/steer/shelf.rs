//! Where steering is kept over a restart.

use crate::refusal::Refusal;
use crate::wire::steering::Steering;
use std::collections::BTreeMap;
use trimtab_steering::steer::NullVectors;

/// A registered vector, with all that is needed to register it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVector {
    /// Its name.
    pub id: String,
    /// Of its bytes.
    pub sha256: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// Where it was loaded from, unless it was uploaded.
    pub source: Option<String>,
    /// The model that was accepted with it.
    pub accept_model: Option<String>,
    /// Whether a vector without effect was taken.
    pub null: NullVectors,
}

/// Presets and the server default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredSettings {
    /// Rises with every change.
    pub version: u64,
    /// What every answer gets that does not drop it.
    pub default: Option<Steering>,
    /// Whether requests can drop it.
    pub lock: Lock,
    /// Registered vectors that requests may bring under a lock.
    pub allow: Vec<String>,
    /// By name.
    pub presets: BTreeMap<String, Steering>,
}

/// Whether requests can drop the server default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lock {
    /// They can.
    #[default]
    Open,
    /// They cannot.
    Locked,
}

/// Keeps what steering must not forget. What is in force changes only after a call has succeeded.
///
/// # Contract
///
/// Calls come one at a time, from a thread that may block. An error leaves what was kept as it was.
///
/// ```
/// use trimtab_server::steer::{Forgetful, Shelf};
///
/// // A server without a state folder keeps nothing.
/// assert!(Forgetful.delete_vector("calm").is_ok());
/// ```
pub trait Shelf: Send + Sync {
    /// Keeps a vector under its id, in place of any other.
    fn put_vector(&self, vector: &StoredVector) -> Result<(), Refusal>;

    /// Forgets a vector.
    fn delete_vector(&self, id: &str) -> Result<(), Refusal>;

    /// Keeps presets and the server default.
    fn put_settings(&self, settings: &StoredSettings) -> Result<(), Refusal>;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Shelf for Forgetful {
    fn put_vector(&self, _vector: &StoredVector) -> Result<(), Refusal> {
        Ok(())
    }

    fn delete_vector(&self, _id: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn put_settings(&self, _settings: &StoredSettings) -> Result<(), Refusal> {
        Ok(())
    }
}
