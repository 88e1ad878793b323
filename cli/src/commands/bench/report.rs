//! What was measured, as a table, as JSON or as CSV.

use crate::args::{Switch, Table};
use crate::commands::opened::Opened;
use crate::commands::table::{Column, markdown};
use crate::console::Console;
use crate::document::{Head, NO_STEERING};
use crate::error::Result;
use crate::plan::{Bench, Case};
use serde::Serialize;
use std::time::Duration;

/// One test's result. Names are llama-bench's.
#[derive(Debug, Serialize)]
pub struct Line {
    test: String,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    batch: usize,
    steering: Option<()>,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    ratio_to_plain: Option<f64>,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    first_token_s: Option<f64>,
    peak_rss_bytes: Option<u64>,
    peak_device_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    head: Head,
    settings: Settings,
    results: Vec<Line>,
}

#[derive(Serialize)]
struct Settings {
    repetitions: usize,
    warmup: Switch,
    batch_invariant: Switch,
}

impl Line {
    /// Of the durations of a test's repetitions.
    pub fn new(case: &Case, samples: Vec<Duration>) -> Line {
        let seconds: Vec<f64> = samples.iter().map(Duration::as_secs_f64).collect();
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
            steering: NO_STEERING,
            avg_ns: ns(avg_s),
            stddev_ns: ns(stddev_s),
            avg_ts,
            stddev_ts,
            samples_ns: seconds.iter().copied().map(ns).collect(),
            samples_ts: rates,
            ratio_to_plain: None,
            ratio_low: None,
            ratio_high: None,
            // The logits of a prompt's last token are what the first token is chosen from.
            first_token_s: (case.n_gen == 0).then_some(avg_s),
            peak_rss_bytes: peak_rss_bytes(),
            peak_device_bytes: None,
        }
    }
}

/// Mean and sample standard deviation.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, if values.len() < 2 { 0.0 } else { (squares / (n - 1.0)).sqrt() })
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
        Table::Json => console.print(&Document {
            head: opened.head("bench"),
            settings: Settings {
                repetitions: plan.repetitions,
                warmup: plan.warmup,
                batch_invariant: batch_invariant(opened),
            },
            results,
        }),
    }
}

/// Only the CPU's own kernels sum in one order whatever the number of rows.
fn batch_invariant(opened: &Opened) -> Switch {
    match opened.model.decoder().device().kind() {
        "cpu" => Switch::On,
        _ => Switch::Off,
    }
}

fn table(results: &[Line], opened: &Opened) -> String {
    let columns = [
        Column::Left("model"),
        Column::Left("type"),
        Column::Left("device"),
        Column::Right("threads"),
        Column::Right("batch"),
        Column::Right("test"),
        Column::Right("t/s"),
    ];
    let model = &opened.model;
    let row = |line: &Line| {
        vec![
            model.name().to_owned(),
            model.identity().quantization.clone(),
            model.decoder().device().kind().to_owned(),
            trimtab_runtime::device::threads().to_string(),
            line.batch.to_string(),
            line.test.clone(),
            format!("{:.2} ± {:.2}", line.avg_ts, line.stddev_ts),
        ]
    };
    markdown(&columns, results.iter().map(row).collect())
}

fn csv(results: &[Line]) -> String {
    let mut text =
        "test,n_prompt,n_gen,n_depth,batch,avg_ns,stddev_ns,avg_ts,stddev_ts\n".to_owned();
    for l in results {
        text.push_str(&format!(
            "{},{},{},{},{},{},{},{},{}\n",
            l.test,
            l.n_prompt,
            l.n_gen,
            l.n_depth,
            l.batch,
            l.avg_ns,
            l.stddev_ns,
            l.avg_ts,
            l.stddev_ts,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_every_row() {
        let case = Case { n_prompt: 0, n_gen: 10, n_depth: 3, batch: 4 };
        let line = Line::new(&case, [1, 2, 3].map(Duration::from_secs).to_vec());
        assert_eq!(line.samples_ts, [40.0, 20.0, 40.0 / 3.0]);
        assert_eq!((line.avg_ns, line.stddev_ns), (2_000_000_000, 1_000_000_000));
        assert_eq!(line.first_token_s, None);
        let one = Line::new(&Case { n_prompt: 5, n_gen: 0, ..case }, vec![Duration::from_secs(2)]);
        assert_eq!((one.first_token_s, one.stddev_ns, one.avg_ts), (Some(2.0), 0, 10.0));
    }
}
