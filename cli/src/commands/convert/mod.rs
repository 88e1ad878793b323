//! `import` and `export`: vector files of other programs, in and out. What was understood is shown before anything is
//! written.

pub mod args;
mod run;

pub use run::{export, import};
