//! What a server remembers, and what learns while it serves.
//!
//! [`store`] is the part that stands: one SQLite file in the state folder, with traces, registered vectors, steering
//! settings, the versions of adapters and an audit log. What is said to be stored is there after
//! a crash; of what is said to be deleted, no copy of its text is left in the folder.
//!
//! [`tpop`] learns a taste from choices between two answers or two settings: numbers in, numbers out.
//!
//! The crate will also hold the other adapters: one-step updates from feedback, the evidence they take, and
//! the host that publishes their states. A state goes in, evidence goes in, a new state comes out; the host checks it
//! (norm cap, divergence on canary prompts) and gives it a version that never changes. The tables for those versions
//! are here before the learners, because they carry the promise that is hardest to add later: the schema itself
//! refuses to change a version, and keys every one by its owner, so that the states of two users never mix.
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
pub mod store;
pub mod tpop;

pub use error::{Error, Result};
