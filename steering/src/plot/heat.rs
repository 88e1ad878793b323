//! A value per layer and position as coloured cells, the largest outlined.

use super::colour::{Scale, lightness};
use super::{Canvas, Drawn, FAINT, INK, letters, nothing_to_draw, short, svg};
use crate::error::Result;
use crate::file;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::path::Path;

/// Room above, for the title; below, for the columns' names and title; right, for the colours' key.
const ABOVE: i32 = 48;
const BELOW: i32 = 58;
const RIGHT: i32 = 104;
const LABEL: u32 = 12;
/// The narrowest and the widest cell.
const WIDTHS: (i32, i32) = (22, 72);
const HEIGHT: i32 = 26;
/// The narrowest cell that has room for a number.
const NUMBERED: i32 = 40;
/// Cells are narrowed until the picture is about this wide.
const USUAL_WIDTH: i32 = 760;

/// A table of values as colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatMap<'a> {
    /// Stands above.
    pub title: &'a str,
    /// What the rows are, and the name of each.
    pub rows: (&'a str, &'a [String]),
    /// What the columns are, and the name of each.
    pub columns: (&'a str, &'a [String]),
    /// What the values are.
    pub measure: &'a str,
    /// Row after row; what is not finite stays grey.
    pub values: &'a [f64],
}

#[derive(Debug, Clone, Copy)]
struct Grid {
    left: i32,
    width: i32,
    rows: i32,
    columns: i32,
}

impl HeatMap<'_> {
    /// Writes the picture as an SVG file.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(path, self.svg()?.as_bytes())
    }

    /// The picture as SVG.
    pub fn svg(&self) -> Result<String> {
        let finite = || self.values.iter().copied().filter(|v| v.is_finite());
        let low = finite().reduce(f64::min).ok_or_else(nothing_to_draw)?;
        let high = finite().reduce(f64::max).ok_or_else(nothing_to_draw)?;
        let scale = Scale::of(low, high);
        let grid = self.grid();
        svg(grid.size(self.title), |root| {
            self.names(root, grid)?;
            self.cells(root, grid, &scale)?;
            self.outline(root, grid, high)?;
            key(root, grid, (&scale, self.measure))
        })
    }

    fn grid(&self) -> Grid {
        let (rows, columns) = (self.rows.1.len() as i32, self.columns.1.len() as i32);
        let longest = self.rows.1.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = (USUAL_WIDTH / columns.max(1)).clamp(WIDTHS.0, WIDTHS.1);
        Grid { left: 48 + 7 * longest as i32, width, rows, columns }
    }

    fn names(&self, root: &Canvas, grid: Grid) -> Drawn {
        let centre = (HPos::Center, VPos::Center);
        let title = letters(17, (HPos::Left, VPos::Center));
        root.draw(&Text::new(self.title.to_owned(), (16, 22), title))?;
        for (row, name) in (0..).zip(self.rows.1) {
            let at = (grid.left - 8, grid.cell(row, 0).1 + HEIGHT / 2);
            root.draw(&Text::new(name.clone(), at, letters(LABEL, (HPos::Right, VPos::Center))))?;
        }
        for (column, name) in (0..).zip(self.columns.1) {
            let at = (grid.cell(0, column).0 + grid.width / 2, grid.bottom() + 14);
            root.draw(&Text::new(name.clone(), at, letters(LABEL, centre)))?;
        }
        let middle = (grid.left + grid.width * grid.columns / 2, grid.bottom() + 40);
        root.draw(&Text::new(self.columns.0.to_owned(), middle, letters(LABEL + 1, centre)))?;
        let side = letters(LABEL + 1, centre).transform(FontTransform::Rotate270);
        let middle = (18, (ABOVE + grid.bottom()) / 2);
        root.draw(&Text::new(self.rows.0.to_owned(), middle, side))
    }

    fn cells(&self, root: &Canvas, grid: Grid, scale: &Scale) -> Drawn {
        for (at, value) in grid.places().zip(self.values) {
            let colour = if value.is_finite() { scale.colour(*value) } else { FAINT };
            // One pixel of white between cells, so that neighbours of one colour stay apart.
            let to = (at.0 + grid.width - 1, at.1 + HEIGHT - 1);
            root.draw(&Rectangle::new([at, to], colour.filled()))?;
            if grid.width >= NUMBERED && value.is_finite() {
                let ink = if lightness(colour) < 140.0 { WHITE } else { BLACK };
                let style = letters(LABEL - 1, (HPos::Center, VPos::Center)).color(&ink);
                let middle = (at.0 + grid.width / 2, at.1 + HEIGHT / 2);
                root.draw(&Text::new(format!("{value:.2}"), middle, style))?;
            }
        }
        Ok(())
    }

    /// The first of the largest values.
    fn outline(&self, root: &Canvas, grid: Grid, largest: f64) -> Drawn {
        let Some((at, _)) = grid.places().zip(self.values).find(|(_, v)| **v == largest) else {
            return Ok(());
        };
        let (right, below) = (at.0 + grid.width - 1, at.1 + HEIGHT - 1);
        // The backend draws a rectangle's own border one pixel wide, whatever is asked for.
        let corners = vec![at, (right, at.1), (right, below), (at.0, below), at];
        root.draw(&PathElement::new(corners, BLACK.stroke_width(2)))
    }
}

