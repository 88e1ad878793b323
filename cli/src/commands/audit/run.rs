//! Reads the interventions of a state folder and tells them, as a list or as the story of one answer.

use super::args::{AuditArgs, AuditCommand, AuditReading};
use crate::commands::state::with_store;
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::head;
use crate::error::{Error, Result};
use trimtab_adapters::store::{GuardActionRow, now_ms};
use trimtab_server::wire::audit::AuditEntry;

/// Whether what was taken back is shown in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Shown,
    Hidden,
}

/// A row, with what was taken back only if it was asked for.
fn entry(row: GuardActionRow, words: Words) -> AuditEntry {
    let mut entry = AuditEntry::from(row);
    entry.row.text = entry.row.text.filter(|_| words == Words::Shown);
    entry
}

/// Lists interventions, or tells the story of one request.
pub fn run(args: AuditArgs, console: &Console) -> Result<()> {
    let (AuditReading { text, state_dir }, request) = match args.command {
        None => (args.reading, None),
        Some(AuditCommand::Show { request, reading }) => (reading, Some(request)),
    };
    let rows = with_store(state_dir.as_ref(), async |store| match &request {
        None => {
            let age = args.since.and_then(|age| i64::try_from(age.as_millis()).ok());
            let age = age.unwrap_or(i64::MAX);
            Ok(store.interventions(now_ms().saturating_sub(age), args.limit).await?)
        }
        Some(request) => {
            let rows = store.interventions_of(request).await?;
            let nothing = || format!("{request} has no intervention here");
            if rows.is_empty() { Err(Error::usage("REQUEST", nothing())) } else { Ok(rows) }
        }
    })?;
    let words = if text { Words::Shown } else { Words::Hidden };
    if console.is_json() {
        let entries: Vec<AuditEntry> = rows.into_iter().map(|row| entry(row, words)).collect();
        return console.print(&head("audit", None).with("interventions", entries));
    }
    match request {
        None => list(&rows, words, console),
        Some(_) => story(&rows, words, console),
    }
}

fn list(rows: &[GuardActionRow], words: Words, console: &Console) -> Result<()> {
    let more = if words == Words::Shown { ";taken back" } else { "" };
    let columns =
        format!("request;owner;>ms since 1970;watch;action;>from;>at;>times;>score;outcome{more}");
    let cells = |row: &GuardActionRow| {
        let mut cells = vec![
            row.request.clone(),
            row.owner.clone(),
            row.when_ms.to_string(),
            row.watch.clone(),
            row.action.clone(),
            row.from.to_string(),
            row.at.to_string(),
            row.count.to_string(),
            row.score.map(number).unwrap_or_default(),
            row.outcome.clone(),
        ];
        if words == Words::Shown {
            cells.push(taken_back(row, words).unwrap_or_default());
        }
        cells
    };
    console.say_line(markdown(&columns, rows.iter().map(cells)))
}

/// What happened, a line for each step.
fn story(rows: &[GuardActionRow], words: Words, console: &Console) -> Result<()> {
    let mut told: Option<(&str, u32)> = None;
    let mut step = 0;
    for row in rows {
        let answer = (row.response.as_str(), row.choice);
        if told.replace(answer) != Some(answer) {
            step = 0;
            console.say_line(heading(row))?;
        }
        step += 1;
        console.say_line(format!("{step}. {}", sentence(row)))?;
        if let Some(words) = taken_back(row, words) {
            console.say_line(format!("   taken back: {words}"))?;
        }
    }
    Ok(())
}

fn heading(row: &GuardActionRow) -> String {
    let judged = row.policy_sha256.as_deref().map(|policy| format!(", policy {}", short(policy)));
    format!(
        "request {}, answer {} of {}, asked by {}; weights {}, prompt {}{}",
        row.request,
        row.choice,
        row.response,
        row.owner,
        short(&row.weights_sha256),
        short(&row.prompt_sha256),
        judged.unwrap_or_default(),
    )
}

fn sentence(row: &GuardActionRow) -> String {
    let mut parts = vec![format!("attempt {}, token {}: {}", row.attempt + 1, row.at, row.watch)];
    let found = [
        row.state.as_ref().map(|state| format!("state {state}")),
        row.score.map(|score| format!("score {}", number(score))),
        row.margin.map(|margin| format!("margin {}", number(margin))),
    ];
    let found: Vec<String> = found.into_iter().flatten().collect();
    if !found.is_empty() {
        parts.push(format!("({})", found.join(", ")));
    }
    parts.push(row.action.clone());
    if row.count > 1 {
        parts.push(format!("{} times, first at token {}", row.count, row.from));
    }
    if row.discarded > 0 {
        parts.push(format!("to token {} by {}, {} taken back", row.from, row.rule, row.discarded));
    }
    if row.guidance != "none" && !row.guidance.is_empty() {
        parts.push(format!("guided by {}", row.guidance));
    }
    if !row.ban.is_empty() {
        parts.push(format!("{} banned", row.ban.len()));
    }
    format!("{}: {}", parts.join(" "), row.outcome)
}

/// What was taken back, or why it is not shown; `None` where nothing was.
fn taken_back(row: &GuardActionRow, words: Words) -> Option<String> {
    match (&row.text, words == Words::Shown) {
        (Some(words), true) => Some(format!("{words:?}")),
        (Some(_), false) => Some("not shown; ask with --text".to_owned()),
        (None, _) if row.discarded > 0 => {
            Some("not kept; serve --audit-text keeps it as long as a trace".to_owned())
        }
        (None, _) => None,
    }
}

fn number(value: f64) -> String {
    format!("{value:.3}")
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
