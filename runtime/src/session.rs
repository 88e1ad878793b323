//! One sequence: the only mutable thing.
//!
//! A [`Session`] holds tokens, cache and bound plan. Tokens that were pushed but not yet run are *pending*; a
//! forward pass runs them, so that `cache length + pending = tokens` always. A checkpoint is a length and the
//! forked hooks: keys and values are append-only, so rewinding them is forgetting their end.

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::hook::Readings;
use crate::kv::{KvCache, KvPool, PrefixKey};
use crate::model::{Decoder, LogitsAt, Row, Want};
use crate::plan::{BoundPlan, Plan};
use crate::sample::{DrawKey, DrawKeys};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most tokens a session runs in one pass unless told otherwise.
pub const DEFAULT_CHUNK: usize = 512;

/// What happens to keys and values made under the old plan when a session gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// They stay: the new plan acts from here on, on top of what the old one did.
    Keep,
    /// They are made again under the new plan, as if it had always been there.
    Recompute,
}

/// Numbers sessions, checkpoints and forks in the order they are made.
static SERIAL: AtomicU64 = AtomicU64::new(1);

fn serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// A session's own number, or an ancestor's, with the serial up to which its checkpoints are this session's past.
#[derive(Debug, Clone, Copy)]
struct Ancestry {
    session: u64,
    until: u64,
}

/// One sequence with its cache and hooks.
pub struct Session {
    /// Itself first, then whom it was forked from.
    lineage: Vec<Ancestry>,
    decoder: Arc<Decoder>,
    tokens: Vec<u32>,
    prompt_len: usize,
    cache: KvCache,
    plan: Plan,
    bound: BoundPlan,
    draws: DrawKeys,
    chunk: usize,
    /// What rewinds and replans made stale, oldest first.
    cuts: Vec<Cut>,
    revision: u64,
    /// Whether keys and values are what the present plan would make, so that they may be shared.
    purity: Purity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purity {
    OnePlan,
    Mixed,
}

/// From this revision on, older checkpoints with more tokens, or more of them cached, have lost their history.
#[derive(Debug, Clone, Copy)]
struct Cut {
    revision: u64,
    len: usize,
    cached: usize,
}

/// A place to come back to: lengths, the plan that was in force, its hooks' states.
pub struct Checkpoint {
    len: usize,
    cached: usize,
    prompt_len: usize,
    plan: Plan,
    bound: BoundPlan,
    purity: Purity,
    revision: u64,
    session: u64,
    serial: u64,
}

impl Checkpoint {
    /// Tokens at the checkpoint.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it was taken before any token.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Session {
    /// An empty sequence under a plan. A plan that cannot act on this model is refused here.
    pub fn new(decoder: Arc<Decoder>, pool: &KvPool, plan: Plan) -> Result<Session> {
        let bound = plan.bind(decoder.spec())?;
        Ok(Session {
            lineage: vec![Ancestry { session: serial(), until: u64::MAX }],
            decoder,
            tokens: Vec::new(),
            prompt_len: 0,
            cache: pool.cache(),
            plan,
            bound,
            draws: DrawKeys::default(),
            chunk: DEFAULT_CHUNK,
            cuts: Vec::new(),
            revision: 0,
            purity: Purity::OnePlan,
        })
    }

    /// The model.
    pub fn decoder(&self) -> &Arc<Decoder> {
        &self.decoder
    }

    /// Every token, pending ones included.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many tokens, pending ones included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Positions below this are the prompt.
    pub fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// Tokens that no pass has run yet.
    pub fn pending(&self) -> usize {
        self.tokens.len() - self.cache.len()
    }

    /// The plan in force.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many positions each intervention has changed, in plan order.
    pub fn fired(&self) -> &[u64] {
        self.bound.fired()
    }

    /// What the plan's hooks report after the newest pass.
    pub fn readings(&self) -> Result<Readings> {
        self.bound.readings()
    }

    /// Keys of its random draws.
    pub fn draws(&self) -> &DrawKeys {
        &self.draws
    }

    /// Positions from `position` on draw under this key. A rollback keeps the keys: a new attempt sets its own.
    pub fn set_draw_key(&mut self, position: usize, key: DrawKey) {
        self.draws.set(position, key);
    }

    /// Whether the plan has no hooks, so that nothing but tokens and cache changes in a pass.
    pub fn is_stateless(&self) -> bool {
        self.bound.is_stateless()
    }

    /// Blocks that all its pending tokens take.
    pub(crate) fn wants_in_all(&self) -> usize {
        self.cache.wants(self.pending())
    }

    /// Whether its keys and values can be made again from its tokens alone, so that they may be given up: not after
    /// a change of plans that kept what the old one had made.
    pub fn can_recompute(&self) -> bool {
        self.purity == Purity::OnePlan
    }

    /// Tokens it may have: what the context allows and the pool can hold.
    pub fn room(&self) -> usize {
        self.decoder.context().min(self.cache.pool().tokens())
    }

