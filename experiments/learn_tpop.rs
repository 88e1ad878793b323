//! What duels find: settings that simulated users like, on prompts that no duel saw.
//!
//! ```sh
//! cargo run --release -p trimtab-experiments --bin learn_tpop -- answers -m MODEL --vectors FOLDER
//! ```
//!
//! `answers` makes the greedy answers under every setting, `lines` those under the rival's lines, `samples` those of
//! response-level duels; `report` prints the tables of what is there and needs no model. Answers depend on prompt and
//! setting only, so all users, rules and seeds are judged from one set of them. They are lines of `--out` (default
//! `target/learn_tpop.jsonl`, one file for each model) and are not made again.
//! `--scales short=0.1,warm=0.5` overrides the cards' scales, `--forms instruction,vector` makes fewer answers.

#[path = "learn_tpop/answers.rs"]
mod answers;
#[path = "learn_tpop/cache.rs"]
mod cache;
#[path = "rewind/drive.rs"]
mod drive;
#[path = "learn_tpop/duels.rs"]
mod duels;
#[path = "learn_tpop/report.rs"]
mod report;
#[path = "learn_tpop/response.rs"]
mod response;
#[path = "learn_tpop/rival.rs"]
mod rival;
#[path = "learn_tpop/settings.rs"]
mod settings;
#[path = "learn_tpop/share.rs"]
mod share;
#[path = "learn_tpop/users.rs"]
mod users;

use answers::{Maker, SAMPLES};
use cache::Cache;
use duels::DUELS;
use report::Report;
use response::Sampled;
use settings::{Form, Setting, Vectors};
use std::path::PathBuf;
use trimtab_runtime::Model;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Questions on which duels are held, then those held out.
const PROMPTS: &str = include_str!("../examples/data/prompts/test.jsonl");
/// Questions whose answers the extractor is fitted on.
const NEUTRAL: &str = include_str!("../examples/data/prompts/select.jsonl");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Answers,
    Lines,
    Samples,
    Report,
}

struct Options {
    task: Task,
    model: String,
    vectors: PathBuf,
    scales: String,
    forms: Vec<Form>,
    out: PathBuf,
    tokens: usize,
    seeds: u64,
    held: usize,
    /// Held-out prompts of response-level duels.
    sampled: usize,
    most_lines: usize,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Options> {
        let task = match args.next().as_deref() {
            Some("answers") => Task::Answers,
            Some("lines") => Task::Lines,
            Some("samples") => Task::Samples,
            Some("report") => Task::Report,
            _ => return Err("the first word is answers, lines, samples or report".into()),
        };
        let mut options = Options {
            task,
            model: "smollm2-135m-instruct".to_owned(),
            vectors: PathBuf::from("examples/vectors"),
            scales: String::new(),
            forms: Form::ALL.to_vec(),
            out: PathBuf::from("target/learn_tpop.jsonl"),
            tokens: 96,
            seeds: 10,
            held: 100,
            sampled: 50,
            most_lines: 16,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "-m" | "--model" => options.model = value,
                "--vectors" => options.vectors = PathBuf::from(value),
                "--scales" => options.scales = value,
                "--forms" => {
                    let named = |name| Form::ALL.into_iter().find(|form| form.name() == name);
                    let forms: Option<Vec<Form>> = value.split(',').map(named).collect();
                    options.forms = forms.ok_or_else(|| format!("no such forms: {value}"))?;
                }
                "--out" => options.out = PathBuf::from(value),
                "--tokens" => options.tokens = value.parse()?,
                "--seeds" => options.seeds = value.parse()?,
                "--held" => options.held = value.parse()?,
                "--sampled" => options.sampled = value.parse()?,
                "--most-lines" => options.most_lines = value.parse()?,
                _ => return Err(format!("{name} is not an option").into()),
            }
        }
        Ok(options)
    }

    /// The questions of duels, those held out, then the neutral ones.
    fn prompts(&self, held: usize) -> Result<Vec<String>> {
        let question = |line: &str| -> Result<String> {
            let value: serde_json::Value = serde_json::from_str(line)?;
            Ok(value["prompt"].as_str().ok_or("a line has no prompt")?.to_owned())
        };
        let neutral = if self.task == Task::Samples { NEUTRAL } else { "" };
        PROMPTS.lines().take(DUELS + held).chain(neutral.lines()).map(question).collect()
    }
}

fn answers(options: &Options, cache: &mut Cache, maker: &Maker) -> Result<()> {
    let vectors = Vectors::open(&options.vectors, &options.scales)?;
    let settings = Setting::of(&options.forms);
    settings.into_iter().try_for_each(|setting| maker.setting(cache, setting, &vectors))
}

/// The likeliest lines first, so that what is missing in the end matters least.
fn lines(options: &Options, cache: &mut Cache, maker: &Maker) -> Result<()> {
    let report = Report { cache, seeds: options.seeds, held: options.held };
    let mut lines: Vec<(String, usize)> = report.lines()?.into_iter().collect();
    lines.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    for (line, times) in lines.iter().take(options.most_lines) {
        eprintln!("{times} times: {line}");
        maker.line(cache, line, DUELS)?;
    }
    Ok(())
}

fn samples(options: &Options, cache: &mut Cache, maker: &Maker) -> Result<()> {
    let judged = DUELS + options.sampled;
    maker.samples(cache, judged..maker.prompts.len(), 1)?;
    maker.samples(cache, 0..judged, SAMPLES)
}

fn report(options: &Options, cache: &Cache) -> Result<()> {
    let report = Report { cache, seeds: options.seeds, held: options.held };
    report.print()?;
    let (judged, neutral) = (DUELS + options.sampled, NEUTRAL.lines().count());
    let sampled = Sampled::of(cache, (judged, SAMPLES), judged..judged + neutral)?;
    sampled.map_or(Ok(()), |sampled| report.print_response(&sampled))
}

fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let mut cache = Cache::open(&options.out)?;
    if options.task == Task::Report {
        return report(&options, &cache);
    }
    let model = Model::open(&options.model)?;
    let held = if options.task == Task::Samples { options.sampled } else { options.held };
    let prompts = options.prompts(held)?;
    let (engine, tokens) = (drive::engine(&model)?, options.tokens);
    let maker = Maker { model: &model, engine, prompts: &prompts, tokens };
    match options.task {
        Task::Answers => answers(&options, &mut cache, &maker),
        Task::Lines => lines(&options, &mut cache, &maker),
        Task::Samples => samples(&options, &mut cache, &maker),
        Task::Report => Ok(()),
    }
}
