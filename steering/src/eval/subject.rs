//! The model under test, and sequences that share their beginning.

use crate::error::Result;
use std::cmp::Reverse;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::kv::{BLOCK_LEN, KvPool};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::text::{ChatTemplate, Message, RenderOptions, Special, Tokenizer};

/// The most sequences that run together. Larger passes are no faster on a CPU and take more of the pool.
const TOGETHER: usize = 32;

/// What is measured: a decoder and what turns conversations into its tokens.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The weights.
    pub decoder: &'a Arc<Decoder>,
    /// Where its keys and values go.
    pub pool: &'a KvPool,
    /// Its tokenizer.
    pub tokenizer: &'a Arc<Tokenizer>,
    /// Its chat template; without one, messages are texts to continue.
    pub template: Option<&'a ChatTemplate>,
}

impl<'a> Subject<'a> {
    /// An opened model.
    pub fn of(model: &'a Model) -> Result<Subject<'a>> {
        Ok(Subject {
            decoder: model.decoder(),
            pool: model.pool(),
            tokenizer: model.tokenizer()?,
            template: model.template().ok(),
        })
    }

    /// A conversation as the tokens of a prompt.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>> {
        if let Some(template) = self.template {
            let rendered = template.render(messages, &RenderOptions::default());
            let rendered = rendered.map_err(trimtab_runtime::Error::from)?;
            let tokens = self.tokenizer.encode_rendered(&rendered);
            return Ok(tokens.map_err(trimtab_runtime::Error::from)?);
        }
        let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let tokens = self.text(&texts.join("\n"))?;
        Ok(self.tokenizer.with_bos(tokens))
    }

    /// The tokens of a text.
    pub(super) fn text(&self, text: &str) -> Result<Vec<u32>> {
        let tokens = self.tokenizer.encode(text, Special::Plain);
        Ok(tokens.map_err(trimtab_runtime::Error::from)?)
    }

    /// Numbers of sequences that run together, the longest first: of similar length, and within the pool.
    ///
    /// `lengths` is how long each can become.
    pub(super) fn groups(&self, lengths: &[usize]) -> Vec<Vec<usize>> {
        let blocks = |length: usize| length / BLOCK_LEN + 2;
        let mut order: Vec<(usize, usize)> = lengths.iter().copied().enumerate().collect();
        order.sort_by_key(|(index, length)| (Reverse(*length), *index));
        let room = self.pool.usage().blocks;
        let (mut groups, mut group, mut taken) = (Vec::new(), Vec::new(), 0);
        for (index, length) in order {
            let needed = blocks(length);
            if group.len() == TOGETHER || (taken + needed > room && !group.is_empty()) {
                groups.push(std::mem::take(&mut group));
                taken = 0;
            }
            group.push(index);
            taken += needed;
        }
        groups.push(group);
        groups.retain(|group| !group.is_empty());
        groups
    }

    /// The beginning that prompts share, run once under a plan.
    pub(super) fn stem(&self, plan: &Plan, prompts: &[Vec<u32>]) -> Result<Stem> {
        let mut session = Session::new(self.decoder.clone(), self.pool, plan.clone())?;
        let shared = shared(prompts);
        let first = prompts.first().and_then(|prompt| prompt.get(..shared)).unwrap_or_default();
        if !first.is_empty() && session.is_stateless() && self.keeps(plan, prompts, shared) {
            session.push_prompt(first)?;
            session.run()?;
        }
        Ok(Stem { session })
    }

    /// Whether a plan does the same to the shared beginning when it is a whole prompt as when it is a part of one.
    fn keeps(&self, plan: &Plan, prompts: &[Vec<u32>], shared: usize) -> bool {
        let n_layers = self.decoder.spec().n_layers();
        let edits = |prompt_len| plan.kv_fingerprint(0..shared, prompt_len, n_layers);
        let alone = edits(shared);
        prompts.iter().all(|prompt| edits(prompt.len()) == alone)
    }
}

/// A session that has run what its prompts share.
pub(super) struct Stem {
    session: Session,
}

impl Stem {
    /// A sequence with this prompt, whose last token at least is pending.
    pub(super) fn grow(&self, prompt: &[u32]) -> Result<Session> {
        let mut session = self.session.fork();
        session.push_prompt(prompt.get(session.len()..).unwrap_or_default())?;
        Ok(session)
    }
}

/// How many tokens all prompts begin with; less than the shortest has.
fn shared(prompts: &[Vec<u32>]) -> usize {
    let Some(first) = prompts.first() else { return 0 };
    let agree = |prompt: &Vec<u32>| first.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    let most = prompts.iter().map(|prompt| prompt.len().saturating_sub(1)).min().unwrap_or(0);
    prompts.iter().map(agree).min().unwrap_or(0).min(most)
}
