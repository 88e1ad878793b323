//! Wrong answers of a real model, and what one judgement changes about the next try: ROSA beside asking again, saying so,
//! banning, and steps that go another way.
//!
//! ```sh
//! cargo run --release -p trimtab-experiments --bin learn_rosa -- -m FILE --svamp svamp_test.jsonl
//! ```
//!
//! `--tasks sums,products`, `--arms A,G`, `--items 20` and `--seeds 1` do less. `--split dev` tries settings on items that
//! the study never sees. Finished items are lines of `--out` (default `target/learn_rosa.jsonl`) and are not run again;
//! `--items 0` prints the tables of what is there.

#[path = "learn/rosa/answers.rs"]
mod answers;
#[path = "learn/rosa/arms.rs"]
mod arms;
#[path = "learn/rosa/episode.rs"]
mod episode;
#[path = "rewind/stats.rs"]
mod stats;
#[path = "learn/rosa/summary.rs"]
mod summary;
#[path = "learn/rosa/task.rs"]
mod task;

use answers::{Beginning, Prompt, Wish, answers};
use arms::Arm;
use episode::{Asked, Others, Room};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use summary::Summary;
use task::{Split, Task};
use trimtab_adapters::host::{LearningModel, StateReader};
use trimtab_adapters::rosa::RosaState;
use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::perplexity::{Trial, Windows};
use trimtab_runtime::plan::Plan;
use trimtab_steering::neutral::Text;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// First questions that are asked together.
const ASKED: usize = 16;
/// Items whose last states are held against neutral text, and tokens of that text.
const NEUTRAL: (usize, usize) = (6, 96);
/// Items behind which other items are asked.
const CARRIED: usize = 20;

struct Options {
    model: String,
    split: Split,
    tasks: Vec<Task>,
    arms: Option<Vec<String>>,
    items: usize,
    seeds: u64,
    svamp: Option<PathBuf>,
    out: PathBuf,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options {
            model: "smollm2-135m-instruct".to_owned(),
            split: Split::Test,
            tasks: Task::ALL.to_vec(),
            arms: None,
            items: 60,
            seeds: 3,
            svamp: None,
            out: PathBuf::from("target/learn_rosa.jsonl"),
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let unknown = |one: &str| format!("{name} does not know {one:?}");
            match name.as_str() {
                "-m" | "--model" => options.model = value,
                "--items" => options.items = value.parse()?,
                "--seeds" => options.seeds = value.parse()?,
                "--svamp" => options.svamp = Some(PathBuf::from(value)),
                "--out" => options.out = PathBuf::from(value),
                "--arms" => options.arms = Some(value.split(',').map(str::to_owned).collect()),
                "--split" => {
                    let known = [Split::Development, Split::Test];
                    let split = known.into_iter().find(|split| split.name() == value);
                    options.split = split.ok_or_else(|| unknown(&value))?;
                }
                "--tasks" => {
                    let tasks =
                        value.split(',').map(|one| Task::named(one).ok_or_else(|| unknown(one)));
                    options.tasks = tasks.collect::<std::result::Result<_, _>>()?;
                }
                _ => return Err(format!("{name} is not an option").into()),
            }
        }
        Ok(options)
    }

    fn arms(&self) -> Result<Vec<Arm>> {
        let all = match self.split {
            Split::Development => arms::sweep()?,
            Split::Test => arms::study()?,
        };
        let wanted = |arm: &Arm| self.arms.as_ref().is_none_or(|names| names.contains(&arm.name));
        Ok(all.into_iter().filter(wanted).collect())
    }

    fn lines(&self) -> Result<Vec<Value>> {
        let text = match std::fs::read_to_string(&self.out) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let lines = text.lines().map(serde_json::from_str);
        Ok(joined(lines.collect::<std::result::Result<_, _>>()?))
    }
}

/// The items of one task, by their first answers.
struct Sheet {
    task: Task,
    beginning: Beginning,
    wrong: Vec<Asked>,
    right: Vec<Asked>,
    asked: usize,
}

/// Asks until so many answers are wrong.
fn sheet(kit: &LearningModel, task: Task, options: &Options) -> Result<Sheet> {
    let items = task.items(options.split, options.svamp.as_deref())?;
    let beginning = Beginning::of(kit, task, &items)?;
    let mut sheet = Sheet { task, beginning, wrong: Vec::new(), right: Vec::new(), asked: 0 };
    for some in items.chunks(ASKED) {
        if sheet.wrong.len() >= options.items {
            break;
        }
        let prompts = some.iter().map(|item| sheet.beginning.prompt(kit, task, item));
        let prompts = prompts.collect::<Result<Vec<Prompt>>>()?;
        let wish = |(item, prompt)| {
            let (said, banned) = (Vec::new(), Vec::new());
            Wish { task, item, prompt, said, state: None, banned, draw: None }
        };
        let wishes: Vec<Wish> = some.iter().zip(&prompts).map(wish).collect();
        let turns = answers(kit, &wishes)?;
        sheet.asked += some.len();
        for (item, first) in some.iter().zip(turns) {
            let side = if first.right { &mut sheet.right } else { &mut sheet.wrong };
            side.push(Asked { item: item.clone(), first });
        }
    }
    let (asked, wrong) = (sheet.asked, sheet.wrong.len());
    eprintln!("{}: {wrong} of {asked} first answers are wrong", task.name());
    for one in sheet.wrong.iter().take(2) {
        eprintln!("  {:?} gave {:?}, not {}", one.item.question, one.first.text, one.item.right);
    }
    sheet.wrong.truncate(options.items);
    Ok(sheet)
}

