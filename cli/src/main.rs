//! Trimtab: a frozen language model on the command line.
//!
//! What was typed ([`args`]) is checked and done by one `match` ([`commands::run`]). Each command is a folder with its
//! flags, what they mean together, and what it does; flags of several commands stand in [`flags`]. The answer goes to
//! stdout and everything else to stderr ([`console`]); a failure is one sentence, a hint, and a number ([`exit`]).

mod args;
mod flags;

mod console;
mod document;
mod error;
mod exit;
mod interrupt;
mod outputs;
mod progress;
mod threads;

mod commands;

use console::Console;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    let parsed = match args::parse(&argv) {
        Ok(parsed) => parsed,
        Err(refusal) => return exit::refused(&refusal, &argv),
    };
    let console = Console::new(&parsed.output);
    args::environment::unknown().iter().for_each(|warning| console.warn(warning));
    interrupt::install();
    match commands::run(parsed, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failed(&error, &console),
    }
}
