//! Adapters and versions as tables for people.

use crate::commands::table::{markdown, number};
use trimtab_adapters::host::{AdapterSummary, AdapterVersionSummary};
use trimtab_adapters::rosa::GuardReading;

/// Adapters, one a row.
pub fn adapters(list: &[AdapterSummary]) -> String {
    let row = |adapter: &AdapterSummary| {
        [
            adapter.id.clone(),
            adapter.method.clone(),
            adapter.version.to_string(),
            adapter.site.clone().unwrap_or_else(|| "-".to_owned()),
            number(Some(adapter.norm), 3),
            adapter.feedback.to_string(),
            adapter.duels.to_string(),
            adapter.bytes.to_string(),
            adapter.paused.clone().unwrap_or_else(|| "-".to_owned()),
            adapter.weights_sha256.get(..12).unwrap_or_default().to_owned(),
        ]
    };
    let columns =
        "adapter;method;>version;site;>norm;>lessons;>duels;>bytes;paused;weights".to_owned();
    markdown(&columns, list.iter().map(row))
}

/// Versions, one a row.
pub fn versions(list: &[AdapterVersionSummary]) -> String {
    let row = |version: &AdapterVersionSummary| {
        [
            version.version.to_string(),
            version.parent.to_string(),
            match version.restores {
                Some(restored) => format!("{} to {restored}", version.cause),
                None => version.cause.clone(),
            },
            version.said.as_ref().map_or("-".to_owned(), ToString::to_string),
            number(version.kl, 4),
            number(Some(version.norm), 3),
            closest(&version.guards),
            version.lesson.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    markdown(">version;>parent;cause;said;>KL;>norm;closest guard;lesson", list.iter().map(row))
}

/// The guard that had least room, with its value and limit.
fn closest(guards: &[GuardReading]) -> String {
    let share = |guard: &&GuardReading| guard.value / guard.limit;
    let limited = guards.iter().filter(|guard| guard.limit > 0.0);
    let closest = limited.max_by(|a, b| share(a).total_cmp(&share(b)));
    closest.map_or("-".to_owned(), |guard| {
        format!("{} {:.4} of {}", guard_name(guard), guard.value, guard.limit)
    })
}

/// The name of a guard, as JSON has it.
pub fn guard_name(guard: &GuardReading) -> String {
    let name = serde_json::to_value(guard.name).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}
