//! Pictures of what was measured: a dose–response curve, lines round by round, and a heat map over layers and positions.
//!
//! SVG only, because a text in it needs no font on the machine that draws it. The ground is white whatever the viewer's
//! theme, lines are of Okabe and Ito's colours and maps of even steps of lightness, so that nothing is told by hue
//! alone.

mod colour;
mod dose;
mod heat;
mod lines;
mod panel;

pub use dose::DoseResponse;
pub use heat::HeatMap;
pub use lines::{LineChart, LinePanel};
pub use panel::Point;

use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{DrawingArea, IntoDrawingArea, RGBColor, SVGBackend, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont, TextStyle};
use std::ops::Range;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

const INK: RGBColor = RGBColor(40, 40, 40);
/// Grid lines, and places without a value.
const FAINT: RGBColor = RGBColor(222, 222, 222);

/// The text of a picture.
fn svg(size: (u32, u32), draw: impl FnOnce(&Canvas) -> Drawn) -> Result<String> {
    let mut text = String::new();
    let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
    let drawn = root.fill(&WHITE).and_then(|()| draw(&root)).and_then(|()| root.present());
    drop(root);
    drawn.map_err(|error| Error::Picture { reason: error.to_string() })?;
    Ok(text)
}

/// Letters of a size in pixels.
fn letters(size: u32, (h, v): (HPos, VPos)) -> TextStyle<'static> {
    // The backend writes 1/1.24 of the size it is given.
    let size = (f64::from(size) * 1.24).round() as u32;
    TextStyle::from(("sans-serif", size).into_font()).color(&INK).pos(Pos::new(h, v))
}

/// What an axis shows: every finite value, with some room; none if there is none.
fn span(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    // A range without width has no scale.
    let room = if high > low { 0.05 * (high - low) } else { 0.05 * high.abs().max(1.0) };
    Some(low - room..high + room)
}

/// A number with as many decimals as it needs, at most three.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn nothing_to_draw() -> Error {
    Error::Picture { reason: "there is no finite value to draw".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_every_finite_value() {
        let range = span([1.0, f64::INFINITY, -3.0, f64::NAN].into_iter()).unwrap();
        assert!(range.start < -3.0 && range.end > 1.0 && range.end < 1.5);
        let single = span([2.0].into_iter()).unwrap();
        assert!(single.start < 2.0 && single.end > 2.0);
        assert!(span([f64::NAN].into_iter()).is_none());
    }

    #[test]
    fn numbers_are_short() {
        let expected = [(0.5, "0.5"), (1.0, "1"), (-0.0001, "0"), (1.0996, "1.1"), (20.0, "20")];
        for (value, text) in expected {
            assert_eq!(short(value), text);
        }
    }
}
