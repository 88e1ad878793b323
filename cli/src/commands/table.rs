//! Tables for people: Markdown, without colour and without borders to wrap.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

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
    table.add_rows(rows);
    table.to_string()
}
