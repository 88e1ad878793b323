//! A rewind itself, and the checkpoint that every token gets for it.

use super::middle::middle;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use trimtab_runtime::generate::{Event, Flow, Generation, Request, RetryBudget, run};
use trimtab_runtime::monitor::{AnswerView, Monitor, Verdict};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, session::Session};
use trimtab_steering::Result;
use trimtab_steering::monitor::guidance::Guide;
use trimtab_steering::neutral::Text;

/// The token at which an answer goes back, and the one that it goes back to.
const TURN: (usize, usize) = (56, 40);
const TIMES: u32 = 200;
/// Checkpoints that are timed together.
const CHECKPOINTS: u32 = 10_000;

/// Goes back again and again, and notes when it said so.
struct Turn(Arc<Mutex<Option<Instant>>>);

impl Monitor for Turn {
    fn watch(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Verdict> {
        let (at, from) = TURN;
        if answer.tokens.len() == at && answer.attempt < TIMES {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            return Ok(Verdict::retry(from));
        }
        Ok(Verdict::Continue { release: 0, ask_after: 1 })
    }

    // Where it turns is decided by the length alone.
    fn rewind(&mut self, _tokens: usize) {}
}

fn prompted(model: &Model, plan: Plan) -> Result<Session> {
    let mut session = model.session(plan)?;
    let question = Message::new("user", "Tell me about the sea.");
    session.push_prompt(&model.chat_prompt(&[question])?)?;
    Ok(session)
}

/// Microseconds of going back, of that and the next token's choice, and of an ordinary token.
fn turns(model: &Model) -> Result<[Vec<f64>; 3]> {
    let said = Arc::new(Mutex::new(None));
    let retries = RetryBudget { rewinds: TIMES, discarded: usize::MAX };
    let request = Request { max_tokens: Some(64), retries, ..Request::default() };
    let answer =
        Generation::new(prompted(model, Plan::empty())?, model.tokenizer()?.clone(), request)?;
    let [mut back, mut next, mut token] = [Vec::new(), Vec::new(), Vec::new()];
    let mut last: Option<Instant> = None;
    let us = |from: Instant| from.elapsed().as_secs_f64() * 1e6;
    run(&mut [answer.watched_by(Turn(said.clone()))], &mut |_, event| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, *said) {
            (Event::Rewound { .. }, Some(at)) => back.push(us(at)),
            (Event::Token(_), Some(at)) => {
                next.push(us(at));
                (*said, last) = (None, Some(Instant::now()));
            }
            (Event::Token(_), None) => {
                token.extend(last.map(us));
                last = Some(Instant::now());
            }
            _ => {}
        }
        Flow::Continue
    })?;
    Ok([back, next, token])
}

/// Microseconds of a checkpoint of a sequence of 200 tokens under a plan.
fn checkpoint(model: &Model, plan: Plan) -> Result<f64> {
    let mut session = prompted(model, plan)?;
    let filler = vec![100; 200];
    session.push(&filler)?;
    session.run()?;
    let rounds = (0..5).map(|_| {
        let began = Instant::now();
        (0..CHECKPOINTS).for_each(|_| drop(black_box(session.checkpoint())));
        began.elapsed().as_secs_f64() * 1e6 / f64::from(CHECKPOINTS)
    });
    Ok(rounds.fold(f64::INFINITY, f64::min))
}

/// Prints them.
pub fn back(model: &Model) -> Result<()> {
    let [back, next, token] = turns(model)?.map(middle);
    let push = Guide::of(model, "Say what would be safe instead.", Text::tune())?.push(0.2, 0)?;
    let (empty, hooked) = (checkpoint(model, Plan::empty())?, checkpoint(model, Plan::of(push))?);
    let (at, from) = TURN;
    println!("| what | µs |\n| --- | --: |");
    println!("| going back {} tokens, to the event that says so | {:.0} |", at - from, back.median);
    println!("| the same to the next token: the head alone, and a choice | {:.0} |", next.median);
    println!("| an ordinary token of the same answer | {:.0} |", token.median);
    println!("| a checkpoint, empty plan | {empty:.2} |");
    println!("| a checkpoint under a push | {hooked:.2} |");
    Ok(())
}
