//! Duels between sampled answers, whose features are the model's own activations.

use super::cache::{Cache, Kept};
use super::duels::{DUELS, Labels, Series, order};
use super::users::{Counts, User};
use std::sync::Arc;
use trimtab_adapters::tpop::{
    DuelCandidate, DuelTurn, Extractor, ExtractorOrigin, JudgedAt, NeutralAnswers, PairLabel,
    StatePooling, TpopChoice, TpopScope, TpopState,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Whitened directions; the length comes on top.
const FEATURES: usize = 64;

/// The sampled answers of one prompt.
pub struct Prompt {
    pub counts: Vec<Counts>,
    features: Vec<Vec<f32>>,
}

/// Sampled answers by prompt.
pub struct Sampled(pub Vec<Prompt>);

impl Sampled {
    /// Answers of the cache as features of an extractor that is fitted on others; `None` where some are missing.
    pub fn of(
        cache: &Cache,
        (prompts, each): (usize, usize),
        neutral: std::ops::Range<usize>,
    ) -> Result<Option<Sampled>> {
        let fitted: Option<Vec<&Kept>> =
            neutral.map(|prompt| cache.get("sampled", prompt, 0)).collect();
        let Some(extractor) = fitted.map(|answers| extractor(&answers)).transpose()? else {
            return Ok(None);
        };
        let prompt = |prompt: usize| {
            let kept = (0..each).map(|sample| cache.get("sampled", prompt, sample));
            let kept: Option<Vec<&Kept>> = kept.collect();
            kept.map(|kept| Prompt::of(&extractor, &kept)).transpose()
        };
        let all: Result<Vec<Option<Prompt>>> = (0..prompts).map(prompt).collect();
        Ok(all?.into_iter().collect::<Option<Vec<Prompt>>>().map(Sampled))
    }

    /// Utilities of the answers of the prompts from here on: `[prompts][samples]`.
    pub fn worth(&self, user: User, from: usize) -> Vec<Vec<f64>> {
        let of =
            |prompt: &Prompt| prompt.counts.iter().map(|counts| user.utility(counts)).collect();
        self.0.iter().skip(from).map(of).collect()
    }

    /// The utility of what is served for each later prompt after so many duels: `[prompts]` for each of `after`.
    pub fn served(&self, series: &Series, seed: u64, after: &[usize]) -> Result<Vec<Vec<f64>>> {
        let width = FEATURES + 1;
        let config = series.keys()?;
        let mut state = TpopState::new(TpopScope { config, extractor: [0; 32], width, seed })?;
        let mut served = Vec::new();
        for round in 0..=DUELS {
            if after.contains(&round) {
                served.push(self.best(&state, series.user)?);
            }
            let at = order(DUELS, seed).get(round).copied();
            let Some(prompt) = at.and_then(|at| self.0.get(at)) else { continue };
            let turn = DuelTurn { round, since_asked: None };
            let TpopChoice::Duel(duel) = state.choose(turn, &prompt.candidates())? else {
                continue;
            };
            let worth = |row: usize| prompt.counts.get(row).map_or(0.0, |c| series.user.utility(c));
            let picks_a = series.picks_first(duel.rows.map(worth), seed, round);
            let judgement = if picks_a { PairLabel::A } else { PairLabel::B };
            let at = JudgedAt { time_ms: round as i64, took_ms: None };
            state = state.learn(duel.judged(round as u64, judgement, at))?.state;
        }
        Ok(served)
    }

    fn best(&self, state: &TpopState, user: User) -> Result<Vec<f64>> {
        let of = |prompt: &Prompt| {
            let rewards =
                prompt.features.iter().map(|x| state.head().reward(x)).zip(&prompt.counts);
            let best = rewards.fold(None, |best: Option<(f64, &Counts)>, (reward, counts)| {
                if best.is_none_or(|(most, _)| reward > most) {
                    Some((reward, counts))
                } else {
                    best
                }
            });
            let first = prompt.counts.first();
            let chosen = if state.serves_best() { best.map(|(_, counts)| counts) } else { first };
            chosen.map(|counts| user.utility(counts)).ok_or("a prompt has no answer".into())
        };
        self.0.iter().skip(DUELS).map(of).collect()
    }
}

impl Prompt {
    fn of(extractor: &Arc<Extractor>, kept: &[&Kept]) -> Result<Prompt> {
        // One row stands for all of an answer's, and its length is told as the answer's own.
        let features = kept.iter().map(|kept| pooled_features(extractor, kept));
        Ok(Prompt {
            counts: kept.iter().map(|kept| Counts::of(&kept.text)).collect(),
            features: features.collect::<Result<_>>()?,
        })
    }

    fn candidates(&self) -> Vec<DuelCandidate<'_>> {
        let all = (0u8..).zip(&self.features);
        all.map(|(row, features)| DuelCandidate { features, answer: [row; 32] }).collect()
    }
}

fn pooled_features(extractor: &Arc<Extractor>, kept: &Kept) -> Result<Vec<f32>> {
    Ok(extractor.features(&kept.pooled.repeat(kept.tokens))?)
}

fn extractor(answers: &[&Kept]) -> Result<Arc<Extractor>> {
    let pooled: Vec<f32> = answers.iter().flat_map(|kept| kept.pooled.iter().copied()).collect();
    let tokens: Vec<usize> = answers.iter().map(|kept| kept.tokens).collect();
    let origin = ExtractorOrigin {
        model: "of the experiment".to_owned(),
        quantisation: String::new(),
        kv_plan: [0; 32],
        pooling: StatePooling::Before,
    };
    let neutral = NeutralAnswers { pooled: &pooled, tokens: &tokens };
    Ok(Arc::new(Extractor::fit(origin, neutral, FEATURES)?))
}

/// Labels under which response-level duels are run.
pub const CONTROLS: [Labels; 2] = [Labels::Coin, Labels::Inverted];
