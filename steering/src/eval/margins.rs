//! Margins of pairs under any plan, for whoever composes plans of several vectors.

use super::likelihood::{self, Case};
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
        let wrong = |problem: &str| Error::Task { line: item.line, problem: problem.to_owned() };
        let Goal::Pair { chosen, rejected } = &item.goal else {
            return Err(wrong("is no pair, expected prompt, chosen and rejected"));
        };
        let answers = vec![subject.text(chosen)?, subject.text(rejected)?];
        if answers.iter().any(Vec::is_empty) {
            return Err(wrong("has an answer without any token"));
        }
        cases.push(Case { prompt: subject.prompt(&item.prompt)?, answers });
    }
    let scores = likelihood::score(subject, plan, &cases, progress)?;
    let margin = |scores: &Vec<f64>| match scores.as_slice() {
        [chosen, rejected] => chosen - rejected,
        _ => f64::NAN,
    };
    Ok(scores.iter().map(margin).collect())
}