/// The perplexity of neutral text under each state over that of none.
fn perplexities(
    kit: &LearningModel,
    states: &[(String, RosaState)],
) -> Result<BTreeMap<String, f64>> {
    let model = kit.model();
    let layers = model.decoder().spec().n_layers();
    let empty = Plan::empty();
    let plans = states.iter().map(|(_, state)| state.block.in_force(&empty, layers));
    let plans = plans.collect::<trimtab_runtime::Result<Vec<Plan>>>()?;
    let tokens = model.text_prompt(Text::test())?;
    let trial =
        Trial { decoder: model.decoder(), pool: model.pool(), tokens: &tokens, plan: &empty };
    let windows = Windows { size: NEUTRAL.1, stride: None, most: Some(1), chunk: 64, prompt: 1 };
    let compared = windows.compare(&trial, &plans, &mut |_| Flow::Continue)?;
    let plain = compared.plain.nll();
    let ratios = compared.steered.iter().map(|steered| (steered.perplexity.nll() - plain).exp());
    Ok(states.iter().map(|(arm, _)| arm.clone()).zip(ratios).collect())
}

/// What is left to do of one item.
fn item(
    kit: &LearningModel,
    sheet: &Sheet,
    at: usize,
    due: &[(&Arm, u64)],
    split: Split,
) -> Result<Value> {
    let asked = sheet.wrong.get(at).ok_or("there is no such item")?;
    let wrong = (1..4).filter_map(|by| sheet.wrong.get((at + by) % sheet.wrong.len())).collect();
    let right = sheet.right.get(at % sheet.right.len().max(1)).filter(|_| at < CARRIED);
    let others = Others { wrong, right };
    let (task, beginning) = (sheet.task, &sheet.beginning);
    let mut room = Room { kit, task, beginning, asked, others, known: BTreeMap::new() };
    let (mut line, states) = room.run(due)?;
    if at < NEUTRAL.0 && split == Split::Test && !states.is_empty() {
        let ratios = perplexities(kit, &states)?;
        let rows = line["rows"].as_array_mut().into_iter().flatten();
        for row in rows.filter(|row| row["seed"] == 0) {
            let ratio = row["arm"].as_str().and_then(|arm| ratios.get(arm)).copied();
            row["perplexity"] = json!(ratio);
        }
    }
    Ok(line)
}

/// One line for each item: an item that was run in parts has several.
fn joined(lines: Vec<Value>) -> Vec<Value> {
    let mut whole: Vec<Value> = Vec::new();
    for line in lines {
        let same = |one: &&mut Value| one["task"] == line["task"] && one["item"] == line["item"];
        match whole.iter_mut().find(same) {
            None => whole.push(line),
            Some(known) => {
                let more = line["rows"].as_array().cloned().unwrap_or_default();
                known["rows"].as_array_mut().into_iter().for_each(|rows| rows.extend(more.clone()));
            }
        }
    }
    whole
}

fn tables(options: &Options) -> Result<()> {
    let lines = options.lines()?;
    let arms = options.arms()?;
    for task in &options.tasks {
        let lines: Vec<&Value> = lines.iter().filter(|line| line["task"] == task.name()).collect();
        if lines.is_empty() {
            continue;
        }
        let arms = arms.iter().map(|arm| (arm.name.clone(), arm.title.clone())).collect();
        let summary = Summary { task: *task, lines, arms, seeds: options.seeds };
        println!("### {}\n\n{}\n", summary.task.title(), summary.chance());
        println!("{}\n\n{}\n", summary.arms(), summary.updates());
        if options.split == Split::Test {
            println!("{}\n", summary.differences("G"));
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    if options.items == 0 {
        return tables(&options);
    }
    let kit = LearningModel::new(Arc::new(Model::open(&options.model)?), StateReader::Here);
    let (lines, arms) = (options.lines()?, options.arms()?);
    let all: Vec<(&Arm, u64)> =
        (0..options.seeds).flat_map(|seed| arms.iter().map(move |arm| (arm, seed))).collect();
    let done = |task: Task, name: &str, (arm, seed): (&Arm, u64)| {
        let line = lines.iter().find(|line| line["task"] == task.name() && line["item"] == name);
        let mut rows = line.and_then(|line| line["rows"].as_array()).into_iter().flatten();
        rows.any(|row| row["arm"] == arm.name.as_str() && row["seed"] == seed)
    };
    let has_items = |task: &&Task| **task != Task::Svamp || options.svamp.is_some();
    let sheets = options.tasks.iter().filter(has_items);
    let sheets = sheets.map(|task| sheet(&kit, *task, &options));
    let sheets = sheets.collect::<Result<Vec<Sheet>>>()?;
    // All tasks in turns, so that a run that is ended early has some of each.
    for at in 0..options.items {
        for sheet in &sheets {
            let Some(asked) = sheet.wrong.get(at) else { continue };
            let left = all.iter().filter(|one| !done(sheet.task, &asked.item.name, **one));
            let due: Vec<(&Arm, u64)> = left.copied().collect();
            if due.is_empty() {
                continue;
            }
            let began = Instant::now();
            let line = item(&kit, sheet, at, &due, options.split)?;
            let mut file = OpenOptions::new().create(true).append(true).open(&options.out)?;
            writeln!(file, "{line}")?;
            let took = began.elapsed().as_secs_f64();
            eprintln!("{} {} of {}: {took:.1} s", sheet.task.name(), at + 1, options.items);
        }
    }
    tables(&options)
}
