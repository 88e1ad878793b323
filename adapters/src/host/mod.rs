//! The host of adapters: what learns for owners while a model is served.
//!
//! An adapter is a small state of one owner: the parameters of [`rosa`](crate::rosa), or the taste of
//! [`tpop`](crate::tpop). It has immutable versions. An answer pins the version it begins with and keeps it whatever is
//! learnt meanwhile; a lesson about an answer leads to a new version or to a reason why not, and both are written down. A
//! version is published in one transaction with the lesson that led to it.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`AdapterKey`], [`AdapterConfig`] | whose adapter it is, and how it learns |
//! | [`PinnedAdapter`] | the version of an answer in the making: its plan, its recorder |
//! | [`AnswerRecord`] | what is kept of an answer until it is judged |
//! | [`Lesson`], [`FeedbackReport`] | what is said, and what came of it |
//! | [`TurnPlan`], [`ShownDuel`], [`DuelVote`] | what a learner of tastes wants done in a turn; choices |
//! | [`AdapterShelf`] | adapters as they are kept, without a model |
//! | [`LearningModel`], [`StateReader`] | what learners know of the frozen model, and what runs it |
//!
//! Lessons are taught by one thread of low priority, one after the other; it gives way to the engine between the parts of
//! an update. Nothing here knows HTTP.

mod adapter_file;
mod adapter_host;
mod answers;
mod config;
mod detail;
mod duel_document;
mod duels;
mod effects;
mod evidence;
mod feedback;
mod key;
mod learner;
mod learning_model;
mod lessons;
mod limits;
mod pinned;
mod push;
mod queue;
mod recorder;
mod remarks;
mod resident;
mod rosa_lessons;
mod shared;
mod shelf;
mod states;
mod taste_space;
mod teaching;
mod turns;
mod versions;

#[cfg(test)]
mod tests;

pub use adapter_host::AdapterHost;
pub use config::{AdapterConfig, DuelArm, Learner, TasteConfig};
pub use duels::{Contender, DuelAnswer, DuelRequest, DuelVote, ShownDuel, TurnPlan};
pub use effects::TokenEffect;
pub use feedback::{
    AnswerRef, BanditSummary, FeedbackReport, FeedbackStatus, ForeignAnswer, Lesson, Remark,
    StepSummary, Thumb, VersionChange,
};
pub use key::AdapterKey;
pub use learning_model::LearningModel;
pub use limits::{HostLimits, HostLoad};
pub use pinned::{AdapterState, AnswerRecord, PinRequest, PinnedAdapter, Standing};
pub use recorder::{Recording, RecordingHandle, StateRecorder};
pub use shelf::AdapterShelf;
pub use states::{ReadStates, StateReader};
pub use versions::{AdapterSummary, AdapterVersionSummary, ExportedAdapter, RankedArm, Reverted};