    /// Blocks that its next pass takes from the pool.
    pub(crate) fn wants(&self) -> usize {
        self.cache.wants(self.pending().min(self.chunk))
    }

    /// The most tokens of one pass.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Runs at most this many tokens in one pass, at least 1. Changes no result on the CPU.
    pub fn set_chunk(&mut self, tokens: usize) {
        self.chunk = tokens.max(1);
    }

    /// Appends prompt tokens; everything so far becomes the prompt.
    ///
    /// Keys and values that are there stay as they were made. Where a plan treats prompt and generated positions
    /// differently, `replan` with [`History::Recompute`] makes them as a new conversation would.
    pub fn push_prompt(&mut self, tokens: &[u32]) -> Result<()> {
        self.check_room(tokens)?;
        self.tokens.extend_from_slice(tokens);
        let before = self.cached_edits(&self.plan);
        self.prompt_len = self.tokens.len();
        // Generated positions that are in the cache are prompt from here on: what was done to them may not fit.
        if self.cached_edits(&self.plan) != before {
            self.purity = Purity::Mixed;
        }
        Ok(())
    }

    /// Appends generated tokens.
    pub fn push(&mut self, tokens: &[u32]) -> Result<()> {
        self.check_room(tokens)?;
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// The pending tokens as a row of a pass, for callers that run several sessions together.
    ///
    /// Takes at most a chunk; logits and captures are given as wanted only by the row that ends the pending tokens.
    pub fn row(&mut self, want: Want) -> Row<'_> {
        let from = self.cache.len();
        let to = self.tokens.len().min(from.saturating_add(self.chunk));
        let last = to == self.tokens.len();
        let logits =
            if last || want.logits == LogitsAt::All { want.logits } else { LogitsAt::None };
        Row {
            tokens: self.tokens.get(from..to).unwrap_or_default(),
            prompt_len: self.prompt_len,
            cache: &mut self.cache,
            plan: &mut self.bound,
            draws: &self.draws,
            want: Want { logits, ..want },
        }
    }

