//! One panel of a picture: its axes, its levels and its curves, each with its band.

use super::{Canvas, Drawn, FAINT, INK, letters, short};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::ops::Range;

/// Height of the letters beside axes and in keys.
const LABEL: u32 = 13;
/// Half the width of a mark, and about how many marks a line has.
const MARK: i32 = 4;
const MARKED: usize = 10;
/// Room of a key's name: its line, and of each letter.
const KEY: (i32, i32) = (56, 8);

/// A measurement at a place, with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The place: a dose, a round.
    pub x: f64,
    /// What was measured.
    pub mean: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// The titles and ranges of a panel's axes.
pub(super) struct Panel<'a> {
    pub(super) x: Range<f64>,
    pub(super) y: Range<f64>,
    pub(super) x_title: Option<&'a str>,
    pub(super) y_title: &'a str,
}

pub(super) type Chart<'a, 'b> =
    ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl Panel<'_> {
    pub(super) fn draw<'a, 'b>(
        &self,
        area: &'b Canvas<'a>,
    ) -> std::result::Result<Chart<'a, 'b>, DrawingAreaErrorKind<std::io::Error>> {
        let mut chart = ChartBuilder::on(area)
            .margin_right(18)
            .margin_top(6)
            .x_label_area_size(if self.x_title.is_some() { 48 } else { 26 })
            .y_label_area_size(74)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let centre = (HPos::Center, VPos::Center);
        let number = |value: &f64| short(*value);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(INK.mix(0.6))
            .label_style(("sans-serif", 15).into_font().color(&INK))
            .axis_desc_style(letters(LABEL, centre))
            .x_labels(9)
            .y_labels(6)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .x_desc(self.x_title.unwrap_or_default())
            .y_desc(self.y_title)
            .draw()?;
        Ok(chart)
    }
}

/// The title of a whole picture.
pub(super) fn title(area: &Canvas, text: &str) -> Drawn {
    let style = letters(17, (HPos::Left, VPos::Center));
    area.draw(&Text::new(text.to_owned(), (16, 20), style))
}

/// The room that a name takes in a key.
pub(super) fn key_width(name: &str) -> i32 {
    KEY.0 + KEY.1 * name.chars().count() as i32
}

/// A name behind the line that it is the name of.
pub(super) fn key(area: &Canvas, (x, y): (i32, i32), name: &str, stroke: Stroke) -> Drawn {
    let line = vec![(x, y), (x + 22, y)];
    area.draw(&PathElement::new(line, stroke.colour.stroke_width(3)))?;
    let (middle, colour) = ((x + 11, y), stroke.colour.filled());
    match stroke.mark {
        Mark::None => {}
        Mark::Circle => area.draw(&Circle::new(middle, MARK, colour))?,
        Mark::Triangle => area.draw(&TriangleMarker::new(middle, MARK + 2, colour))?,
    }
    let style = letters(LABEL, (HPos::Left, VPos::Center));
    area.draw(&Text::new(name.to_owned(), (x + 28, y), style))
}

/// How a line is told from others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stroke {
    pub(super) colour: RGBColor,
    /// How opaque its band is.
    pub(super) band: f64,
    pub(super) mark: Mark,
}

/// What stands on some points of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Circle,
    Triangle,
}

impl Stroke {
    pub(super) fn plain(colour: RGBColor) -> Stroke {
        Stroke { colour, band: 0.18, mark: Mark::None }
    }
}

/// A line across the whole panel.
pub(super) fn level(chart: &mut Chart, at: f64, colour: RGBAColor) -> Drawn {
    let x = chart.x_range();
    let line = vec![(x.start, at), (x.end, at)];
    chart.draw_series(std::iter::once(PathElement::new(line, colour.stroke_width(1)))).map(drop)
}

/// A band and a line through the means.
pub(super) fn curve(chart: &mut Chart, points: &[Point], stroke: Stroke) -> Drawn {
    let (points, colour) = (drawn(points), stroke.colour);
    let bounds = bounds(chart);
    let lower = points.iter().map(|p| (p.x, bounds(p).0));
    let upper = points.iter().rev().map(|p| (p.x, bounds(p).1));
    let band: Vec<(f64, f64)> = lower.chain(upper).collect();
    if points.len() > 1 {
        chart.draw_series(std::iter::once(Polygon::new(band, colour.mix(stroke.band))))?;
    }
    let means = points.iter().map(|p| (p.x, p.mean));
    chart.draw_series(LineSeries::new(means.clone(), colour.stroke_width(2)))?;
    let some = means.step_by(points.len().div_ceil(MARKED).max(1));
    match stroke.mark {
        Mark::None => Ok(()),
        Mark::Circle => {
            chart.draw_series(some.map(|at| Circle::new(at, MARK, colour.filled()))).map(drop)
        }
        Mark::Triangle => {
            let marks = some.map(|at| TriangleMarker::new(at, MARK + 2, colour.filled()));
            chart.draw_series(marks).map(drop)
        }
    }
}

/// The intervals and the means themselves.
pub(super) fn marks(chart: &mut Chart, points: &[Point], colour: RGBColor) -> Drawn {
    let points = drawn(points);
    let bounds = bounds(chart);
    let bars = points.iter().map(|p| {
        let (low, high) = bounds(p);
        PathElement::new(vec![(p.x, low), (p.x, high)], colour.mix(0.7))
    });
    chart.draw_series(bars)?;
    let means = points.iter().map(|p| Circle::new((p.x, p.mean), 3, colour.filled()));
    chart.draw_series(means).map(drop)
}

/// The points that have a place and a mean, from left to right.
fn drawn(points: &[Point]) -> Vec<Point> {
    let mut points: Vec<Point> =
        points.iter().filter(|p| p.x.is_finite() && p.mean.is_finite()).copied().collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}

/// A point's interval inside the panel: a bound that is not known reaches to its edge.
fn bounds(chart: &Chart) -> impl Fn(&Point) -> (f64, f64) + use<> {
    let y = chart.y_range();
    move |p| (p.low.max(y.start), p.high.min(y.end))
}
