//! The trainer: group-relative policy gradients on a reward table.
//!
//! A run is one value: [`Training`] goes from update to update, takes its random numbers from the caller, and can be cloned at
//! any point and continued to the same bits. The model is not needed. Nothing here reads files, prints or knows the time.
//!
//! Published (arXiv 2509.24238): group-relative training, a curriculum, a reward of accuracy and cost. Every number, the
//! stages, the table and the rules that end a run are ours. The `every_token` cadence needs live answers instead of a table, and
//! is not here.

mod batch;
mod curriculum;
mod loss;
mod params;
mod run;
mod score;
mod standing;

pub use batch::BatchReport;
pub use curriculum::{Curriculum, CurriculumPoint, CurriculumStage, ItemPool};
pub use loss::{ActionSample, GroupLoss, LossTerms, RATIO_CLIP, group_loss};
pub use params::{Train, TrainParams};
pub use run::{KEPT_CONTROLLERS, KeptController, SCORE_EVERY, TrainTables, Training, UpdateReport};
pub use score::{PolicyScore, Scoring};
pub use standing::{
    COLLAPSE_SHARE, PolicyCollapse, SIGNAL_WINDOW, TrainStanding, TrainStop, UNSIGNALLED_SHARE,
};

#[cfg(test)]
mod tests;
