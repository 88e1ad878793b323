//! Rows 6, 8, 9 and 10 of the mechanics, and what ends a run.

mod bandit;
mod ends;
mod gradient;
mod repeat;
mod world;
