//! Margins of pairs under any plan, for composing plans of several vectors.

use super::likelihood;
use super::measure::{case, margin};
use super::subject::Subject;
use super::task::{Goal, Task};
use crate::error::{Error, Result};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::plan::Plan;

/// log p of the chosen answer less that of the rejected one, each per token, pair by pair. `progress` hears how many
/// more pairs are done.
pub fn margins(
    subject: &Subject,
    plan: &Plan,
    task: &Task,
    progress: &mut dyn FnMut(usize) -> Flow,
) -> Result<Vec<f64>> {
    let mut cases = Vec::with_capacity(task.items().len());
    for item in task.items() {
        if !matches!(item.goal, Goal::Pair { .. }) {
            let problem = "is no pair, expected prompt, chosen and rejected".to_owned();
            return Err(Error::Task { line: item.line, problem });
        }
        cases.push(case(subject, item, subject.prompt(&item.prompt)?)?);
    }
    let scores = likelihood::score(subject, plan, &cases, progress)?;
    Ok(scores.iter().map(|scores| margin(scores)).collect())
}
