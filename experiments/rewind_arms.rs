//! Toy policies that a rule can judge, and what it costs to keep them: rewinding, asking, banning, refusing.
//!
//! ```sh
//! cargo run --release -p trimtab-experiments --bin rewind_arms -- --seeds 3 --tokens 80
//! ```
//!
//! `--policy digits,colours`, `--arms base,clean` and `--limit 20` (prompts of each policy) do less. Finished runs are
//! lines of `--out` (default `target/rewind_arms.jsonl`) and are not made again. `--seeds 0` prints the tables of what is
//! there. `--show 5` prints answers. `--time` measures wall time instead, base and arm in turns.

#[path = "rewind/arms.rs"]
mod arms;
#[path = "rewind/drive.rs"]
mod drive;
#[path = "rewind/measure.rs"]
mod measure;
#[path = "rewind/stats.rs"]
mod stats;
#[path = "rewind/store.rs"]
mod store;
#[path = "rewind/table.rs"]
mod table;
#[path = "rewind/toy.rs"]
mod toy;

use arms::{Arm, Kit};
use measure::{Fluency, Run, row};
use stats::Bootstrap;
use std::path::PathBuf;
use std::time::Instant;
use store::{Key, Row, Store};
use table::Tables;
use toy::{Rule, Toy};
use trimtab_runtime::Model;
use trimtab_runtime::engine::Engine;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Prompts of a policy on whose answers of the first seed perplexity is measured.
const FLUENT: usize = 50;
/// Prompts of a policy on which time is measured, and rounds of it.
const TIMED: (usize, usize) = (40, 3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Measure,
    Time,
}

struct Options {
    task: Task,
    seeds: u64,
    tokens: usize,
    toys: Vec<Toy>,
    arms: Vec<Arm>,
    limit: usize,
    show: usize,
    out: PathBuf,
}

impl Options {
    fn read(args: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options {
            task: Task::Measure,
            seeds: 1,
            tokens: 80,
            toys: Toy::ALL.to_vec(),
            arms: Arm::ALL.to_vec(),
            limit: 100,
            show: 0,
            out: PathBuf::from("target/rewind_arms.jsonl"),
        };
        let mut args = args;
        while let Some(name) = args.next() {
            if name == "--time" {
                options.task = Task::Time;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let unknown = |one: &str| format!("{name} does not know {one:?}");
            let each = || value.split(',');
            match name.as_str() {
                "--seeds" => options.seeds = value.parse()?,
                "--tokens" => options.tokens = value.parse()?,
                "--limit" => options.limit = value.parse()?,
                "--show" => options.show = value.parse()?,
                "--out" => options.out = PathBuf::from(&value),
                "--policy" => {
                    let toys = each().map(|one| Toy::named(one).ok_or_else(|| unknown(one)));
                    options.toys = toys.collect::<std::result::Result<_, _>>()?;
                }
                "--arms" => {
                    let arms = each().map(|one| Arm::named(one).ok_or_else(|| unknown(one)));
                    options.arms = arms.collect::<std::result::Result<_, _>>()?;
                }
                _ => return Err(format!("{name} is not an option").into()),
            }
        }
        Ok(options)
    }

    fn prompts(&self, toy: Toy) -> Vec<&'static str> {
        toy.material().prompts().into_iter().take(self.limit).collect()
    }

    fn arms(&self, toy: Toy) -> impl Iterator<Item = Arm> + '_ {
        self.arms.iter().copied().filter(move |arm| arm.applies_to(toy))
    }

    fn key(&self, toy: Toy, arm: Arm, seed: u64) -> Key {
        let (policy, arm) = (toy.material().name.to_owned(), arm.name().to_owned());
        Key { policy, arm, seed, tokens: self.tokens, prompts: self.prompts(toy).len() }
    }
}

/// The parts of a session with the model.
struct Bench<'a> {
    options: Options,
    store: Store,
    model: &'a Model,
    engine: Engine,
    fluency: Fluency,
}

