//! What was typed: every command and flag, word for word, nothing checked against anything else.
//!
//! clap does the parsing and prints `--help`. Three things it cannot express happen around it: llama.cpp's single-dash
//! words are spelt out before ([`spelling`]), every long flag gets its environment variable ([`environment`]), and
//! what is typed outranks the variable of a flag that it excludes ([`precedence`]).

pub mod environment;
mod precedence;
mod spelling;

use crate::commands::{
    adapters::args::AdaptersArgs,
    audit::args::AuditArgs,
    bench::args::BenchArgs,
    capture::args::CaptureArgs,
    chat::args::ChatArgs,
    compose::args::ComposeArgs,
    convert::args::{ExportArgs, ImportArgs},
    doctor::args::DoctorArgs,
    eval::args::EvalArgs,
    extract::args::{ExtractArgs, MergeArgs},
    generate::args::GenerateArgs,
    inspect::args::InspectArgs,
    models::args::ModelsArgs,
    perplexity::args::PerplexityArgs,
    policy::args::PolicyArgs,
    serve::args::ServeArgs,
    simulate::args::SimulateArgs,
    traces::args::TracesArgs,
    verify::args::VerifyArgs,
};
use crate::flags::words;
use clap::builder::PossibleValue;
use clap::{ArgAction, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use std::collections::BTreeSet;
use std::ffi::OsString;

/// A frozen language model, read and turned while it runs.
#[derive(Debug, Parser)]
#[command(
    name = "trimtab",
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = false,
    arg_required_else_help = true,
    after_help = "Every long flag is also read from the environment: --ctx-size from \
        TRIMTAB_CTX_SIZE, switches as 1 or 0. What is typed outranks it."
)]
pub struct Args {
    /// Print the version; with --json as an object.
    #[arg(short = 'V', long)]
    pub version: bool,
    /// Print the devices of this build and end.
    #[arg(long, global = true, help_heading = "Output")]
    pub list_devices: bool,
    /// How results and messages are shown.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// How results and messages are shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and no timings.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// When to use colour; auto is on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        global = true,
        default_value = "auto",
        value_name = "auto|always|never", value_parser = words([("auto", ColorChoice::Auto), ("always", ColorChoice::Always), ("never", ColorChoice::Never)]), hide_possible_values = true
    )]
    pub color: ColorChoice,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk with a model; reads one message where stdin is no terminal.
    #[command(alias = "run")]
    Chat(ChatArgs),
    /// Answer one prompt.
    Generate(GenerateArgs),
    /// Write activations at sites, or logits, of given texts to a safetensors file.
    Capture(CaptureArgs),
    /// Measure what a vector does, beside no steering, an instruction and random directions.
    Eval(EvalArgs),
    /// Make a steering vector of examples, on the model that is to be steered.
    Extract(ExtractArgs),
    /// Make the vector of shards of one extraction.
    Merge(MergeArgs),
    /// Measure how well a text is predicted.
    Perplexity(PerplexityArgs),
    /// Measure speed.
    Bench(BenchArgs),
    /// Show what vector files say, and with -m what they would do to a model.
    Inspect(InspectArgs),
    /// Prove on this machine that steering acts and rewinds are exact.
    Verify(VerifyArgs),
    /// Make a vector file of another program's.
    Import(ImportArgs),
    /// Write a vector file for another program.
    Export(ExportArgs),
    /// List, fetch and describe models.
    Models(ModelsArgs),
    /// Make one vector file of several that disturb each other less.
    Compose(ComposeArgs),
    /// Serve a model over HTTP as OpenAI's API does, with answers that can be steered.
    Serve(Box<ServeArgs>),
    /// List, show and delete the answers that a server has kept.
    Traces(TracesArgs),
    /// List, compare, undo, copy and delete what was learnt for owners; prove that it learns.
    Adapters(AdaptersArgs),
    /// List what monitors found in answers and took back, or tell the story of one.
    Audit(AuditArgs),
    /// Explain a monitor's policy and test it in every state.
    Policy(PolicyArgs),
    /// Run learners on users and policies whose truth is known, without a model.
    Simulate(Box<SimulateArgs>),
    /// Say what this machine and this build can do, and what is in the way.
    Doctor(DoctorArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        #[arg(value_parser = words(shells()))]
        shell: Shell,
    },
}

/// Shells that completions are made for.
fn shells() -> [(PossibleValue, Shell); 3] {
    [(Shell::Bash, "GNU bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")]
        .map(|(shell, help)| (PossibleValue::new(shell.to_string()).help(help), shell))
}

/// The definition that parsing, `--help` and completions share.
pub fn command() -> clap::Command {
    environment::bind(definition(), &BTreeSet::new())
}

/// The same, bound to no variable. A shared flag whose default is another one in a command says so there.
fn definition() -> clap::Command {
    const MEMORY: &str = "Memory for keys and values, with K, M or G for multiples of 1024";
    let helps = [
        ("perplexity", "ctx_size", "Tokens of a window [default: 512]".to_owned()),
        ("perplexity", "kv_memory", format!("{MEMORY} [default: four windows]")),
        (
            "eval",
            "n_predict",
            "The most tokens of an answer; -1 for no limit [default: 48]".to_owned(),
        ),
        (
            "eval",
            "temperature",
            "Divides logits; 0 takes the likeliest token [default: 0]".to_owned(),
        ),
        ("eval", "seed", "Keys every random draw [default: 0]".to_owned()),
        ("bench", "kv_memory", format!("{MEMORY} [default: what the largest test needs]")),
    ];
    helps.into_iter().fold(Args::command(), |all, (command, arg, text)| {
        all.mut_subcommand(command, |command| command.mut_arg(arg, |arg| arg.help(text)))
    })
}

/// Understands an argument list, its first word being the program's name.
pub fn parse(argv: &[OsString]) -> Result<Args, clap::Error> {
    let words = spelling::expand(argv);
    let outranked = precedence::outranked(definition(), &words);
    let mut definition = environment::bind(definition(), &outranked).color(color(argv));
    let mut matches = definition.try_get_matches_from_mut(words)?;
    Args::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut definition))
}

/// Whether help and usage errors are coloured, which must be known before parsing.
fn color(argv: &[OsString]) -> ColorChoice {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    let follows = |when: &str| {
        words.windows(2).any(|w| matches!(w, [flag, value] if flag == "--color" && value == when))
            || words.iter().any(|w| w.strip_prefix("--color=") == Some(when))
    };
    match () {
        () if follows("never") || words.iter().any(|w| w == "--json") => ColorChoice::Never,
        () if follows("always") => ColorChoice::Always,
        () => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }
}
