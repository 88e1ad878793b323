//! Ponder: a trained controller for steering strength.
//!
//! A frozen model, one direction and a small network. At a prompt's last position the network reads the hidden state and stops
//! or adds one more small step along the direction. As no block runs between two steps, n steps are one addition of a strength
//! s_n: the controller chooses among K + 1 strengths by input, and thinks no longer. It learns by group-relative policy
//! gradients from a table of answers that were sampled once, so nothing here needs a model.
//!
//! Published (FR-Ponder, arXiv 2509.24238): a controller of fewer than a million weights that reads the last position's state,
//! the rule to stop, steps that decay, group-relative training, a curriculum and a reward of accuracy and cost.
//! Ours: every number, the strengths as doses, the cadence `prompt_hold`, the table, the reward's terms, the stages, and what
//! ends a run.
//!
//! In reading order: [`advantage`], [`strength`], [`policy`], [`net`], [`adamw`], [`table`], [`train`].
//!
//! ```
//! use trimtab_trainer::TrainerError;
//! use trimtab_trainer::ponder::net::{Controller, ControllerInput, Standard};
//! use trimtab_trainer::ponder::strength::{Backbone, PonderParams};
//! use trimtab_trainer::ponder::table::{AnswerEnd, AnswerGrade, RewardTable, TableAnswer, TableItem, TableShape};
//! use trimtab_trainer::ponder::train::{TrainParams, TrainStanding, TrainTables, Training};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), TrainerError> {
//! // Eight items whose first coordinate says whether one step helps: three of four answers are right with it and one of four
//! // without, or the reverse.
//! let answer = |right| {
//!     let grade = if right { AnswerGrade::Correct } else { AnswerGrade::Wrong };
//!     TableAnswer { grade, tokens: 4, end: AnswerEnd::Finished }
//! };
//! let item = |at: usize| {
//!     let helps = at % 2 == 0;
//!     let four = |good: bool| [answer(true), answer(good), answer(good), answer(false)];
//!     let answers = [four(!helps), four(helps)].concat();
//!     let state = vec![if helps { 1.0 } else { -1.0 }, at as f32];
//!     TableItem { id: format!("item {at}"), state, answers }
//! };
//! let shape = TableShape { steps: 1, width: 2, answers: 4 };
//! let table = Arc::new(RewardTable::new(shape, (0..8).map(item).collect())?);
//!
//! let params = PonderParams { steps: 1, hidden: 8, ..PonderParams::default() };
//! let ponder = params.check(Backbone { blocks: 30, width: 2 })?;
//! let states: Vec<&[f32]> = table.items().iter().map(|item| item.state.as_slice()).collect();
//! let ladder = ponder.ladder(1.0)?;
//! let input = ControllerInput::new(Standard::of(&states)?, vec![0.0, 1.0], ladder)?;
//!
//! // Random numbers are the caller's; here those of a congruential generator.
//! let mut state = 1u64;
//! let mut uniform = || {
//!     state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
//!     (state >> 11) as f64 / (1u64 << 53) as f64
//! };
//! let controller = Controller::fresh(&ponder, input, &mut uniform)?;
//! let train = TrainParams { updates: 150, answers: 2, lr: 0.02, ..TrainParams::default() }.check()?;
//! let tables = TrainTables { fit: table.clone(), select: table };
//! let mut training = Training::new(ponder, train, controller, tables)?;
//! assert_eq!(training.run(150, &mut uniform)?, &TrainStanding::Finished);
//!
//! let best = training.kept().first().map(|kept| kept.controller.prepare());
//! let best = best.unwrap_or_else(|| training.controller().prepare());
//! assert_eq!(best.decide(&[1.0, 3.0], 0.5)?.n, 1);
//! assert_eq!(best.decide(&[-1.0, 3.0], 0.5)?.n, 0);
//! # Ok(())
//! # }
//! ```

pub mod advantage;
pub mod strength;

pub mod policy;

pub mod net;

pub mod adamw;
pub mod table;

pub mod train;
