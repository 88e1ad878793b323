//! Dueling bandits over answers and over settings: what one user likes, from choices between two.
//!
//! For a turn there are candidates: sampled answers, or settings to answer under. Arm a looks best under the reward
//! learnt so far, arm b is chosen to be informative, both are shown in random order, and the choice is learnt: a state
//! goes in, a judged pair goes in, a new state with the next version comes out. The model is frozen, and caches of keys
//! and values stay valid. Nothing here knows HTTP, files or the clock.
//!
//! Published (T-POP, arXiv 2509.24696; neural dueling bandits, arXiv 2407.17112): a frozen model, a reward learnt online
//! from pairs, the bonus `u = ‖g‖_{V⁻¹}`, the Bradley–Terry–Luce loss, the net's schedule, the tilt over the union of
//! both rows' likeliest tokens.
//! Ours: duels between whole answers and settings, features of the model's own activations, the linear head, the exact
//! matrix, the position term, budgets, `embed`. The released code has the label's sign and the growth of the matrix the
//! wrong way round; both are controls in the tests here.
//!
//! ```
//! use trimtab_adapters::tpop::*;
//!
//! # fn main() -> Result<(), TpopError> {
//! // Three settings without shared features: duels choose how the model is steered.
//! let arms = ArmFeatures::of_settings(SettingFeatures::Categorical { settings: 3 })?;
//! let config = TpopParams::default().check()?;
//! let scope = TpopScope { config, extractor: *arms.id(), width: arms.width(), seed: 7 };
//! let mut state = TpopState::new(scope)?;
//! let features: Vec<Vec<f32>> = (0..3).map(|at| arms.features(at, &[])).collect::<Result<_, _>>()?;
//! let candidates: Vec<DuelCandidate> = (0u8..)
//!     .zip(&features)
//!     .map(|(at, features)| DuelCandidate { features, answer: [at; 32] })
//!     .collect();
//! for round in 0..12 {
//!     let turn = DuelTurn { round, since_asked: None };
//!     let TpopChoice::Duel(duel) = state.choose(turn, &candidates)? else { break };
//!     // This user likes the last setting best.
//!     let [a, b] = duel.rows;
//!     let judgement = if a > b { PairLabel::A } else { PairLabel::B };
//!     let at = JudgedAt { time_ms: 0, took_ms: None };
//!     state = state.learn(duel.judged(round as u64, judgement, at))?.state;
//! }
//! let rewards: Vec<f64> = features.iter().map(|features| state.head().reward(features)).collect();
//! assert!(rewards[2] > rewards[1] && rewards[2] > rewards[0]);
//! # Ok(())
//! # }
//! ```

mod bytes;
mod error;
mod matrix;
mod params;
mod stream;

mod extractor;
mod settings;
mod whitening;

mod confidence;
mod head;
mod tanh;

mod example;
mod fit;
mod linear;
mod pair;
mod reliability;

mod ask;
mod choose;
mod encode;
mod second;
mod state;

mod token;

mod simulate;

pub use bytes::TpopDigest;
pub(crate) use bytes::hex;
pub use choose::{Duel, DuelCandidate, DuelTurn, FASTEST_CHOICE_MS, JudgedAt, NoDuel, TpopChoice};
pub use confidence::Confidence;
pub use error::TpopError;
pub use extractor::{
    AnswerFeature, Extractor, ExtractorOrigin, FEATURE_CLIP, NeutralAnswers, StatePooling,
};
pub use head::RewardHead;
pub use pair::{DuelOrder, DuelPair, PairLabel};
pub use params::{
    ConfidenceKind, DuelLevel, HeadKind, NoiseRule, SecondRule, ServeRule, TieRule,
    TokenFeatureKind, TokenScore, Tpop, TpopParams,
};
pub use reliability::LEAST_REPO_PAIRS;
pub use second::PROPENSITY_DRAWS;
pub(crate) use second::largest;
pub use settings::{ArmFeatures, SettingFeatures};
pub use simulate::{
    ArmContexts, DuelRun, DuelSimulation, LabelControl, SimulatedArm, SimulatedRule, SimulatedUser,
    TrueUtility, simulate_duels,
};
pub use state::{LearnOutcome, Learned, TpopHealth, TpopScope, TpopState, WIDEST_FEATURES};
pub use tanh::{TANH_UNITS, TanhHead};
pub use token::{
    DuelRow, DuelStep, LOOKAHEAD_CANDIDATES, Lookahead, TiltedRow, TokenArm, TokenDuel,
    TokenFeatures, TokenTaste, TokenTilt,
};
pub use whitening::Whitening;

#[cfg(test)]
mod tests;
