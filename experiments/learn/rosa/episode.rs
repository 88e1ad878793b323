//! One item from its wrong first answer on: up to three more tries in every arm, with every seed.

use super::answers::{Beginning, Prompt, Turn, Wish, answers, under};
use super::arms::{Arm, Context, Earlier, Feedback, Lessons};
use super::task::{Item, Task};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trimtab_adapters::host::LearningModel;
use trimtab_adapters::rosa::{
    CreditMask, GuardName, JournalEntry, JournalOutcome, Judgement, RosaHistory, RosaState,
};
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::text::Message;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tries after the first.
const TRIES: usize = 3;
/// What is said of a wrong answer.
const WRONG: &str = "That is wrong. Try again.";

/// An item with its first answer.
pub struct Asked {
    pub item: Item,
    pub first: Turn,
}

/// Items whose effect on each other is measured.
pub struct Others<'a> {
    /// Answered wrong at first; their judgements are the shuffled ones.
    pub wrong: Vec<&'a Asked>,
    /// Answered right at first; without it nothing is asked of others.
    pub right: Option<&'a Asked>,
}

/// An arm with one seed.
struct Episode<'a> {
    arm: &'a Arm,
    seed: u64,
    state: Option<RosaState>,
    history: RosaHistory,
    turns: Vec<Turn>,
    updates: Vec<Value>,
}

/// What all episodes of an item share.
pub struct Room<'a> {
    pub kit: &'a LearningModel,
    pub task: Task,
    pub beginning: &'a Beginning,
    pub asked: &'a Asked,
    pub others: Others<'a>,
    /// First updates by arm: seeds share them.
    pub known: BTreeMap<String, (Option<RosaState>, RosaHistory, Vec<Value>)>,
}

impl Room<'_> {
    /// Runs arms with seeds; a line of results, and the last states of the first seed.
    pub fn run(&mut self, due: &[(&Arm, u64)]) -> Result<(Value, Vec<(String, RosaState)>)> {
        let mut episodes = Vec::new();
        for (arm, seed) in due.iter().copied() {
            let turns = vec![self.asked.first.clone()];
            let (state, history) = (None, RosaHistory::default());
            episodes.push(Episode { arm, seed, state, history, turns, updates: Vec::new() });
        }
        let prompt = self.beginning.prompt(self.kit, self.task, &self.asked.item)?;
        for k in 0..TRIES {
            let open: Vec<usize> =
                (0..episodes.len()).filter(|at| !episodes[*at].ended()).collect();
            for at in &open {
                self.learn(&mut episodes[*at], k)?;
            }
            let wishes: Vec<Wish> =
                open.iter().map(|at| self.wish(&prompt, &episodes[*at], k)).collect();
            let turns = answers(self.kit, &wishes)?;
            for (at, turn) in open.into_iter().zip(turns) {
                episodes[at].turns.push(turn);
            }
        }
        let carried = self.carried(&episodes)?;
        let states = episodes.iter().filter(|e| e.seed == 0);
        let states = states.filter_map(|e| Some((e.arm.name.clone(), e.state.clone()?))).collect();
        let rows: Vec<Value> =
            episodes.iter().zip(carried).map(|(episode, carried)| episode.row(carried)).collect();
        let first = json!({ "text": self.asked.first.text, "value": self.asked.first.value });
        let line = json!({
            "task": self.task.name(), "item": self.asked.item.name, "right": self.asked.item.right,
            "first": first, "rows": rows,
        });
        Ok((line, states))
    }

    fn wish<'a>(&'a self, prompt: &'a Prompt, episode: &'a Episode, k: usize) -> Wish<'a> {
        let mut said = Vec::new();
        if episode.arm.context == Context::Words {
            for turn in &episode.turns {
                said.push(Message::new("assistant", turn.text.clone()));
                said.push(Message::new("user", WRONG));
            }
        }
        let banned = match episode.arm.earlier {
            Earlier::Allowed => Vec::new(),
            Earlier::Banned => episode.turns.iter().map(|t| t.trace.tokens.clone()).collect(),
        };
        let item = &self.asked.item;
        // The same draws in every arm.
        let key = Fingerprint::builder("learn_rosa").text(&item.name).number(episode.seed).finish();
        let draw = Some((key.to_u64(), k as u32 + 1));
        Wish { task: self.task, item, prompt, said, state: episode.state.as_ref(), banned, draw }
    }

    /// The update before try `k`; of the first, seeds share what came of it.
    fn learn(&mut self, episode: &mut Episode, k: usize) -> Result<()> {
        let arm = episode.arm;
        let Some(lessons) = &arm.lessons else { return Ok(()) };
        if k == 0
            && let Some((state, history, updates)) = self.known.get(&episode.arm.name)
        {
            episode.state = state.clone();
            episode.history = history.clone();
            episode.updates = updates.clone();
            return Ok(());
        }
        let served = episode.state.clone();
        for step in 0..lessons.steps {
            self.step(episode, lessons, served.as_ref(), (k, step))?;
        }
        if k == 0 {
            let Episode { state, history, updates, .. } = &*episode;
            let known = (state.clone(), history.clone(), updates.clone());
            self.known.insert(episode.arm.name.clone(), known);
        }
        Ok(())
    }

    /// One update; `served` is the version that the newest answer was made under.
    fn step(
        &self,
        episode: &mut Episode,
        lessons: &Lessons,
        served: Option<&RosaState>,
        (k, step): (usize, usize),
    ) -> Result<()> {
        let (kit, params) = (self.kit, lessons.rosa.params());
        let width = kit.model().decoder().spec().d_model;
        let untaught = RosaState::untaught(params, width, kit.digest(), 0)?;
        let state = episode.state.clone().unwrap_or_else(|| untaught.clone());
        let other = self.others.wrong.get(k % self.others.wrong.len().max(1));
        let (turn, from) = match (lessons.feedback, other, episode.turns.last()) {
            (Feedback::Own, _, Some(turn)) => (turn, served.unwrap_or(&untaught)),
            (Feedback::Shuffled, Some(other), _) => (&other.first, &untaught),
            _ => return Err("there is no answer to judge".into()),
        };
        let mut trace = under(kit, &turn.trace, (from, &state))?;
        trace.id = format!("{k}.{step}");
        let judgement = Judgement::value(-1.0);
        let judgement = match params.mask {
            CreditMask::AnswerSpan => judgement_about(kit, self.task, turn, judgement)?,
            CreditMask::Entropy | CreditMask::Uniform => judgement,
        };
        let history = &mut episode.history;
        #[allow(clippy::result_large_err)] // the adapters' own error, which the callee asks for
        let update = kit.with_frozen(params.block, &|| (), |model| {
            lessons.rosa.learn(history, model, &state, (&trace, &judgement))
        })?;
        episode.updates.push(entry_row(&update.entry));
        episode.state = Some(update.state.unwrap_or(state));
        Ok(())
    }

    /// Another item asked under the last state, greedily: whether one that was right stays right, and whether one that was
    /// wrong becomes right. Of the first seed.
    fn carried(&self, episodes: &[Episode]) -> Result<Vec<[Option<bool>; 2]>> {
        let others = match self.others.right {
            Some(right) => [Some(right), self.others.wrong.first().copied()],
            None => [None, None],
        };
        let mut carried = vec![[None; 2]; episodes.len()];
        let prompt = |other: &Asked| self.beginning.prompt(self.kit, self.task, &other.item);
        let prompts = others.map(|other| other.map(prompt).transpose());
        let [first, second] = prompts;
        let prompts = [first?, second?];
        let mut wishes = Vec::new();
        let mut places = Vec::new();
        for (at, episode) in episodes.iter().enumerate().filter(|(_, e)| e.seed == 0) {
            let Some(state) = episode.state.as_ref() else { continue };
            for (which, (other, prompt)) in others.iter().zip(&prompts).enumerate() {
                let (Some(Asked { item, .. }), Some(prompt)) = (other, prompt) else { continue };
                let (said, banned, state) = (Vec::new(), Vec::new(), Some(state));
                wishes.push(Wish {
                    task: self.task,
                    item,
                    prompt,
                    said,
                    state,
                    banned,
                    draw: None,
                });
                places.push((at, which));
            }
        }
        for (turn, (at, which)) in answers(self.kit, &wishes)?.iter().zip(places) {
            carried[at][which] = Some(turn.right);
        }
        Ok(carried)
    }
}

