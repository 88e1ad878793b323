//! Lines over one axis in panels that stand one above the other: what several learners did, round by round.
//!
//! A line is told by its marks as well as by its colour.

use super::panel::{Chart, Mark, Panel, Point, Stroke, curve, key, key_width, level, title};
use super::{Canvas, Drawn, INK, nothing_to_draw, span, svg};
use crate::error::{Error, Result};
use crate::file;
use plotters::prelude::*;
use std::path::Path;

const WIDTH: u32 = 720;
/// Height of a panel, and what the lowest has more for the title of its axis.
const PANEL: (u32, u32) = (270, 22);
/// Where the key begins, and the height of one of its rows.
const KEY_TOP: i32 = 46;
const KEY_ROW: i32 = 20;
const LEFT: i32 = 16;

/// Okabe and Ito's colours that are dark enough for a line on white, and grey.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
];
const MARKS: [Mark; 3] = [Mark::None, Mark::Circle, Mark::Triangle];
/// The most lines that can be told apart.
const MOST_LINES: usize = 16;

/// Lines by name, drawn in each of the panels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineChart<'a> {
    /// Stands above.
    pub title: &'a str,
    /// The axis that all panels share, with its unit.
    pub x: &'a str,
    /// The lines' names.
    pub names: &'a [String],
    /// From the upper to the lower.
    pub panels: &'a [LinePanel<'a>],
}

/// One measure of every line.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePanel<'a> {
    /// The measure, with its unit.
    pub y: &'a str,
    /// The lines in the order of their names.
    pub lines: Vec<Vec<Point>>,
}

impl LineChart<'_> {
    /// Writes the picture as an SVG file.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(path, self.svg()?.as_bytes())
    }

    /// The picture as SVG.
    pub fn svg(&self) -> Result<String> {
        if self.names.len() > MOST_LINES {
            let reason = format!("{} lines cannot be told apart, 16 can", self.names.len());
            return Err(Error::Picture { reason });
        }
        let points = || self.panels.iter().flat_map(|panel| panel.lines.iter().flatten());
        let x = span(points().map(|p| p.x)).ok_or_else(nothing_to_draw)?;
        let all: Result<Vec<Panel>> = self
            .panels
            .iter()
            .enumerate()
            .map(|(at, panel)| {
                let values = panel.lines.iter().flatten().flat_map(|p| [p.mean, p.low, p.high]);
                let y = span(values.chain([0.0])).ok_or_else(nothing_to_draw)?;
                let x_title = (at + 1 == self.panels.len()).then_some(self.x);
                Ok(Panel { x: x.clone(), y, x_title, y_title: panel.y })
            })
            .collect();
        let (all, keys) = (all?, self.keys());
        let header = keys.last().map_or(KEY_TOP, |(_, y)| *y) + KEY_ROW;
        let height = header as u32 + PANEL.0 * all.len() as u32 + PANEL.1;
        svg((WIDTH, height), |root| {
            let (above, mut rest) = root.split_vertically(header);
            self.header(&above, &keys)?;
            for (axes, panel) in all.iter().zip(self.panels) {
                let room = PANEL.0 + axes.x_title.map_or(0, |_| PANEL.1);
                let (area, below) = rest.split_vertically(room);
                panel.draw(&mut axes.draw(&area)?)?;
                rest = below;
            }
            Ok(())
        })
    }

    /// Where the names stand, row after row.
    fn keys(&self) -> Vec<(i32, i32)> {
        let (mut x, mut y) = (LEFT, KEY_TOP);
        let place = |name: &String| {
            let room = key_width(name);
            if x > LEFT && x + room > WIDTH as i32 {
                (x, y) = (LEFT, y + KEY_ROW);
            }
            x += room;
            (x - room, y)
        };
        self.names.iter().map(place).collect()
    }

    fn header(&self, area: &Canvas, keys: &[(i32, i32)]) -> Drawn {
        title(area, self.title)?;
        let mut places = keys.iter().zip(self.names).enumerate();
        places.try_for_each(|(at, (place, name))| key(area, *place, name, stroke(at)))
    }
}

impl LinePanel<'_> {
    /// The first line is drawn last, above the others.
    fn draw(&self, chart: &mut Chart) -> Drawn {
        level(chart, 0.0, INK.mix(0.6))?;
        let mut lines = self.lines.iter().enumerate().rev();
        lines.try_for_each(|(at, points)| curve(chart, points, stroke(at)))
    }
}

fn stroke(at: usize) -> Stroke {
    let colour = COLOURS.get(at % COLOURS.len()).copied().unwrap_or(INK);
    let mark = MARKS.get(at % MARKS.len()).copied().unwrap_or(Mark::None);
    // Fainter than those of one line: many overlap.
    Stroke { colour, band: 0.1, mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slope: f64, points: u32) -> Vec<Point> {
        let point = |i: u32| {
            let x = f64::from(i);
            Point { x, mean: slope * x, low: slope * x - 0.5, high: slope * x + 0.5 }
        };
        (0..points).map(point).collect()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("learner <{at}>")).collect()
    }

    fn drawn(names: &[String], lines: &[Vec<Point>]) -> Result<String> {
        let panel = |y| LinePanel { y, lines: lines.to_vec() };
        let panels = [panel("regret"), panel("drift")];
        LineChart { title: "simulation: a & b", x: "round", names, panels: &panels }.svg()
    }

    #[test]
    fn every_line_has_its_band_in_every_panel_and_a_key() {
        let text = drawn(&names(3), &[line(1.0, 20), line(0.5, 20), line(-0.5, 20)]).unwrap();
        assert_eq!(text.matches("<polygon opacity=\"0.1\"").count(), 6);
        for colour in ["#0072B2", "#D55E00", "#009E73"] {
            assert!(
                text.contains(&format!("<polygon opacity=\"0.1\" fill=\"{colour}\"")),
                "{colour}"
            );
        }
        for word in ["simulation: a &amp; b", "regret", "drift", "round", "learner &lt;2&gt;"] {
            assert!(text.contains(word), "{word}");
        }
        // A line is one path in each panel and one in the key, and so are its marks.
        let drawn = |tag: &str, colour: &str| {
            text.lines().filter(|l| l.starts_with(tag) && l.contains(colour)).count()
        };
        assert_eq!(["#0072B2", "#D55E00"].map(|colour| drawn("<polyline", colour)), [3, 3]);
        assert_eq!(["#0072B2", "#D55E00"].map(|colour| drawn("<circle", colour)), [0, 21]);
        assert_eq!(drawn("<polygon", "opacity=\"1\" fill=\"#009E73"), 21);
    }

    #[test]
    fn names_take_as_many_rows_as_they_need() {
        let height = |count: usize| -> i32 {
            let lines: Vec<_> = (0..count).map(|_| line(1.0, 3)).collect();
            let text = drawn(&names(count), &lines).unwrap();
            text.split('"').nth(3).unwrap().parse().unwrap()
        };
        assert_eq!(height(1), height(4));
        assert_eq!(height(16) - height(4), 3 * KEY_ROW);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert_eq!(drawn(&[], &[]).unwrap_err().code(), "picture");
        assert!(drawn(&names(1), &[line(1.0, 1)]).is_ok());
        let many: Vec<_> = (0..17).map(|_| line(1.0, 3)).collect();
        let refusal = drawn(&names(17), &many).unwrap_err().to_string();
        assert!(refusal.contains("17 lines"), "{refusal}");
        assert!((1..MOST_LINES).all(|at| !(0..at).any(|other| stroke(other) == stroke(at))));
    }
}
