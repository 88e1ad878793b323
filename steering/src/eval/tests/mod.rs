//! Evaluation on the tiny model and on made-up numbers.

mod arms;
mod choosing;
mod intervals;
mod tasks;
