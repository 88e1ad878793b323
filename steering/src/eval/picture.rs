//! The dose–response curve of an evaluation.

use super::{Arm, Limits, Line, Report};
use crate::error::Result;
use crate::plot::{DoseResponse, Point};
use std::path::Path;

impl Report {
    /// Writes the curve as SVG; `effect` says what is scored.
    pub fn draw(&self, path: &Path, title: &str, effect: &str) -> Result<()> {
        let in_doses = self.lines.iter().any(|line| line.dose.is_some());
        DoseResponse {
            title,
            dose: if in_doses { "dose (share of the stream's length)" } else { "scale" },
            effect,
            points: &points(self),
            controls: &controls(self),
            ppl_ratio: &costs(self),
            limit: Some(Limits::default().ppl_ratio),
        }
        .write(path)
    }
}

/// Where a line stands: its dose with its scale's sign, or its scale.
fn place(line: &Line) -> Option<f64> {
    let scale = match line.measured.arm {
        Arm::Base => return Some(0.0),
        Arm::Steered { scale } | Arm::Random { scale, .. } => f64::from(scale),
        Arm::Instruction(_) | Arm::Shuffled { .. } | Arm::Other { .. } => return None,
    };
    Some(line.dose.map_or(scale, |dose| dose.copysign(scale)))
}

/// The vector from its lowest scale to its highest, no steering among them.
fn points(report: &Report) -> Vec<Point> {
    let of_vector = |line: &&Line| matches!(line.measured.arm, Arm::Base | Arm::Steered { .. });
    let point = |line: &Line| {
        let score = line.score;
        Some(Point { x: place(line)?, mean: score.mean, low: score.low, high: score.high })
    };
    sorted(report.lines.iter().filter(of_vector).filter_map(point).collect())
}

/// Random directions together: their mean and their range.
fn controls(report: &Report) -> Vec<Point> {
    let is_random = |line: &&Line| matches!(line.measured.arm, Arm::Random { .. });
    let random: Vec<&Line> = report.lines.iter().filter(is_random).collect();
    let Some(x) = random.first().and_then(|line| place(line)) else { return Vec::new() };
    let means: Vec<f64> = random.iter().map(|line| line.score.mean).collect();
    vec![Point {
        x,
        mean: means.iter().sum::<f64>() / means.len() as f64,
        low: means.iter().copied().fold(f64::INFINITY, f64::min),
        high: means.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }]
}

fn costs(report: &Report) -> Vec<Point> {
    let point = |line: &Line| {
        let cost = line.cost?;
        let (low, high) = (cost.ppl_low, cost.ppl_high);
        Some(Point { x: place(line)?, mean: cost.ppl_ratio, low, high })
    };
    sorted(report.lines.iter().filter_map(point).collect())
}

fn sorted(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}
