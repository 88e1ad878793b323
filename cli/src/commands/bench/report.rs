//! What was measured, as a table, as JSON or as CSV.

use super::args::{Beside, Table};
use super::arms::Steered;
use super::config::{Bench, Case};
use super::measure::{Timed, Timings};
use super::spread::{mean_and_deviation, median};
use crate::commands::opened::Opened;
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::Fields;
use crate::error::Result;
use serde::Serialize;
use std::time::Duration;
use trimtab_runtime::kv::BLOCK_LEN;

/// One test's result. Names are llama-bench's.
#[derive(Debug, Default, Serialize)]
pub struct Line {
    test: String,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    batch: usize,
    beside: Option<&'static str>,
    steering: Option<Steered>,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
    median_ns: u64,
    median_ts: f64,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    ratio_to_plain: Option<f64>,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    samples_ratio: Vec<f64>,
    first_token_s: Option<f64>,
    peak_rss_bytes: Option<u64>,
}

impl Line {
    /// The results of one test: the plain runs first.
    pub fn of(case: &Case, timings: Timings) -> Vec<Line> {
        let mut lines = vec![Line::plain(case, &timings.plain)];
        for (arm, runs) in &timings.arms {
            let durations: Vec<Duration> = runs.iter().map(|run| run.duration).collect();
            let plain = Line::plain(case, &durations);
            let name = arm.beside.map(Beside::name);
            lines.push(Line { beside: name, steering: arm.steering(), ..plain.compared(runs) });
        }
        lines
    }

    fn compared(self, runs: &[Timed]) -> Line {
        let ratios: Vec<f64> = runs.iter().map(Timed::ratio).collect();
        Line {
            ratio_to_plain: Some(median(&ratios)),
            ratio_low: ratios.iter().copied().reduce(f64::min),
            ratio_high: ratios.iter().copied().reduce(f64::max),
            samples_ratio: ratios,
            ..self
        }
    }

    /// Of the durations of a test's runs.
    fn plain(case: &Case, runs: &[Duration]) -> Line {
        let seconds: Vec<f64> = runs.iter().map(Duration::as_secs_f64).collect();
        let tokens = (case.batch * case.timed()) as f64;
        let rates: Vec<f64> = seconds.iter().map(|s| tokens / s).collect();
        let (avg_s, stddev_s) = mean_and_deviation(&seconds);
        let (avg_ts, stddev_ts) = mean_and_deviation(&rates);
        let ns = |s: f64| (s * 1e9).round() as u64;
        Line {
            test: case.name(),
            n_prompt: case.n_prompt,
            n_gen: case.n_gen,
            n_depth: case.n_depth,
            batch: case.batch,
            avg_ns: ns(avg_s),
            stddev_ns: ns(stddev_s),
            avg_ts,
            stddev_ts,
            median_ns: ns(median(&seconds)),
            median_ts: median(&rates),
            samples_ns: seconds.iter().copied().map(ns).collect(),
            samples_ts: rates,
            // The logits of a prompt's last token are what the first token is chosen from.
            first_token_s: (case.n_gen == 0).then_some(avg_s),
            peak_rss_bytes: peak_rss_bytes(),
            ..Line::default()
        }
    }
}

/// The most memory this program has had, where Linux says so.
fn peak_rss_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Prints the results in the form that was asked for.
pub fn print(plan: &Bench, opened: &Opened, results: Vec<Line>, console: &Console) -> Result<()> {
    match plan.table {
        Table::Md => console.say_line(table(&results, opened)),
        Table::Csv => console.say(&csv(&results)),
        Table::Jsonl => results.iter().try_for_each(|line| console.print(line)),
        Table::Json => console.print(&document(plan, opened, &results)),
    }
}

fn document(plan: &Bench, opened: &Opened, results: &[Line]) -> Fields {
    let (decoder, pool) = (opened.model.decoder(), opened.model.pool());
    let settings = Fields::new("repetitions", plan.repetitions)
        .with("warmup", plan.warmup)
        .with("batch_invariant", batch_invariant(opened));
    // What the program holds by design; the peak is each line's.
    let kv_bytes = decoder.spec().kv_bytes_per_token(pool.kv_type());
    let memory = Fields::new("weight_bytes", decoder.weight_bytes())
        .with("kv_bytes", pool.usage().blocks * BLOCK_LEN * kv_bytes);
    opened
        .head("bench")
        .with("settings", settings)
        .with("memory", memory)
        .with("load_s", opened.load_s)
        .with("results", results)
}

