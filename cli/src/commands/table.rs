//! Tables for people: Markdown, without colour and without borders to wrap. Cells quote files, so each is one line.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use trimtab_runtime::printable::Line;

/// Where a column's text stands.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A Markdown table.
pub fn markdown(columns: &[Column], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(columns.iter().map(|column| match column {
        Column::Left(name) | Column::Right(name) => *name,
    }));
    for (index, column) in columns.iter().enumerate() {
        if let (Column::Right(_), Some(numbers)) = (column, table.column_mut(index)) {
            numbers.set_cell_alignment(CellAlignment::Right);
        }
    }
    let line = |cell: &String| Line(cell).to_string();
    table.add_rows(rows.iter().map(|row| row.iter().map(line).collect::<Vec<String>>()));
    table.to_string()
}
