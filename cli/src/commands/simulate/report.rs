//! What came of a simulation: means over seeds with their intervals, as a table for people and as a picture.

use super::grid::label;
use super::plan::{Outcome, SimulationPlan};
use crate::commands::table::markdown;
use crate::error::{Error, Result};
use std::path::Path;
use trimtab_steering::eval::Interval;
use trimtab_steering::plot::{LineChart, LinePanel, Point};

/// The runs of every line, in the order of their seeds.
pub struct Report<'a> {
    pub plan: &'a SimulationPlan,
    pub lines: Vec<Vec<Outcome>>,
}

impl Report<'_> {
    /// A measure of a line, run by run.
    fn numbers(&self, line: usize, measure: usize) -> Vec<f64> {
        let runs = self.lines.get(line).map_or(&[][..], Vec::as_slice);
        runs.iter().filter_map(|run| run.numbers.get(measure)).copied().collect()
    }

    pub fn measure(&self, line: usize, measure: usize) -> Interval {
        Interval::of_mean(&self.numbers(line, measure))
    }

    /// The difference to the line that this one is held against, seed by seed; none for that line and for what is not
    /// compared.
    pub fn difference(&self, line: usize, measure: usize) -> Option<Interval> {
        let reference = self.plan.reference(line);
        if reference == line || measure >= self.plan.compared {
            return None;
        }
        let both = self.numbers(line, measure).into_iter().zip(self.numbers(reference, measure));
        Some(Interval::of_mean(&both.map(|(a, b)| a - b).collect::<Vec<_>>()))
    }

    /// A curve of a line, point by point.
    pub fn curve(&self, line: usize, axis: usize) -> Vec<Point> {
        let runs = self.lines.get(line).map_or(&[][..], Vec::as_slice);
        let rounds = self.plan.axes.get(axis).map_or(&[][..], |axis| axis.at.as_slice());
        let point = |(step, x): (usize, &f64)| {
            let values = runs.iter().filter_map(|run| run.curves.get(axis)?.get(step).copied());
            let Interval { mean, low, high } = Interval::of_mean(&values.collect::<Vec<_>>());
            Point { x: *x, mean, low, high }
        };
        rounds.iter().enumerate().map(point).collect()
    }

    pub fn table(&self) -> String {
        let plan = self.plan;
        let varies = plan.lines.iter().any(|line| !line.varied.is_empty());
        let against = plan.lines.first().map_or(String::new(), |line| match plan.arms {
            1 => label(&line.varied),
            _ => line.arm.to_owned(),
        });
        let setting = if varies { ";setting" } else { "" };
        let columns = plan.measures.iter().enumerate().map(|(at, measure)| {
            let held =
                if self.is_compared(at) { format!(";>less {against}") } else { String::new() };
            format!(";>{}{held}", measure.name)
        });
        let columns = format!("arm{setting}{}", columns.collect::<String>());
        let rows = plan.lines.iter().enumerate().map(|(at, line)| {
            let setting = varies.then(|| label(&line.varied));
            let numbers = (0..plan.measures.len()).flat_map(|measure| self.cells(at, measure));
            std::iter::once(line.arm.to_owned()).chain(setting).chain(numbers).collect::<Vec<_>>()
        });
        markdown(&columns, rows)
    }

    fn is_compared(&self, measure: usize) -> bool {
        self.plan.lines.len() > 1 && measure < self.plan.compared
    }

    /// A measure of a line, and where it is compared the difference.
    fn cells(&self, line: usize, measure: usize) -> Vec<String> {
        let digits = self.plan.measures.get(measure).map_or(0, |measure| measure.digits);
        let difference = self.difference(line, measure).map(|found| cell(found, digits));
        let difference = self.is_compared(measure).then(|| difference.unwrap_or_default());
        std::iter::once(cell(self.measure(line, measure), digits)).chain(difference).collect()
    }

    /// Writes the picture; its title says that it is a simulation.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let plan = self.plan;
        let names: Vec<String> = plan.lines.iter().map(|line| line.name(plan.arms)).collect();
        let curves = |at| (0..names.len()).map(|line| self.curve(line, at)).collect();
        let axes = plan.axes.iter().enumerate();
        let panels: Vec<LinePanel> =
            axes.map(|(at, axis)| LinePanel { y: &axis.name, lines: curves(at) }).collect();
        let title = format!("simulation: {}, {} seeds", plan.subject, plan.seeds);
        LineChart { title: &title, x: plan.round, names: &names, panels: &panels }
            .write(path)
            .map_err(Error::writing(path))
    }
}

fn cell(Interval { mean, low, high }: Interval, digits: usize) -> String {
    // A rounded 0 has no sign.
    let [mean, low, high] = [mean, low, high].map(|value| {
        let text = format!("{value:.digits$}");
        let is_zero = text.trim_start_matches(['-', '0', '.']).is_empty();
        if is_zero { text.trim_start_matches('-').to_owned() } else { text }
    });
    format!("{mean} [{low}, {high}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_rounded_and_0_has_no_sign() {
        let interval = Interval { mean: -0.004, low: -1.25, high: 0.0049 };
        assert_eq!(cell(interval, 2), "0.00 [-1.25, 0.00]");
        assert_eq!(cell(interval, 0), "0 [-1, 0]");
        assert_eq!(
            cell(Interval { mean: 20.0, low: f64::NEG_INFINITY, high: 20.5 }, 1),
            "20.0 [-inf, 20.5]"
        );
    }
}