/// Only the CPU's own kernels sum in one order whatever the number of rows.
fn batch_invariant(opened: &Opened) -> bool {
    opened.model.decoder().device().kind() == "cpu"
}

fn table(results: &[Line], opened: &Opened) -> String {
    let compared = results.iter().any(|line| line.beside.is_some());
    let more = if compared { ";beside;>of plain" } else { "" };
    let columns = format!("model;type;device;>threads;>batch;>test;>t/s{more}");
    let model = &opened.model;
    let row = |line: &Line| {
        let mut cells = vec![
            model.name().to_owned(),
            model.identity().quantization.clone(),
            model.decoder().device().kind().to_owned(),
            trimtab_runtime::device::threads().to_string(),
            line.batch.to_string(),
            line.test.clone(),
            format!("{:.2} ± {:.2}", line.avg_ts, line.stddev_ts),
        ];
        if compared {
            cells.extend([line.beside.unwrap_or_default().to_owned(), line.ratio()]);
        }
        cells
    };
    markdown(&columns, results.iter().map(row))
}

impl Line {
    /// The ratio and its spread, for people.
    fn ratio(&self) -> String {
        match (self.ratio_to_plain, self.ratio_low, self.ratio_high) {
            (Some(middle), Some(low), Some(high)) => {
                format!("{middle:.3} ({low:.3} to {high:.3})")
            }
            _ => String::new(),
        }
    }
}

fn csv(results: &[Line]) -> String {
    let mut text = "test,n_prompt,n_gen,n_depth,batch,avg_ns,stddev_ns,avg_ts,stddev_ts,\
        median_ts,beside,ratio_to_plain,ratio_low,ratio_high\n"
        .to_owned();
    for l in results {
        let ratio = |r: Option<f64>| r.map(|r| r.to_string()).unwrap_or_default();
        let counts = [l.n_prompt, l.n_gen, l.n_depth, l.batch].map(|n| n.to_string());
        let times = [l.avg_ns, l.stddev_ns].map(|n| n.to_string());
        let rates = [l.avg_ts, l.stddev_ts, l.median_ts].map(|n| n.to_string());
        let ratios = [l.ratio_to_plain, l.ratio_low, l.ratio_high].map(ratio);
        let (test, beside) = ([l.test.clone()], [l.beside.unwrap_or_default().to_owned()]);
        let cells: [&[String]; 6] = [&test, &counts, &times, &rates, &beside, &ratios];
        text.push_str(&(cells.concat().join(",") + "\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::arms::Arm;
    use super::*;

    fn seconds(values: [u64; 3]) -> Vec<Duration> {
        values.map(Duration::from_secs).to_vec()
    }

    #[test]
    fn rates_count_every_row() {
        let case = Case { n_prompt: 0, n_gen: 10, n_depth: 3, batch: 4 };
        let line = Line::plain(&case, &seconds([1, 2, 3]));
        assert_eq!(line.samples_ts, [40.0, 20.0, 40.0 / 3.0]);
        assert_eq!((line.avg_ns, line.stddev_ns), (2_000_000_000, 1_000_000_000));
        assert_eq!((line.median_ns, line.median_ts), (2_000_000_000, 20.0));
        assert_eq!(line.first_token_s, None);
        let case = Case { n_prompt: 5, n_gen: 0, ..case };
        let one = Line::plain(&case, &[Duration::from_secs(2)]);
        assert_eq!((one.first_token_s, one.stddev_ns, one.avg_ts), (Some(2.0), 0, 10.0));
    }

    #[test]
    fn ratios_are_of_neighbours() {
        let case = Case { n_prompt: 8, n_gen: 0, n_depth: 0, batch: 1 };
        let arm = Arm { beside: Some(Beside::Empty), ..Arm::plain(1) };
        // The machine slows down threefold; what is beside stays at 0.8.
        let plain = seconds([4, 4, 12]);
        let timed = |run: u64, i: usize| Timed {
            duration: Duration::from_secs(run),
            around: [plain[i], plain[i + 1]],
        };
        let runs = vec![timed(5, 0), timed(10, 1)];
        let timings = Timings { plain: plain.clone(), arms: vec![(arm, runs)] };
        let lines = Line::of(&case, timings);
        assert_eq!((lines[0].beside, lines[0].ratio_to_plain), (None, None));
        assert_eq!((lines[1].beside, lines[1].ratio_to_plain), (Some("empty"), Some(0.8)));
        assert_eq!(lines[1].samples_ratio, [0.8, 0.8]);
        assert_eq!(lines[1].ratio(), "0.800 (0.800 to 0.800)");
    }
}
