//! Duels token by token, experimental: two answers grow in lockstep, each under a tilt of its own.
//!
//! `embed` is the mode there is: the features of an answer are the mean of its tokens' rows of the output matrix,
//! projected, so a token's share of the reward is a fixed bias of its logit. It can learn wording and nothing else. The
//! published arms are scored by a second model and by probabilities; `score = prob` keeps the latter. States of the
//! prefix with each candidate appended (`lookahead`) are not here.

mod duel;
mod features;
mod tilt;

pub use duel::TokenDuel;
pub use features::TokenFeatures;
pub use tilt::{DuelRow, TiltedRow, TokenArm, TokenTaste};