    /// Remembers this place. Costs a fork of the hooks.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            len: self.tokens.len(),
            cached: self.cache.len(),
            prompt_len: self.prompt_len,
            plan: self.plan.clone(),
            bound: self.bound.fork(),
            purity: self.purity,
            revision: self.revision,
            session: self.lineage.first().map_or(0, |own| own.session),
            serial: serial(),
        }
    }

    /// Goes back to a checkpoint, bit for bit, its plan included. It may be used again and again, until the history
    /// before it is cut.
    pub fn rollback(&mut self, to: &Checkpoint) -> Result<()> {
        let lost = |c: &Cut| c.revision > to.revision && (c.len < to.len || c.cached < to.cached);
        let ours = |a: &Ancestry| a.session == to.session && to.serial < a.until;
        if !self.lineage.iter().any(ours) {
            return Err(Error::Misuse(
                "a checkpoint belongs to the session that made it, or to its forks",
            ));
        }
        if self.cuts.iter().any(lost) || to.len > self.tokens.len() || to.cached > self.cache.len()
        {
            return Err(Error::StaleCheckpoint { len: to.len });
        }
        self.cache.truncate(to.cached)?;
        self.tokens.truncate(to.len);
        self.cut(to.len, to.cached);
        self.prompt_len = to.prompt_len;
        self.plan = to.plan.clone();
        self.bound = to.bound.fork();
        self.purity = to.purity;
        Ok(())
    }

    /// Keeps the first `len` tokens and the keys and values that are there for them, bit for bit. Needs no checkpoint,
    /// because nothing but tokens and cache changes under an empty plan; under another one it is refused.
    pub fn truncate(&mut self, len: usize) -> Result<()> {
        if !self.plan.items().is_empty() {
            return Err(Error::Misuse("a session under a plan goes back to its checkpoints only"));
        }
        let len = len.min(self.tokens.len());
        let cached = self.cache.len().min(len);
        self.cache.truncate(cached)?;
        self.tokens.truncate(len);
        self.prompt_len = self.prompt_len.min(len);
        self.cut(len, cached);
        Ok(())
    }

    /// Keeps the first `len` tokens, all pending again under the plan in force with fresh hooks.
    ///
    /// Unlike [`rollback`](Self::rollback) this needs no checkpoint, and costs the keys and values.
    pub fn restart(&mut self, len: usize) -> Result<()> {
        self.bound = self.plan.bind(self.decoder.spec())?;
        self.cache.truncate(0)?;
        self.tokens.truncate(len);
        self.prompt_len = self.prompt_len.min(len);
        self.cut(len, 0);
        self.purity = Purity::OnePlan;
        Ok(())
    }

    /// Makes the last token pending again, to be run under a plan that is about to be put in force.
    ///
    /// Its own keys and values are made again; checkpoints that count them become stale. Hooks have counted it already:
    /// only a change of plans makes them anew.
    pub fn repeat_last(&mut self) -> Result<()> {
        if self.pending() > 0 || self.tokens.is_empty() {
            return Err(Error::Misuse("only a session without pending tokens repeats its last"));
        }
        let cached = self.cache.len() - 1;
        self.cache.truncate(cached)?;
        self.cut(self.tokens.len(), cached);
        Ok(())
    }

    /// An independent sequence with the same history. Keys and values are shared until one of them writes.
    pub fn fork(&self) -> Session {
        let until = serial();
        let past = self.lineage.iter().map(|a| Ancestry { until: a.until.min(until), ..*a });
        let own = Ancestry { session: serial(), until: u64::MAX };
        Session {
            lineage: std::iter::once(own).chain(past).collect(),
            decoder: self.decoder.clone(),
            tokens: self.tokens.clone(),
            prompt_len: self.prompt_len,
            cache: self.cache.fork(),
            plan: self.plan.clone(),
            bound: self.bound.fork(),
            draws: self.draws.clone(),
            chunk: self.chunk,
            cuts: self.cuts.clone(),
            revision: self.revision,
            purity: self.purity,
        }
    }

    /// Puts another plan in force, its hooks fresh.
    ///
    /// [`History::Recompute`] makes every token pending again, so checkpoints with cached tokens become stale.
    pub fn replan(&mut self, plan: Plan, history: History) -> Result<()> {
        let bound = plan.bind(self.decoder.spec())?;
        match history {
            History::Recompute => {
                self.cache.truncate(0)?;
                self.cut(self.tokens.len(), 0);
                self.purity = Purity::OnePlan;
            }
            // Hooks begin anew here, so a pass over everything would count more than they have.
            History::Keep if self.leaves_alone(&plan) && bound.is_stateless() => {}
            History::Keep => self.purity = Purity::Mixed,
        }
        self.plan = plan;
        self.bound = bound;
        Ok(())
    }

    /// Fills an empty cache with keys and values that other sequences published; says how many tokens that saves.
    ///
    /// `space` names what the prefix depends on besides model, tokens and plan: template and owner. A plan with
    /// hooks adopts nothing, because a hook must see every position.
    pub fn adopt_prefix(&mut self, space: &Fingerprint) -> Result<usize> {
        if !self.cache.is_empty() || !self.bound.is_stateless() {
            return Ok(0);
        }
        // The last token stays pending: somebody wants its logits.
        let reusable = self.tokens.len().saturating_sub(1);
        let keys = self.prefix_keys(space, reusable);
        let saved = self.cache.adopt(&keys)?;
        self.bound.credit(0..saved, self.prompt_len);
        Ok(saved)
    }

    /// Offers this sequence's keys and values to others with the same beginning.
    pub fn publish_prefix(&self, space: &Fingerprint) {
        if self.purity == Purity::OnePlan && self.bound.is_stateless() {
            self.cache.publish(&self.prefix_keys(space, self.cache.len()));
        }
    }

    fn prefix_keys(&self, space: &Fingerprint, len: usize) -> Vec<PrefixKey> {
        let space = Fingerprint::builder("trimtab.prefix-space")
            .nested(space)
            .nested(self.decoder.fingerprint())
            .finish();
        let n_layers = self.decoder.spec().n_layers();
        let edits = |block| self.plan.kv_fingerprint(block, self.prompt_len, n_layers);
        PrefixKey::chain(&space, self.tokens.get(..len).unwrap_or_default(), edits)
    }

    /// Whether a plan does to the keys and values that are in the cache what the one in force did.
    fn leaves_alone(&self, plan: &Plan) -> bool {
        self.cached_edits(&self.plan) == self.cached_edits(plan)
    }

    /// What a plan does to the keys and values that are in the cache.
    fn cached_edits(&self, plan: &Plan) -> Fingerprint {
        let n_layers = self.decoder.spec().n_layers();
        plan.kv_fingerprint(0..self.cache.len(), self.prompt_len, n_layers)
    }

    fn cut(&mut self, len: usize, cached: usize) {
        self.revision += 1;
        // A cut that goes no further than the new one on either count says nothing more.
        self.cuts.retain(|c| c.len < len || c.cached < cached);
        self.cuts.push(Cut { revision: self.revision, len, cached });
    }

    fn check_room(&self, tokens: &[u32]) -> Result<()> {
        let (needed, limit) = (self.tokens.len() + tokens.len(), self.decoder.context());
        if needed > limit {
            return Err(Error::ContextFull { needed, limit });
        }
        let vocab_size = self.decoder.spec().vocab_size;
        match tokens.iter().find(|t| **t as usize >= vocab_size) {
            Some(&token) => Err(Error::NoSuchToken { token, vocab_size }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("len", &self.tokens.len())
            .field("cached", &self.cache.len())
            .field("prompt_len", &self.prompt_len)
            .finish_non_exhaustive()
    }
}
