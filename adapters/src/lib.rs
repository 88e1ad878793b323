//! What learns while the model serves: states, versions, update rules and guards.
//!
//! This room has no content yet. It will hold the adapters: one-step updates from feedback, dueling
//! bandits, the evidence they take, and the host that publishes their states. A state goes in,
//! evidence goes in, a new state comes out; the host checks it (norm cap, divergence on canary
//! prompts), writes it to a journal and gives it a version that never changes.
//!
//! It is a crate of its own because learning has promises the rest does not need: a version can
//! always be restored, and the states of two users never mix.
//!
//! It will not hold gradient training over data sets (that is `trimtab-trainer`), nor know what HTTP
//! is. It never changes the model's weights.
