//! What `bench` is to do.

use super::args::{BenchArgs, Beside, Table};
use crate::console::Form;
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use crate::flags::vectors::Vectors;
use trimtab_steering::scope::Scope;

/// Tokens of a cache block: what a sequence occupies is a multiple of it.
const BLOCK: usize = trimtab_runtime::kv::BLOCK_LEN;

/// A series of tests: its flags, and what they come to.
#[derive(Debug)]
pub struct Bench {
    pub opening: Opening,
    pub cases: Vec<Case>,
    /// What each test is run with beside its plain runs.
    pub beside: Vec<Beside>,
    /// What steered runs are steered with; empty for a throw-away vector.
    pub vectors: Vectors,
    /// How often each test is repeated.
    pub repetitions: usize,
    /// Whether each test begins with an untimed run.
    pub warmup: bool,
    pub table: Table,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Prompt tokens that are timed; 0 for a test of generation.
    pub n_prompt: usize,
    /// Generated tokens that are timed; 0 for a test of the prompt.
    pub n_gen: usize,
    /// Tokens in the context before.
    pub n_depth: usize,
    pub batch: usize,
}

impl Case {
    /// Its name, as in llama-bench.
    pub fn name(&self) -> String {
        let test = match self.n_gen {
            0 => format!("pp{}", self.n_prompt),
            n => format!("tg{n}"),
        };
        if self.n_depth == 0 { test } else { format!("{test} @ d{}", self.n_depth) }
    }

    /// Tokens that are timed in each sequence.
    pub fn timed(&self) -> usize {
        self.n_prompt + self.n_gen
    }

    /// Tokens of a cache that its sequences occupy at the end; `None` where that is more than can be counted.
    pub fn pool(&self) -> Option<usize> {
        let length = self.n_depth.checked_add(self.n_prompt)?.checked_add(self.n_gen)?;
        self.batch.checked_mul(length.checked_next_multiple_of(BLOCK)?)
    }
}

pub fn bench(args: BenchArgs, form: Form) -> Result<Bench> {
    let table = match (args.output, form) {
        (None | Some(Table::Json), Form::Json) => Table::Json,
        (Some(_), Form::Json) => return Err(Error::usage("--output", "excludes --json")),
        (output, Form::Text) => output.unwrap_or(Table::Md),
    };
    if args.repetitions == 0 || args.batch.contains(&0) {
        return Err(Error::usage("--repetitions", "and --batch are at least 1"));
    }
    let prompts = args.n_prompt.iter().map(|n| (*n, 0));
    let tests = prompts.chain(args.n_gen.iter().map(|n| (0, *n)));
    let mut cases = Vec::new();
    for (n_prompt, n_gen) in tests.filter(|test| *test != (0, 0)) {
        for &n_depth in &args.n_depth {
            cases.extend(args.batch.iter().map(|&batch| Case { n_prompt, n_gen, n_depth, batch }));
        }
    }
    let mut opening = Opening::of(args.model)?;
    let Some(pools) = cases.iter().map(Case::pool).collect::<Option<Vec<usize>>>() else {
        return Err(Error::usage("--batch", "has more tokens than can be counted"));
    };
    let Some(pool) = pools.into_iter().max() else {
        return Err(Error::usage("--n-prompt", "and --n-gen leave nothing to measure"));
    };
    let vectors = Vectors::of(args.vectors)?;
    if opening.kv_bytes.is_none() {
        opening.options.pool_tokens = Some(pool.max(vectors.measured()));
    }
    let warmup = !args.no_warmup;
    if vectors.reach.as_ref().is_some_and(|reach| *reach != Scope::all()) {
        return Err(Error::usage("--scope", "is all here, because every token is timed"));
    }
    let mut beside = args.beside;
    if !vectors.is_empty() && !beside.contains(&Beside::Steered) {
        beside.insert(0, Beside::Steered);
    }
    let repetitions = args.repetitions;
    Ok(Bench { opening, cases, beside, vectors, repetitions, warmup, table })
}
