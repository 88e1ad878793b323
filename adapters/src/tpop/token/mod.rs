//! Duels token by token, experimental: two answers grow in lockstep, each under a tilt of its own.
//!
//! With `embed` the features of an answer are the mean of its tokens' rows of the output matrix, projected, so a token's
//! share of the reward is a fixed bias of its logit. It can learn wording and nothing else. With `lookahead` the model
//! runs each row's likeliest tokens and reads the answer with each of them; it is for one duel at a time, without an
//! engine. The published arms are scored by a second model and by probabilities; `score = prob` keeps the latter.

mod duel;
mod features;
mod lookahead;
mod step;
mod tilt;

pub use duel::TokenDuel;
pub use features::TokenFeatures;
pub use lookahead::{LOOKAHEAD_CANDIDATES, Lookahead};
pub use step::{DuelStep, TokenTilt};
pub use tilt::{DuelRow, TiltedRow, TokenArm, TokenTaste};
