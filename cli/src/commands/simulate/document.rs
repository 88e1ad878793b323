//! The JSON document of a simulation.

use super::report::Report;
use crate::document::{Fields, head};
use serde_json::{Map, Value};
use trimtab_steering::eval::Interval;
use trimtab_steering::plot::Point;

pub fn of(report: &Report<'_>) -> Fields {
    let plan = report.plan;
    let lines = (0..plan.lines.len()).map(|line| one(report, line)).collect::<Vec<_>>();
    head(plan.command, None)
        .with("simulation", true)
        .with("rounds", plan.rounds)
        .with("seeds", plan.seeds)
        .with("settings", &plan.asked)
        .with("svg", plan.svg.as_ref().map(|path| path.display().to_string()))
        .with("results", lines)
}

fn one(report: &Report<'_>, at: usize) -> Fields {
    let plan = report.plan;
    let line = plan.lines.get(at);
    let arm = line.map(|line| line.arm);
    let varied = line.map(|line| line.varied.clone()).unwrap_or_default();
    let setting: Map<String, Value> =
        varied.into_iter().map(|(name, value)| (name.replace('-', "_"), value)).collect();
    let measures = plan.measures.iter().enumerate();
    let values = measures.fold(Fields::new("arm", arm).with("setting", setting), |all, (n, m)| {
        let Interval { mean, low, high } = report.measure(at, n);
        let found = Fields::new("mean", mean).with("low", low).with("high", high);
        all.with(m.key, found.with("difference", report.difference(at, n)))
    });
    let curves = plan.axes.iter().enumerate().map(|(n, axis)| {
        let points = report.curve(at, n);
        let of = |value: fn(&Point) -> f64| points.iter().map(value).collect::<Vec<f64>>();
        Fields::new("measure", axis.key)
            .with("round", &axis.at)
            .with("mean", of(|p| p.mean))
            .with("low", of(|p| p.low))
            .with("high", of(|p| p.high))
    });
    values.with("curves", curves.collect::<Vec<_>>())
}
