//! The tiny model with what tests do to it over and over.

use std::sync::Arc;
use trimtab_runtime::Result;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::hook::{Addition, Edit, Intervention, Pass, hook_fn};
use trimtab_runtime::kv::{KvPool, KvType};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Draw, Purpose, Sampling, SamplingParams};
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

/// A decoder and a pool.
pub struct Rig {
    /// The model.
    pub decoder: Arc<Decoder>,
    /// Its pool.
    pub pool: KvPool,
}

impl Rig {
    /// The tiny model with a pool of so many tokens.
    ///
    /// # Panics
    /// If it cannot be made: nothing can be tested then.
    pub fn tiny(tokens: usize) -> Rig {
        Rig::with_type(tokens, KvType::F32)
    }

    /// The same with keys and values of some type.
    ///
    /// # Panics
    /// As [`tiny`](Rig::tiny).
    #[allow(clippy::expect_used)] // test support: without its model a test must fail
    pub fn with_type(tokens: usize, kind: KvType) -> Rig {
        let decoder = tiny::decoder().expect("tiny model");
        let pool = KvPool::with_type(decoder.spec(), tokens, kind, decoder.device());
        Rig { pool: pool.expect("pool"), decoder }
    }

    /// A session with a prompt under a plan.
    pub fn session(&self, prompt: &[u32], plan: Plan) -> Result<Session> {
        let mut session = Session::new(self.decoder.clone(), &self.pool, plan)?;
        session.push_prompt(prompt)?;
        Ok(session)
    }
}

/// A vector that differs from site to site and from seed to seed.
pub fn vector(seed: u32, width: usize) -> Vec<f32> {
    (0..width).map(|i| ((i as f32 + 1.0) * (seed as f32 + 0.5)).sin()).collect()
}

/// An addition of norm about 2 at a site of the tiny model.
///
/// # Panics
/// Never for finite vectors.
#[allow(clippy::expect_used)] // test support: the vector is finite by construction
pub fn push(site: Site, seed: u32) -> Addition {
    Addition::new(site, vector(seed, tiny::WIDTH), 0.7).expect("finite")
}

/// A hook with state: the n-th position it sees is scaled by 1 + n/100, whatever its absolute place.
pub fn counting_hook(site: Site) -> impl Intervention {
    let mut seen = 0u32;
    hook_fn([site], move |_: Site, stream: &candle_core::Tensor, pass: &Pass| {
        let factors: Vec<f32> = pass
            .tokens
            .iter()
            .enumerate()
            .map(|(i, _)| 1.0 + (seen + i as u32) as f32 / 100.0)
            .collect();
        seen += pass.tokens.len() as u32;
        let time = factors.len();
        let scaled = candle_core::Tensor::from_vec(factors, (time, 1), stream.device())
            .and_then(|f| stream.broadcast_mul(&f));
        let stream = scaled.map_err(trimtab_runtime::Error::tensor("counting hook"))?;
        Ok(Edit::Replace { stream, positions: time })
    })
}

/// A token drawn at temperature 1, keyed by the position alone.
///
/// # Panics
/// If the logits leave no choice.
#[allow(clippy::expect_used)] // test support: logits of the tiny model are finite
pub fn draw(logits: &[f32], seed: u64, position: usize) -> u32 {
    let draw = Draw { seed, choice: 0, purpose: Purpose::Token, attempt: 0, position };
    let sampling = SamplingParams::default().check().unwrap_or(Sampling::Greedy);
    sampling.choose(logits, &draw).expect("finite logits")
}
