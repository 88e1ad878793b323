//! Answers to many prompts at once, each with the trace that it can be judged by.

use super::task::{Item, Task};
use std::sync::Arc;
use trimtab_adapters::host::{LearningModel, StateRecorder};
use trimtab_adapters::rosa::{
    AnswerTrace, BlockKind, BlockState, OutputHead, RosaState, TraceReadout,
};
use trimtab_runtime::generate::{Answer, Flow, Generation, Request, run};
use trimtab_runtime::logits::{Context, LogitsProcessor};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Sampling, SamplingParams, Step};
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::text::Message;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Temperature of every try but the first.
const TEMPERATURE: f32 = 0.7;
/// Tokens that a trace lists of each position.
const LISTED: usize = 64;
/// Answers that run together.
const TOGETHER: usize = 48;

/// One try.
#[derive(Debug, Clone)]
pub struct Turn {
    pub text: String,
    pub value: Option<String>,
    pub right: bool,
    pub trace: AnswerTrace,
}

/// A prompt whose keys and values are there but for its last token.
pub struct Prompt {
    tokens: Vec<u32>,
    session: Session,
}

/// What an answer is made from.
pub struct Wish<'a> {
    pub task: Task,
    pub item: &'a Item,
    pub prompt: &'a Prompt,
    /// What follows the prompt: earlier answers, and what was said of them.
    pub said: Vec<Message>,
    pub state: Option<&'a RosaState>,
    pub banned: Vec<Vec<u32>>,
    /// `None` for the likeliest tokens.
    pub draw: Option<(u64, u32)>,
}

/// The last token of a whole answer may not follow the others.
#[derive(Debug)]
struct Ban(Vec<Vec<u32>>);

impl LogitsProcessor for Ban {
    fn process(&self, context: &Context, logits: &mut [f32]) -> trimtab_runtime::Result<()> {
        let ends = self.0.iter().filter_map(|answer| answer.split_last());
        for (last, _) in ends.filter(|(_, before)| context.generated() == *before) {
            logits.iter_mut().skip(*last as usize).take(1).for_each(|l| *l = f32::NEG_INFINITY);
        }
        Ok(())
    }
}

/// What all prompts of a task begin with, run once.
pub struct Beginning {
    session: Session,
}

impl Beginning {
    /// Of the prompts of these items.
    pub fn of(kit: &LearningModel, task: Task, items: &[Item]) -> Result<Beginning> {
        let mut prompts = items.iter().map(|item| kit.model().chat_prompt(&task.ask(item)));
        let mut common = prompts.next().ok_or("a task has no items")??;
        for prompt in prompts {
            let same = common.iter().zip(&prompt?).take_while(|(a, b)| a == b).count();
            common.truncate(same);
        }
        let mut session = kit.model().session(Plan::empty())?;
        session.push_prompt(&common)?;
        session.run()?;
        Ok(Beginning { session })
    }

    pub fn prompt(&self, kit: &LearningModel, task: Task, item: &Item) -> Result<Prompt> {
        let tokens = kit.model().chat_prompt(&task.ask(item))?;
        let mut session = self.session.fork();
        let Some(rest) = tokens.strip_prefix(session.tokens()) else {
            return Err("a prompt does not begin as the others".into());
        };
        let (_, rest) = rest.split_last().ok_or("a prompt has nothing of its own")?;
        if !rest.is_empty() {
            session.push_prompt(rest)?;
            session.run()?;
        }
        Ok(Prompt { tokens, session })
    }
}

impl Prompt {
    /// A sequence that has this prompt and what follows it, under a plan that touches no key and no value.
    fn session(&self, tokens: &[u32], plan: Plan) -> Result<Session> {
        let known = self.tokens.len() - 1;
        let mut session = self.session.fork();
        session.replan(plan, History::Keep)?;
        if !tokens.starts_with(&self.tokens) || session.len() != known {
            return Err("a conversation does not begin with its first prompt".into());
        }
        session.push_prompt(tokens.get(known..).unwrap_or_default())?;
        Ok(session)
    }
}

/// Makes all answers.
pub fn answers(kit: &LearningModel, wishes: &[Wish]) -> Result<Vec<Turn>> {
    let mut turns = Vec::with_capacity(wishes.len());
    for some in wishes.chunks(TOGETHER) {
        let (mut generations, mut handles) = (Vec::new(), Vec::new());
        for wish in some {
            let shape = (kit.model().decoder().spec().d_model, layers(kit));
            let (recorder, handle) = StateRecorder::new(shape, BlockKind::LastMlpLora);
            generations.push(wish.generation(kit)?.watched_by(recorder));
            handles.push(handle);
        }
        run(&mut generations, &mut |_, _| Flow::Continue)?;
        for ((generation, handle), wish) in generations.into_iter().zip(handles).zip(some) {
            let answer = generation.into_answer()?;
            let recording = handle.take();
            let mut trace = traced(&answer, wish.state);
            trace.states = without(recording.finals, wish.state);
            trace.last_block = recording.last_block;
            let value = wish.task.value(&answer.text);
            let right = value.as_deref() == Some(wish.item.right.as_str());
            turns.push(Turn { text: answer.text, value, right, trace });
        }
    }
    Ok(turns)
}

