//! An evaluation for people.

use super::config::{Eval, Purpose};
use crate::commands::table::markdown;
use trimtab_steering::eval::{Arm, Interval, Line, Metric, RANDOM_DIRECTIONS, Report};

/// Arms in their order; random directions are summed up in one row, and so are fits to shuffled labels.
pub fn of(report: &Report) -> String {
    let columns = format!(
        "arm;>dose;>{};>gain;>margin;>perplexity;>KL;>repeated;>distinct-1/2;>words;>ended",
        report.metric.name()
    );
    let together = |a: &Line, b: &Line| controls(a).is_some() && controls(a) == controls(b);
    let rows = report.lines.chunk_by(together).filter_map(|lines| {
        let first = lines.first()?;
        Some(match controls(first) {
            Some(name) => controls_row(name, lines),
            None => row(first, report.metric),
        })
    });
    markdown(&columns, rows)
}

/// What controls of this kind are called together.
fn controls(line: &Line) -> Option<&'static str> {
    match line.measured.arm {
        Arm::Random { .. } => Some("random directions"),
        Arm::Shuffled { .. } => Some("shuffled labels"),
        Arm::Instruction(_) | Arm::Base | Arm::Steered { .. } | Arm::Other { .. } => None,
    }
}

fn row(line: &Line, metric: Metric) -> Vec<String> {
    let number = |value: Option<f64>, digits: usize| {
        value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
    };
    let variety = line.variety;
    let margin = line.margin.filter(|_| metric != Metric::Margin);
    vec![
        line.measured.arm.label(),
        number(line.dose, 3),
        spread(Some(line.score)),
        spread(line.gain),
        spread(margin),
        line.cost
            .map(|c| format!("{:.3} [{:.3}, {:.3}]", c.ppl_ratio, c.ppl_low, c.ppl_high))
            .unwrap_or_default(),
        number(line.cost.map(|cost| cost.kl), 3),
        number(variety.map(|v| v.repetition), 3),
        variety.map(|v| format!("{:.2}/{:.2}", v.distinct_1, v.distinct_2)).unwrap_or_default(),
        number(variety.map(|v| v.words), 1),
        number(variety.map(|v| v.ended), 2),
    ]
}

/// What controls of a kind did together: the range of their means.
fn controls_row(name: &str, lines: &[Line]) -> Vec<String> {
    let range = |of: &dyn Fn(&Line) -> Option<f64>, digits: usize| {
        let mut values: Vec<f64> = lines.iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        match (values.first(), values.last()) {
            (Some(low), Some(high)) => format!("{low:.digits$} to {high:.digits$}"),
            _ => String::new(),
        }
    };
    vec![
        format!("{} {name}", lines.len()),
        lines.first().and_then(|l| l.dose).map(|d| format!("{d:.3}")).unwrap_or_default(),
        range(&|line| Some(line.score.mean), 3),
        range(&|line| line.gain.map(|gain| gain.mean), 3),
        String::new(),
        String::new(),
        String::new(),
        range(&|line| line.variety.map(|v| v.repetition), 3),
        String::new(),
        range(&|line| line.variety.map(|v| v.words), 1),
        range(&|line| line.variety.map(|v| v.ended), 2),
    ]
}

fn spread(interval: Option<Interval>) -> String {
    let text = |i: Interval| format!("{:.3} [{:.3}, {:.3}]", i.mean, i.low, i.high);
    interval.map(text).unwrap_or_default()
}

/// What it comes to, in a sentence or two.
pub fn summary(plan: &Eval, report: &Report) -> String {
    let mut lines = Vec::new();
    let choice = &report.choice;
    lines.push(match choice.default {
        scale if scale > 0.0 => {
            format!("scale {scale:.3} is the smallest that is as good as the best")
        }
        _ if choice.safe.is_none() => "harm was not measured, so no scale is chosen".to_owned(),
        _ => "no scale without harm is better than no steering: null".to_owned(),
    });
    if let Some([low, high]) = choice.safe {
        lines.push(format!("safe from {low:.3} to {high:.3}"));
    }
    if let (Purpose::Compare { .. }, Some(p95)) = (plan.purpose, report.random_p95) {
        let verdict = match report.passed() {
            true => "passed".to_owned(),
            false => report.failures().join(", ") + " failed",
        };
        let shuffled = report.shuffled_p95.map(|change| match plan.args.shuffled.len() as u64 {
            ..RANDOM_DIRECTIONS => format!(", shuffled labels by at most {change:.3}"),
            _ => format!(", shuffled labels by {change:.3}"),
        });
        let shuffled = shuffled.unwrap_or_default();
        lines.push(format!(
            "random directions change it by {p95:.3} (95th percentile){shuffled}: {verdict}"
        ));
    }
    if plan.args.write {
        lines.push(format!("wrote {}", plan.args.file.display()));
    }
    lines.join("\n")
}
