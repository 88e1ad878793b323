//! Answers to many prompts under one plan.

use super::reply::Reply;
use super::subject::Subject;
use crate::error::{Error, Result};
use trimtab_runtime::generate::{Flow, Generation, Request, run};
use trimtab_runtime::plan::Plan;

/// The most tokens of an answer where nothing else is asked for.
const MOST_TOKENS: usize = 48;

/// How answers are made.
#[derive(Debug, Clone)]
pub struct Answering {
    /// What every prompt is asked with; its choice is replaced by the prompt's number.
    pub request: Request,
}

impl Default for Answering {
    fn default() -> Self {
        Answering { request: Request { max_tokens: Some(MOST_TOKENS), ..Request::default() } }
    }
}

impl Answering {
    /// Answers in the order of the prompts. `progress` hears how many more are done.
    pub(super) fn answer(
        &self,
        subject: &Subject,
        plan: &Plan,
        prompts: &[Vec<u32>],
        progress: &mut dyn FnMut(usize) -> Flow,
    ) -> Result<Vec<Reply>> {
        let stem = subject.stem(plan, prompts)?;
        let room = subject.decoder.context();
        let most = self.request.max_tokens.unwrap_or(room);
        let lengths: Vec<usize> = prompts.iter().map(|p| (p.len() + most).min(room)).collect();
        let mut replies: Vec<Option<Reply>> = vec![None; prompts.len()];
        for group in subject.groups(&lengths) {
            let mut running = Vec::with_capacity(group.len());
            for index in &group {
                let session = stem.grow(prompts.get(*index).map_or(&[], Vec::as_slice))?;
                let request = self.request(*index);
                running.push(Generation::new(session, subject.tokenizer.clone(), request)?);
            }
            run(&mut running, &mut |_, _| Flow::Continue)?;
            for (index, generation) in group.iter().zip(running) {
                let reply = Reply::from(generation.into_answer()?);
                replies.get_mut(*index).map(|place| place.replace(reply));
            }
            if progress(group.len()) == Flow::Cancel {
                return Err(Error::Cancelled);
            }
        }
        Ok(replies.into_iter().flatten().collect())
    }

    /// Prompts draw under numbers of their own, so that chance does not favour them all alike.
    fn request(&self, index: usize) -> Request {
        Request { choice: index as u32, ..self.request.clone() }
    }
}
