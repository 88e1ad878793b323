//! Runs every seed of every line, then prints the table and draws the picture.

use super::document;
use super::plan::{Line, SimulationPlan};
use super::report::Report;
use super::runs;
use crate::console::Console;
use crate::error::Result;
use crate::outputs::{self, named};
use std::sync::Arc;

pub fn run(plan: &SimulationPlan, console: &Console) -> Result<()> {
    let svg: Vec<_> = named("--svg", &plan.svg).collect();
    outputs::plan(&[], &svg, console)?;
    let seeds = plan.seeds;
    let of_line = |line: &Line| {
        let simulate = Arc::clone(&line.simulate);
        (0..seeds).map(move |seed| (Arc::clone(&simulate), seed))
    };
    let all = plan.lines.iter().flat_map(of_line);
    let outcomes = runs::all(all.map(|(run, seed)| move || run(seed)).collect(), console)?;
    let lines = outcomes.chunks(seeds as usize).map(<[_]>::to_vec).collect();
    let report = Report { plan, lines };
    if let Some(path) = &plan.svg {
        report.draw(path)?;
    }
    match console.is_json() {
        true => console.print(&document::of(&report)),
        false => console.say_line(report.table()),
    }
}