fn layers(kit: &LearningModel) -> usize {
    kit.model().decoder().spec().n_layers()
}

impl Wish<'_> {
    fn generation(&self, kit: &LearningModel) -> Result<Generation> {
        let model = kit.model();
        let mut messages = self.task.ask(self.item);
        messages.extend(self.said.iter().cloned());
        let tokens = model.chat_prompt(&messages)?;
        let plan = match self.state {
            Some(state) => state.block.in_force(&Plan::empty(), layers(kit))?,
            None => Plan::empty(),
        };
        let session = self.prompt.session(&tokens, plan)?;
        let sampled = SamplingParams { temperature: TEMPERATURE, ..SamplingParams::default() };
        let sampling = match self.draw {
            Some(_) => sampled.check()?,
            None => Sampling::Greedy,
        };
        let (seed, choice) = self.draw.unwrap_or_default();
        let mut request = Request { sampling, seed, choice, ..Request::default() };
        request.max_tokens = Some(self.task.tokens());
        request.top_logprobs = LISTED;
        if !self.banned.is_empty() {
            request.processors.push(Arc::new(Ban(self.banned.clone())));
        }
        Ok(Generation::new(session, model.tokenizer()?.clone(), request)?)
    }
}

/// What the token loop read of an answer.
fn traced(answer: &Answer, state: Option<&RosaState>) -> AnswerTrace {
    let version = state.map_or(0, |state| state.version);
    let mut trace =
        AnswerTrace { version, tokens: answer.tokens.clone(), ..AnswerTrace::default() };
    read(&mut trace, &answer.steps.iter().flatten().collect::<Vec<_>>());
    trace
}

/// `final` as it was before an offset.
// finals [T, d] -> [T, d]
fn without(mut finals: Vec<f32>, state: Option<&RosaState>) -> Vec<f32> {
    if let Some(BlockState::FinalOffset(offset)) = state.map(|state| &state.block) {
        let delta = &offset.delta;
        for row in finals.chunks_mut(delta.len().max(1)) {
            row.iter_mut().zip(delta).for_each(|(x, d)| *x -= d);
        }
    }
    finals
}

/// A trace as if another version had given the answer; versions are those of one block.
pub fn under(
    kit: &LearningModel,
    trace: &AnswerTrace,
    (from, to): (&RosaState, &RosaState),
) -> Result<AnswerTrace> {
    let mut trace = AnswerTrace { version: to.version, ..trace.clone() };
    if from.block == to.block {
        return Ok(trace);
    }
    let head = kit.model().decoder().head();
    let width = OutputHead::width(&head).max(1);
    let served: Vec<f32> = match (&from.block, &to.block, &mut trace.last_block) {
        (_, BlockState::FinalOffset(offset), _) => {
            let rows = trace.states.chunks(width);
            rows.flat_map(|row| row.iter().zip(&offset.delta).map(|(h, d)| h + d)).collect()
        }
        (BlockState::LastMlpLora(old), BlockState::LastMlpLora(new), Some(last)) => {
            let rows = last.resid_post.chunks_mut(width).zip(last.resid_mid.chunks(width));
            rows.for_each(|(post, mid)| {
                let pushes = old.push(mid).into_iter().zip(new.push(mid));
                post.iter_mut().zip(pushes).for_each(|(x, (old, new))| *x += new - old);
            });
            trace.states = OutputHead::norm(&head).apply(&last.resid_post);
            trace.states.clone()
        }
        _ => return Err("a trace and a state are of different blocks".into()),
    };
    let logits = OutputHead::scores(&head, &served)?;
    let rows = logits.chunks(OutputHead::vocabulary(&head).max(1)).zip(&trace.tokens);
    let steps: Vec<Step> = rows.map(|(row, token)| Step::of(*token, row, LISTED)).collect();
    read(&mut trace, &steps.iter().collect::<Vec<_>>());
    Ok(trace)
}

/// Writes down what was read off the logits of each position.
fn read(trace: &mut AnswerTrace, steps: &[&Step]) {
    let narrow = |(id, log_p): &(u32, f64)| (*id, *log_p as f32);
    let likeliest = steps.iter().map(|step| step.top.iter().map(narrow).collect()).collect();
    let entropy = steps.iter().map(|step| step.entropy).collect();
    trace.lse = steps.iter().map(|step| step.log_sum_exp).collect();
    trace.readout = Some(TraceReadout { likeliest, entropy });
}
