//! The report of a proof.

use crate::commands::opened::Opened;
use crate::commands::verify::{line, row};
use crate::console::Console;
use crate::document::version_line;
use crate::error::Result;
use trimtab_steering::verify::{Check, Verdict};

/// The checks that failed, by name.
pub fn failed(checks: &[Check]) -> String {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed);
    failed.map(|check| check.name).collect::<Vec<_>>().join(", ")
}

/// Prints the checks with their figures.
pub fn print(
    checks: &[Check],
    (opened, adapter): (&Opened, Option<&str>),
    console: &Console,
) -> Result<()> {
    if console.is_json() {
        let document = opened
            .head("adapters")
            .with("adapter", adapter)
            .with("passed", failed(checks).is_empty())
            .with("checks", checks.iter().map(row).collect::<Vec<_>>());
        return console.print(&document);
    }
    let (model, identity) = (&opened.model, opened.model.identity());
    let mut lines = vec![
        version_line(),
        format!(
            "model   {} ({}, {}), weights {}",
            model.name(),
            identity.quantization,
            model.decoder().device().kind(),
            identity.weights_sha256.get(..12).unwrap_or_default(),
        ),
        format!("adapter {}", adapter.unwrap_or("a fresh one")),
        String::new(),
    ];
    lines.extend(checks.iter().map(line));
    console.say_line(lines.join("\n"))
}
