//! Evaluation on the tiny model and on made-up numbers.

mod arms;
mod choosing;
mod controls;
mod intervals;
mod tasks;
