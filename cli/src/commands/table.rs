//! Tables for people: Markdown, without colour and without borders to wrap. Cells quote files, so each is one line.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use trimtab_runtime::printable::Line;

/// A Markdown table. The names of its columns are separated by `;`, and `>` before a name sets its column's text right, as
/// numbers stand.
pub fn markdown<R: IntoIterator<Item = String>>(
    columns: &str,
    rows: impl IntoIterator<Item = R>,
) -> String {
    let names: Vec<&str> = columns.split(';').collect();
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(names.iter().map(|name| name.trim_start_matches('>')));
    for (index, _) in names.iter().enumerate().filter(|(_, name)| name.starts_with('>')) {
        if let Some(numbers) = table.column_mut(index) {
            numbers.set_cell_alignment(CellAlignment::Right);
        }
    }
    let line = |cell: String| Line(&cell).to_string();
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(line).collect::<Vec<String>>()));
    table.to_string()
}

/// A number with so many digits, or a dash where there is none.
pub fn number(value: Option<impl Into<f64>>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{:.digits$}", value.into()))
}