impl Grid {
    /// Room for everything, the title included.
    fn size(self, title: &str) -> (u32, u32) {
        let width = self.left + self.width * self.columns + RIGHT;
        let width = width.max(32 + 10 * title.chars().count() as i32);
        (width as u32, (self.bottom() + BELOW) as u32)
    }

    fn bottom(self) -> i32 {
        ABOVE + HEIGHT * self.rows
    }

    fn cell(self, row: i32, column: i32) -> (i32, i32) {
        (self.left + self.width * column, ABOVE + HEIGHT * row)
    }

    /// Every cell, row after row.
    fn places(self) -> impl Iterator<Item = (i32, i32)> {
        (0..self.rows).flat_map(move |row| (0..self.columns).map(move |c| self.cell(row, c)))
    }
}

/// What the colours mean.
fn key(root: &Canvas, grid: Grid, (scale, measure): (&Scale, &str)) -> Drawn {
    const STEPS: i32 = 64;
    let left = grid.left + grid.width * grid.columns + 24;
    let (top, height) = (ABOVE, HEIGHT * grid.rows);
    let value = |share: f64| scale.range.start + share * (scale.range.end - scale.range.start);
    for step in 0..STEPS {
        let colour = scale.colour(value(f64::from(2 * step + 1) / f64::from(2 * STEPS)));
        let (from, to) = (height * (STEPS - step - 1) / STEPS, height * (STEPS - step) / STEPS);
        let band = Rectangle::new([(left, top + from), (left + 14, top + to)], colour.filled());
        root.draw(&band)?;
    }
    for share in [0.0, 0.5, 1.0] {
        let at = (left + 20, top + (f64::from(height) * (1.0 - share)).round() as i32);
        let style = letters(LABEL - 1, (HPos::Left, VPos::Center));
        root.draw(&Text::new(short(value(share)), at, style))?;
    }
    let side = letters(LABEL, (HPos::Center, VPos::Center)).transform(FontTransform::Rotate270);
    root.draw(&Text::new(measure.to_owned(), (left + 66, top + height / 2), side.color(&INK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{prefix}{i}")).collect()
    }

    fn drawn(rows: usize, columns: usize, values: &[f64]) -> Result<String> {
        let (rows, columns) = (names("position ", rows), names("", columns));
        let map = HeatMap {
            title: "held-out separation",
            rows: ("position", &rows),
            columns: ("block", &columns),
            measure: "cosine",
            values,
        };
        map.svg()
    }

    #[test]
    fn every_cell_has_its_colour_and_the_largest_an_outline() {
        let text = drawn(2, 3, &[0.0, 1.0, 2.0, 4.0, f64::NAN, 3.0]).unwrap();
        // viridis at 0, 1/4, 1/2, 1, none, 3/4
        for colour in ["#440154", "#3B528B", "#21918C", "#FDE725", "#DEDEDE", "#5EC962"] {
            assert!(text.contains(colour), "{colour}");
        }
        let outline = text.lines().find(|line| line.starts_with("<polyline")).unwrap();
        let largest = text.lines().find(|line| line.contains("#FDE725")).unwrap();
        let mut numbers = largest.split('"');
        let (x, y) = (numbers.nth(1).unwrap(), numbers.nth(1).unwrap());
        assert!(outline.contains(&format!("points=\"{x},{y} ")), "{outline} {largest}");
        for word in ["position 1", "block", "cosine", "held-out separation", ">4.00<", ">3.00<"] {
            assert!(text.replace('\n', "").contains(word), "{word}");
        }
    }

    #[test]
    fn many_columns_stay_narrow_and_have_no_numbers() {
        let values: Vec<f64> = (0..90).map(|i| f64::from(i).sin()).collect();
        let text = drawn(3, 30, &values).unwrap();
        let width: u32 = text.split('"').nth(1).unwrap().parse().unwrap();
        assert!(width < 1100, "{width}");
        assert!(!text.replace('\n', "").contains(">0.84<"));
    }

    #[test]
    fn nothing_is_no_picture() {
        assert_eq!(drawn(1, 1, &[f64::NAN]).unwrap_err().code(), "picture");
        assert!(drawn(1, 1, &[0.5]).is_ok());
    }
}