impl Bench<'_> {
    /// Every arm of a policy with one seed.
    fn measure(&mut self, kit: &Kit, seed: u64) -> Result<()> {
        let prompts = self.options.prompts(kit.toy);
        let rule = Rule::of(kit.toy);
        for arm in self.options.arms(kit.toy).collect::<Vec<_>>() {
            let key = self.options.key(kit.toy, arm, seed);
            if self.store.has(&key) {
                continue;
            }
            let began = Instant::now();
            let rate = self.rate(kit.toy, arm, seed);
            let (engine, tokens) = (&self.engine, self.options.tokens);
            let made = Run { engine, prompts: &prompts, seed, tokens, rate }.deliver(kit, arm)?;
            let mut rows: Vec<Row> = made.iter().map(|made| row(made, &rule)).collect();
            if seed == 0 {
                for ((made, row), prompt) in made.iter().zip(&mut rows).zip(&prompts).take(FLUENT) {
                    let answered = row.figures.iter().any(|(name, _)| *name == "delivered");
                    let nll = self.fluency.nll(self.model, prompt, &made.answer)?;
                    row.figures.extend(nll.filter(|_| answered).map(|nll| ("nll", nll)));
                }
            }
            self.store.add(&key, &rows)?;
            let took = began.elapsed().as_secs_f64();
            eprintln!("{} {} seed {seed}: {took:.1} s", key.policy, key.arm);
            self.show(&prompts, &rows);
        }
        Ok(())
    }

    /// How often the rule fires in the `clean` arm.
    fn rate(&self, toy: Toy, arm: Arm, seed: u64) -> f64 {
        let key = self.options.key(toy, Arm::Clean, seed);
        let sum = |name| self.store.sum(&key, name).unwrap_or(0.0);
        if arm == Arm::Random { sum("hits") / sum("checks").max(1.0) } else { 0.0 }
    }

    fn show(&self, prompts: &[&str], rows: &[Row]) {
        for (prompt, row) in prompts.iter().zip(rows).take(self.options.show) {
            let told = row.figures.iter().filter(|(_, figure)| *figure != 0.0);
            let told: Vec<String> = told.map(|(name, figure)| format!("{name} {figure}")).collect();
            eprintln!("  > {prompt}\n    {:?}\n    {}", row.text, told.join(", "));
        }
    }

    /// Wall time of the arms over base, in turns; prints a line for each.
    fn time(&self, kit: &Kit) -> Result<()> {
        let (most, rounds) = TIMED;
        let prompts: Vec<&str> = self.options.prompts(kit.toy).into_iter().take(most).collect();
        for arm in self.options.arms(kit.toy).filter(|arm| *arm != Arm::Base) {
            let rate = self.rate(kit.toy, arm, 0);
            let (engine, tokens) = (&self.engine, self.options.tokens);
            let run = Run { engine, prompts: &prompts, seed: 0, tokens, rate };
            let mut ratios = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let began = Instant::now();
                run.deliver(kit, Arm::Base)?;
                let base = began.elapsed();
                run.deliver(kit, arm)?;
                ratios.push((began.elapsed() - base).as_secs_f64() / base.as_secs_f64());
            }
            ratios.sort_unstable_by(f64::total_cmp);
            let [low, .., high] = ratios.as_slice() else { continue };
            let median = ratios.get(rounds / 2).unwrap_or(low);
            let policy = kit.toy.material().name;
            println!("| {policy} | {} | {median:.2} ({low:.2} to {high:.2}) |", arm.title());
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let store = Store::open(&options.out)?;
    let model = Model::open("smollm2-135m-instruct")?;
    let engine = drive::engine(&model)?;
    let (seeds, toys) = (options.seeds, options.toys.clone());
    let mut bench = Bench { options, store, model: &model, engine, fluency: Fluency::default() };
    let kits = toys.into_iter().map(|toy| Kit::new(&model, toy)).collect::<Result<Vec<_>>>()?;
    if bench.options.task == Task::Time {
        return kits.iter().try_for_each(|kit| bench.time(kit));
    }
    for seed in 0..seeds {
        kits.iter().try_for_each(|kit| bench.measure(kit, seed))?;
    }
    let seeds: Vec<u64> = (0..seeds.max(64)).collect();
    for toy in &bench.options.toys {
        let prompts = bench.options.prompts(*toy).len();
        let (store, tokens) = (&bench.store, bench.options.tokens);
        let tables = Tables { store, seeds: &seeds, tokens, prompts };
        let bootstrap = Bootstrap::new(prompts);
        println!("### {}\n\n{}\n", toy.material().name, tables.arms(*toy, &bootstrap));
        println!("{}\n\n{}\n", tables.rules(*toy, &bootstrap), tables.remarks(*toy));
    }
    Ok(())
}
