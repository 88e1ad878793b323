//! Effect and cost over the dose, one above the other: the dose to choose is where the first is high and the second low.

use super::panel::{Chart, Panel, Point, Stroke, curve, key, key_width, level, marks, title};
use super::{Canvas, Drawn, INK, nothing_to_draw, span, svg};
use crate::error::Result;
use crate::file;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (720, 640);
/// Height of the title and of the legend below it.
const HEADER: i32 = 62;
/// Where the two panels meet.
const MIDDLE: i32 = 400;

const VECTOR: RGBColor = RGBColor(0, 114, 178);
const COST: RGBColor = RGBColor(213, 94, 0);
const CONTROL: RGBColor = RGBColor(120, 120, 120);

/// A vector's effect over its dose, beside that of random directions, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoseResponse<'a> {
    /// Stands above.
    pub title: &'a str,
    /// The dose axis, with its unit.
    pub dose: &'a str,
    /// The axis of the effect, with its unit.
    pub effect: &'a str,
    /// The vector.
    pub points: &'a [Point],
    /// Random directions of equal length: mean and band; empty if there are none.
    pub controls: &'a [Point],
    /// Perplexity with the vector over perplexity without; empty leaves the lower panel empty.
    pub ppl_ratio: &'a [Point],
    /// The largest ratio that is accepted, as a line.
    pub limit: Option<f64>,
}

impl DoseResponse<'_> {
    /// Writes the picture as an SVG file.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(path, self.svg()?.as_bytes())
    }

    /// The picture as SVG.
    pub fn svg(&self) -> Result<String> {
        let all = || self.points.iter().chain(self.controls);
        let doses = all().chain(self.ppl_ratio).map(|p| p.x);
        let x = span(doses).ok_or_else(nothing_to_draw)?;
        let effect = all().flat_map(|p| [p.mean, p.low, p.high]);
        let effect = span(effect.chain([0.0])).ok_or_else(nothing_to_draw)?;
        let cost = self.ppl_ratio.iter().flat_map(|p| [p.mean, p.low, p.high]);
        let cost = span(cost.chain([1.0]).chain(self.limit)).ok_or_else(nothing_to_draw)?;
        svg(SIZE, |root| {
            let (header, panels) = root.split_vertically(HEADER);
            let (above, below) = panels.split_vertically(MIDDLE - HEADER);
            self.header(&header)?;
            let upper = Panel { x: x.clone(), y: effect, x_title: None, y_title: self.effect };
            self.effects(&mut upper.draw(&above)?)?;
            let title = "perplexity ratio";
            let lower = Panel { x, y: cost, x_title: Some(self.dose), y_title: title };
            self.costs(&mut lower.draw(&below)?)
        })
    }

    fn header(&self, area: &Canvas) -> Drawn {
        title(area, self.title)?;
        let bands = [("vector", VECTOR), ("random directions", CONTROL), ("cost", COST)];
        let shown = [self.points, self.controls, self.ppl_ratio];
        let mut x = 16;
        for ((name, colour), _) in bands.into_iter().zip(shown).filter(|(_, p)| !p.is_empty()) {
            key(area, (x, 48), name, Stroke::plain(colour))?;
            x += key_width(name);
        }
        Ok(())
    }

    fn effects(&self, chart: &mut Chart) -> Drawn {
        level(chart, 0.0, INK.mix(0.6))?;
        measured(chart, self.controls, CONTROL)?;
        measured(chart, self.points, VECTOR)
    }

    fn costs(&self, chart: &mut Chart) -> Drawn {
        level(chart, 1.0, INK.mix(0.6))?;
        if let Some(limit) = self.limit {
            level(chart, limit, COST.mix(0.6))?;
        }
        measured(chart, self.ppl_ratio, COST)
    }
}

/// A curve with its means and intervals.
fn measured(chart: &mut Chart, points: &[Point], colour: RGBColor) -> Drawn {
    curve(chart, points, Stroke::plain(colour))?;
    marks(chart, points, colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(slope: f64) -> Vec<Point> {
        let point = |i: i32| {
            let x = 0.05 * f64::from(i);
            let mean = slope * x;
            Point { x, mean, low: mean - 0.05, high: mean + 0.08 }
        };
        (-2..=6).map(point).collect()
    }

    fn plot<'a>(points: &'a [Point], controls: &'a [Point], cost: &'a [Point]) -> DoseResponse<'a> {
        DoseResponse {
            title: "enthusiastic <test> & more",
            dose: "dose, share of the stream's norm",
            effect: "pass rate, change",
            points,
            controls,
            ppl_ratio: cost,
            limit: Some(1.1),
        }
    }

    /// How often a tag with this in it occurs.
    fn count(svg: &str, tag: &str, with: &str) -> usize {
        svg.lines().filter(|line| line.starts_with(tag) && line.contains(with)).count()
    }

    #[test]
    fn every_point_is_drawn_and_every_axis_named() {
        let (vector, random) = (points(1.5), points(0.1));
        let cost: Vec<Point> = points(0.2)
            .iter()
            .map(|p| Point { mean: 1.0 + p.mean, low: 0.9, high: 1.3, ..*p })
            .collect();
        let text = plot(&vector, &random, &cost).svg().unwrap();
        for (colour, points) in [("#0072B2", 9), ("#787878", 9), ("#D55E00", 9)] {
            assert_eq!(count(&text, "<circle", colour), points, "{colour}");
            assert_eq!(count(&text, "<polygon", colour), 1, "{colour}");
        }
        for word in
            ["pass rate, change", "perplexity ratio", "share of the stream", "random directions"]
        {
            assert!(text.contains(word), "{word}");
        }
        assert!(text.contains("enthusiastic &lt;test&gt; &amp; more"));
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn higher_values_stand_higher() {
        let vector = points(1.5);
        let text = plot(&vector, &[], &[]).svg().unwrap();
        let attribute = |line: &str, name: &str| -> i32 {
            let rest = line.split_once(&format!(" {name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let circles: Vec<(i32, i32)> = text
            .lines()
            .filter(|line| line.starts_with("<circle"))
            .map(|line| (attribute(line, "cx"), attribute(line, "cy")))
            .collect();
        assert_eq!(circles.len(), 9);
        assert!(circles.windows(2).all(|p| p[0].0 < p[1].0 && p[0].1 > p[1].1), "{circles:?}");
    }

    #[test]
    fn unknown_bounds_and_missing_parts_are_no_error() {
        let unknown = [Point { x: 0.1, mean: 0.2, low: f64::NEG_INFINITY, high: f64::INFINITY }];
        assert!(plot(&unknown, &[], &unknown).svg().is_ok());
        assert!(plot(&[], &points(1.0), &[]).svg().is_ok());
        let nothing = plot(&[], &[], &[]).svg().unwrap_err();
        assert_eq!(nothing.code(), "picture");
    }
}
