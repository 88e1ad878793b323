//! Many texts read at once, each through the whole tree.

use super::form::Form;
use super::judge::Reading;
use super::listen::listen;
use super::quote::{Quote, VERDICT_TOKENS};
use super::texts::Text;
use super::walk::{Depth, Labels, Walk, width};
use crate::error::Result;
use std::sync::Arc;
use trimtab_runtime::kv::BLOCK_LEN;
use trimtab_runtime::monitor::Heard;
use trimtab_runtime::session::Session;
use trimtab_runtime::text::Special;

/// The most texts read at once.
const BATCH: usize = 16;

/// Reads texts, in their order; a text has the seed of its content. `progress` hears how many are done.
pub(super) fn read(
    form: &Arc<Form>,
    labels: &Labels,
    texts: &[Text],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Reading>> {
    let mut head = form.session()?;
    head.push_prompt(form.head())?;
    listen(vec![head.fork()])?.iter().for_each(|read| read.session.publish_prefix(form.space()));
    let mut readings = Vec::with_capacity(texts.len());
    while readings.len() < texts.len() {
        let sessions = batch(form, texts, readings.len())?;
        readings.extend(walk(labels, sessions)?);
        progress(readings.len());
    }
    Ok(readings)
}

/// The sequences of the next texts, as many as the pool has room for, at least one.
fn batch(form: &Arc<Form>, texts: &[Text], from: usize) -> Result<Vec<Session>> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut room = form.free_blocks();
    for text in texts.iter().skip(from).take(BATCH) {
        let session = session(form, text, text.seed())?;
        let blocks = session.len() / BLOCK_LEN + 2 + 2 * width();
        if blocks > room && !sessions.is_empty() {
            break;
        }
        room = room.saturating_sub(blocks);
        sessions.push(session);
    }
    Ok(sessions)
}

/// A text with the question behind it. An answer that does not fit is read as far as it does.
fn session(form: &Arc<Form>, text: &Text, seed: u64) -> Result<Session> {
    let encoded = form.tokenizer().encode(&text.answer, Special::Plain);
    let mut answer = encoded.map_err(trimtab_runtime::Error::from)?;
    loop {
        let mut quote = Quote::open(form, &text.request, seed)?;
        if let Some(session) = quote.ask(&answer)? {
            return Ok(session);
        }
        // `ask` took in what fits.
        let fits = quote.taken().min(answer.len().saturating_sub(VERDICT_TOKENS));
        answer.truncate(fits);
    }
}

fn walk(labels: &Labels, sessions: Vec<Session>) -> Result<Vec<Reading>> {
    let begun = listen(sessions)?.into_iter();
    let begun =
        begun.map(|Heard { session, logits }| Walk::begin(labels, &session, &logits, Depth::Full));
    let mut walks: Vec<Walk> = begun.collect::<Result<_>>()?;
    while walks.iter().any(|walk| !walk.is_done()) {
        let asked: Vec<Vec<Session>> = walks.iter_mut().map(Walk::ask).collect();
        let counts: Vec<usize> = asked.iter().map(Vec::len).collect();
        let mut heard = listen(asked.into_iter().flatten().collect())?.into_iter();
        for (walk, count) in walks.iter_mut().zip(counts) {
            let own: Vec<Heard> = heard.by_ref().take(count).collect();
            walk.heard(labels, &own)?;
        }
    }
    Ok(walks.into_iter().map(|walk| Reading { tree: walk.tree().clone() }).collect())
}
