//! What is trained offline against a frozen backbone.
//!
//! This crate has no content yet. It will hold rollouts through the same token loop that serves,
//! rewards and advantages, losses, curricula, data sets and checkpoints, for controllers of under a
//! million parameters: ponder controllers, reward forecasters, preference models.
//!
//! It is a crate of its own because it is the only user of optimisers, and the server must build
//! without one.
//!
//! It will not train the backbone, and nothing in it runs while a request is being answered.