/// A judgement about the tokens of the number, where there is one.
fn judgement_about(
    kit: &LearningModel,
    task: Task,
    turn: &Turn,
    judgement: Judgement,
) -> Result<Judgement> {
    let tokenizer = kit.model().tokenizer()?;
    let text = |token: &u32| tokenizer.token_text(*token).unwrap_or_default();
    let texts: Vec<&str> = turn.trace.tokens.iter().map(text).collect();
    let span = task.span(&texts);
    Ok(if span.is_empty() { judgement } else { judgement.about(span) })
}

fn entry_row(entry: &JournalEntry) -> Value {
    let outcome = match &entry.outcome {
        JournalOutcome::Applied { .. } => "applied".to_owned(),
        JournalOutcome::Rejected { reason } => format!("rejected {reason:?}"),
        JournalOutcome::Skipped { reason } => format!("skipped {reason:?}"),
    };
    let guard = |name: GuardName| entry.guards.iter().find(|g| g.name == name).map(|g| g.value);
    let step =
        |read: &dyn Fn(&trimtab_adapters::rosa::StepReport) -> f64| entry.step.as_ref().map(read);
    json!({
        "outcome": outcome,
        "kl": step(&|s| s.kl_measured),
        "rise": step(&|s| s.log_p_change[1]),
        "norm": step(&|s| s.norm),
        "canary_mean": guard(GuardName::CanaryMean),
        "canary_max": guard(GuardName::CanaryMax),
        "bias": guard(GuardName::Bias),
    })
}

impl Episode<'_> {
    fn ended(&self) -> bool {
        self.turns.last().is_some_and(|turn| turn.right)
    }

    fn row(&self, [kept, moved]: [Option<bool>; 2]) -> Value {
        let tries: Vec<Value> = (1..self.turns.len()).map(|at| self.told(at)).collect();
        json!({
            "arm": self.arm.name, "seed": self.seed, "tries": tries, "updates": self.updates,
            "kept": kept, "moved": moved,
        })
    }

    fn told(&self, at: usize) -> Value {
        let (before, now) = self.turns.split_at(at);
        let Some(turn) = now.first() else { return Value::Null };
        let same_value = |t: &&Turn| t.value == turn.value && t.value.is_some();
        let same_text = |t: &Turn| t.text == turn.text;
        let again = before.iter().any(|t| same_value(&t) || same_text(t));
        let reworded = again && !before.iter().any(same_text);
        json!({
            "text": turn.text, "value": turn.value, "right": turn.right, "repeat": again, "reworded": reworded,
        })
    }
}
