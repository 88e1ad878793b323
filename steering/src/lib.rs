//! Directions in the residual stream, as files, operations and measurements.
//!
//! This room has no content yet. It will hold what someone who makes or uses steering vectors needs:
//! vector files with a header that says how they were made, the operations that apply them (add,
//! project, clamp, rotate) with their scopes and gates, extraction from labelled pairs, and the
//! evaluation that puts a control beside every effect.
//!
//! It is a crate of its own because the runtime must not know what a direction means: the runtime
//! offers sites and hooks, and everything here is an intervention bound to them.
//!
//! It will not hold anything that learns while serving (that is `trimtab-adapters`), nor anything
//! that runs a model by itself: it asks the runtime's session for activations.
