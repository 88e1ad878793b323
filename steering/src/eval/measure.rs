//! Measuring arms: every one on the same items.

use super::answers::Answering;
use super::arm::Arm;
use super::likelihood::{self, Case};
use super::reply::Reply;
use super::rule::Rule;
use super::subject::Subject;
use super::task::{Goal, Item, Task};
use super::variety::Variety;
use super::{Event, Progress, exact};
use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::scope::Scope;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::plan::Plan;

/// What is asked of every arm.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The items.
    pub task: &'a Task,
    /// Judges answers to prompts, and to pairs if it is given.
    pub rule: Option<&'a Rule>,
    /// How answers are made.
    pub answering: Answering,
}

/// What an item's score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Whether the rule is kept.
    PassRate,
    /// log p of the chosen answer less that of the rejected one, each per token.
    Margin,
    /// Whether the right choice is the likeliest per token.
    Accuracy,
    /// Whether the answer is the expected one.
    ExactMatch,
}

impl Metric {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Metric::PassRate => "pass_rate",
            Metric::Margin => "margin",
            Metric::Accuracy => "accuracy",
            Metric::ExactMatch => "exact_match",
        }
    }
}

/// What an arm did, item by item in the order of the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The arm.
    pub arm: Arm,
    /// Scores of the question's metric.
    pub scores: Vec<f64>,
    /// Margins, where items are pairs.
    pub margins: Option<Vec<f64>>,
    /// Answers, where the metric reads any.
    pub replies: Vec<Reply>,
}

impl Measured {
    /// How varied its answers are; `None` if it gave none.
    pub fn variety(&self) -> Option<Variety> {
        (!self.replies.is_empty()).then(|| Variety::of(&self.replies))
    }

    /// The share of its answers that keep a rule; `None` if it gave none.
    pub fn share(&self, rule: &Rule) -> Option<f64> {
        let kept = self.replies.iter().filter(|reply| rule.passes(reply)).count();
        (!self.replies.is_empty()).then(|| kept as f64 / self.replies.len() as f64)
    }
}

impl Question<'_> {
    /// The metric that decides: what the items ask for, or the rule where there is one.
    pub fn metric(&self) -> Result<Metric> {
        let goal = self.task.items().first().map(|item| &item.goal);
        match (goal, self.rule) {
            (Some(Goal::Rule), None) => Err(Error::NoRule),
            (Some(Goal::Rule | Goal::Pair { .. }), Some(_)) => Ok(Metric::PassRate),
            (Some(Goal::Pair { .. }), None) => Ok(Metric::Margin),
            (Some(goal @ (Goal::Choice { .. } | Goal::Exact(_))), Some(_)) => {
                Err(Error::RuleUnused { kind: goal.kind() })
            }
            (Some(Goal::Choice { .. }), None) => Ok(Metric::Accuracy),
            (Some(Goal::Exact(_)), None) | (None, _) => Ok(Metric::ExactMatch),
        }
    }

    /// Measures arms one after another. A progress that cancels ends it with an error.
    pub fn measure(
        &self,
        subject: &Subject,
        file: &VectorFile,
        arms: &[Arm],
        progress: Progress,
    ) -> Result<Vec<Measured>> {
        let metric = self.metric()?;
        // Whatever cannot act is refused before the first arm is run.
        let plans = arms.iter().map(|arm| arm.plan(file)).collect::<Result<Vec<Plan>>>()?;
        let mut all = Vec::with_capacity(arms.len());
        for (arm, plan) in arms.iter().zip(&plans) {
            let passes = usize::from(self.answers(metric)) + usize::from(self.compares());
            let items = passes * self.task.items().len();
            if progress(Event::Begun { what: &arm.label(), items }) == Flow::Cancel {
                return Err(Error::Cancelled);
            }
            let run = Run { subject, arm, plan, scope: arm.scope(file) };
            all.push(self.one(&run, &mut |items| progress(Event::Done { items }))?);
        }
        Ok(all)
    }

    /// Whether answers are made.
    fn answers(&self, metric: Metric) -> bool {
        match metric {
            Metric::PassRate | Metric::ExactMatch => true,
            Metric::Margin | Metric::Accuracy => false,
        }
    }

    /// Whether given answers are scored.
    fn compares(&self) -> bool {
        self.task.items().first().is_some_and(|item| !candidates(&item.goal).is_empty())
    }

    fn one(&self, run: &Run, progress: &mut dyn FnMut(usize) -> Flow) -> Result<Measured> {
        let (items, metric) = (self.task.items(), self.metric()?);
        let prompt = |item: &Item| run.subject.prompt(&run.arm.prompt(&item.prompt));
        let prompts = items.iter().map(prompt).collect::<Result<Vec<Vec<u32>>>>()?;
        if let Some(scope) = run.scope {
            prompts.iter().try_for_each(|prompt| scope.admit(prompt))?;
        }
        let replies = if self.answers(metric) {
            self.answering.answer(run.subject, run.plan, &prompts, progress)?
        } else {
            Vec::new()
        };
        let likely =
            if self.compares() { run.likely(items, prompts, progress)? } else { Vec::new() };
        let pairs = items.first().is_some_and(|item| matches!(item.goal, Goal::Pair { .. }));
        let margins: Option<Vec<f64>> =
            pairs.then(|| likely.iter().map(|scores| margin(scores)).collect());
        let scores = match (metric, &margins) {
            (Metric::Margin, Some(margins)) => margins.clone(),
            (Metric::Accuracy, _) => {
                zip(items, &likely, |item, scores: &Vec<f64>| is_right(item, scores))
            }
            (Metric::PassRate, _) => {
                zip(items, &replies, |_, reply| self.rule.is_some_and(|rule| rule.passes(reply)))
            }
            (Metric::ExactMatch | Metric::Margin, _) => zip(items, &replies, is_exact),
        };
        Ok(Measured { arm: run.arm.clone(), scores, margins, replies })
    }
}

