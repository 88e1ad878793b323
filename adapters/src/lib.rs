//! What a server remembers, and what learns while it serves.
//!
//! [`store`] is the part that stands: one SQLite file in the state folder, with traces, registered vectors, steering
//! settings, the versions of adapters and an audit log. What is said to be stored is there after
//! a crash; of what is said to be deleted, no copy of its text is left in the folder.
//!
//! Two learners are here as functions of numbers: [`rosa`], one step from one judgement, and [`tpop`], a taste learnt from
//! choices between two answers or two settings. A state goes in, evidence goes in, a new state comes out. [`host`] publishes
//! such states for owners while a model is served: the schema itself refuses to change a version, and keys every
//! one by its owner, so that the states of two users never mix.
//!
//! It is a crate of its own because remembering has promises the rest does not need. It will not hold gradient
//! training over data sets (that is `trimtab-trainer`), nor know what HTTP is: the structs here are rows, not wire
//! shapes. It never changes the model's weights.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> trimtab_adapters::Result<()> {
//! use trimtab_adapters::store::Store;
//!
//! let store = Store::memory().await?;
//! let first = store.put_settings(0, r#"{"default":null}"#).await?;
//! assert_eq!(first, Some(1));
//! // A change of version 0 is refused as stale, and nothing is overwritten.
//! assert_eq!(store.put_settings(0, "{}").await?, None);
//! # Ok(())
//! # }
//! ```

mod error;
pub mod host;
pub mod rosa;
pub mod store;
pub mod tpop;

pub use error::{Error, Result};
