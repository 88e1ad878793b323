//! A simulated model: states whose best depth is known.
//!
//! The first coordinate says the best depth b. An answer at depth n is right with probability `0.95 − 0.07(n − b)²` and has
//! `4(n + 1)` tokens, so that cost pulls to less depth.

use super::super::*;
use crate::ponder::net::{Controller, ControllerInput, Standard};
use crate::ponder::strength::{Backbone, Ponder, PonderParams};
use crate::ponder::table::{
    AnswerEnd, AnswerGrade, RewardTable, STRENGTH_PENALTY, TableAnswer, TableItem, TableShape,
};
use std::sync::Arc;

pub(super) const STEPS: usize = 4;
pub(super) const WIDTH: usize = 4;
pub(super) const ANSWERS: usize = 8;
const SHAPE: TableShape = TableShape { steps: STEPS, width: WIDTH, answers: ANSWERS };

/// Keys of a small controller; with an `alpha0` of 0 nothing breaks ties.
pub(super) fn ponder(alpha0: f64) -> Ponder {
    let params = PonderParams { hidden: 8, alpha0, ..PonderParams::default() };
    params.check(Backbone { blocks: 30, width: WIDTH }).unwrap()
}

/// A state with its best depth.
pub(super) struct Situation {
    pub(super) state: Vec<f32>,
    pub(super) best: usize,
}

pub(super) fn situations(count: usize, uniform: &mut dyn FnMut() -> f64) -> Vec<Situation> {
    let situation = |_| {
        let state: Vec<f32> = (0..WIDTH).map(|_| 2.0 * uniform() as f32 - 1.0).collect();
        let best = (f64::from(state[0] + 1.0) / 2.0 * (STEPS + 1) as f64) as usize;
        Situation { state, best: best.min(STEPS) }
    };
    (0..count).map(situation).collect()
}

fn pass(best: usize, n: usize) -> f64 {
    (0.95 - 0.07 * (best as f64 - n as f64).powi(2)).max(0.02)
}

fn tokens(n: usize) -> u32 {
    4 * (n as u32 + 1)
}

/// The expected reward at each depth under a cost weight.
pub(super) fn expected(best: usize, cost: f64) -> Vec<f64> {
    let shares = ponder(0.1).ladder(1.0).unwrap().shares();
    let reward = |(n, share): (usize, &f64)| {
        let tokens = f64::from(tokens(n)) / f64::from(tokens(0));
        pass(best, n) - cost * tokens - STRENGTH_PENALTY * share
    };
    shares.iter().enumerate().map(reward).collect()
}

pub(super) fn answer(grade: AnswerGrade, tokens: u32) -> TableAnswer {
    TableAnswer { grade, tokens, end: AnswerEnd::Finished }
}

fn items(situations: &[Situation], uniform: &mut dyn FnMut() -> f64) -> Vec<TableItem> {
    let mut sampled = |best: usize, n: usize| {
        let right = uniform() < pass(best, n);
        answer(if right { AnswerGrade::Correct } else { AnswerGrade::Wrong }, tokens(n))
    };
    let item = |(at, Situation { state, best }): (usize, &Situation)| {
        let all = (0..=STEPS).flat_map(|n| [n; ANSWERS]);
        let answers = all.map(|n| sampled(*best, n)).collect();
        TableItem { id: at.to_string(), state: state.clone(), answers }
    };
    situations.iter().enumerate().map(item).collect()
}

/// Items whose answers say nothing of the strength: half of them are right at each.
pub(super) fn flat_items(count: usize, uniform: &mut dyn FnMut() -> f64) -> Vec<TableItem> {
    let grades = [AnswerGrade::Correct, AnswerGrade::Wrong];
    let answers = || (0..(STEPS + 1) * ANSWERS).map(|at| answer(grades[at % 2], 4)).collect();
    let items = situations(count, uniform).into_iter().enumerate();
    items
        .map(|(at, Situation { state, .. })| (at.to_string(), state, answers()))
        .map(item)
        .collect()
}

fn item((id, state, answers): (String, Vec<f32>, Vec<TableAnswer>)) -> TableItem {
    TableItem { id, state, answers }
}

pub(super) fn table(items: Vec<TableItem>) -> Arc<RewardTable> {
    Arc::new(RewardTable::new(SHAPE, items).unwrap())
}

/// Whether states say anything of the answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum States {
    Own,
    /// Each item has another one's state.
    Exchanged,
}

pub(super) fn tables(states: States, uniform: &mut dyn FnMut() -> f64) -> TrainTables {
    let mut split = |count| {
        let mut items = items(&situations(count, uniform), uniform);
        if states == States::Exchanged {
            let mut own: Vec<Vec<f32>> = items.iter().map(|item| item.state.clone()).collect();
            own.rotate_right(1);
            items.iter_mut().zip(own).for_each(|(item, state)| item.state = state);
        }
        table(items)
    };
    TrainTables { fit: split(400), select: split(100) }
}

/// An untrained controller for the states of a table. Its direction is a coordinate that says nothing.
pub(super) fn fresh(
    ponder: &Ponder,
    fit: &RewardTable,
    uniform: &mut dyn FnMut() -> f64,
) -> Controller {
    let rows: Vec<&[f32]> = fit.items().iter().map(|item| item.state.as_slice()).collect();
    let standard = Standard::of(&rows).unwrap();
    let direction = vec![0.0, 1.0, 0.0, 0.0];
    let input = ControllerInput::new(standard, direction, ponder.ladder(1.0).unwrap()).unwrap();
    Controller::fresh(ponder, input, uniform).unwrap()
}

/// A run on these tables that has made no update.
pub(super) fn start(
    params: TrainParams,
    alpha0: f64,
    tables: TrainTables,
    uniform: &mut dyn FnMut() -> f64,
) -> Training {
    let ponder = ponder(alpha0);
    let controller = fresh(&ponder, &tables.fit, uniform);
    Training::new(ponder, params.check().unwrap(), controller, tables).unwrap()
}