/// One arm on one model.
struct Run<'a> {
    subject: &'a Subject<'a>,
    arm: &'a Arm,
    plan: &'a Plan,
    scope: Option<&'a Scope>,
}

impl Run<'_> {
    /// Mean log-probability per token of every item's candidates.
    fn likely(
        &self,
        items: &[Item],
        prompts: Vec<Vec<u32>>,
        progress: &mut dyn FnMut(usize) -> Flow,
    ) -> Result<Vec<Vec<f64>>> {
        let pairs = items.iter().zip(prompts);
        let cases = pairs.map(|(item, prompt)| case(self.subject, item, prompt));
        let cases = cases.collect::<Result<Vec<Case>>>()?;
        likelihood::score(self.subject, self.plan, &cases, progress)
    }
}

/// An item's given answers behind its prompt.
pub(super) fn case(subject: &Subject, item: &Item, prompt: Vec<u32>) -> Result<Case> {
    let texts = candidates(&item.goal).into_iter();
    let answers = texts.map(|text| subject.text(text)).collect::<Result<Vec<Vec<u32>>>>()?;
    if answers.iter().any(Vec::is_empty) {
        let problem = "has an answer without any token".to_owned();
        return Err(Error::Task { line: item.line, problem });
    }
    Ok(Case { prompt, answers })
}

/// The given answers of an item.
fn candidates(goal: &Goal) -> Vec<&str> {
    match goal {
        Goal::Rule | Goal::Exact(_) => Vec::new(),
        Goal::Pair { chosen, rejected } => vec![chosen, rejected],
        Goal::Choice { choices, .. } => choices.iter().map(String::as_str).collect(),
    }
}

/// Of the answers of a pair.
pub(super) fn margin(scores: &[f64]) -> f64 {
    match scores {
        [chosen, rejected] => chosen - rejected,
        _ => f64::NAN,
    }
}

/// Whether the right choice is the likeliest; a tie is no knowledge.
fn is_right(item: &Item, scores: &[f64]) -> bool {
    let Goal::Choice { right, .. } = &item.goal else { return false };
    let Some(own) = scores.get(*right) else { return false };
    scores.iter().enumerate().all(|(at, other)| at == *right || other < own)
}

fn is_exact(item: &Item, reply: &Reply) -> bool {
    matches!(&item.goal, Goal::Exact(expected) if exact::matches(&reply.text, expected))
}

/// 1 for every item that passes, 0 for the others.
fn zip<T>(items: &[Item], found: &[T], passes: impl Fn(&Item, &T) -> bool) -> Vec<f64> {
    items.iter().zip(found).map(|(item, found)| f64::from(u8::from(passes(item, found)))).collect()
}
