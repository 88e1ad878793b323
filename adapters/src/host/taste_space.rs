//! What a learner of tastes compares: answers by their activations, settings, or answers by their tokens.

use super::config::TasteConfig;
use super::key::AdapterKey;
use super::learning_model::LearningModel;
use super::recorder::Recording;
use crate::error::Result;
use crate::tpop::{
    ArmFeatures, DuelLevel, Extractor, SettingFeatures, TokenFeatures, TpopDigest, TpopScope,
    TpopState,
};
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::sample::{Draw, Purpose};

/// Makes the features of one adapter's arms.
#[derive(Debug, Clone)]
pub(super) enum TasteSpace {
    /// Sampled answers, by their activations.
    Answers(Arc<Extractor>),
    /// Settings that have nothing in common.
    Settings(ArmFeatures),
    /// Answers by their tokens.
    Tokens(Arc<TokenFeatures>),
}

/// Whether a space can be had without the model being read.
pub(super) fn needs_model(taste: &TasteConfig) -> bool {
    taste.arms.is_empty()
}

impl TasteSpace {
    /// The space of a configuration. The first one of a model reads it, which takes a while.
    pub(super) fn of(taste: &TasteConfig, model: &LearningModel) -> Result<TasteSpace> {
        let features = taste.params.features;
        Ok(match taste.params.level {
            DuelLevel::Token => TasteSpace::Tokens(model.tokens(features)?),
            DuelLevel::Response if taste.arms.is_empty() => {
                TasteSpace::Answers(model.extractor(features)?)
            }
            DuelLevel::Response => TasteSpace::settings(taste)?,
        })
    }

    /// The space of settings.
    pub(super) fn settings(taste: &TasteConfig) -> Result<TasteSpace> {
        let settings = SettingFeatures::Categorical { settings: taste.arms.len() };
        Ok(TasteSpace::Settings(ArmFeatures::of_settings(settings)?))
    }

    pub(super) fn id(&self) -> &TpopDigest {
        match self {
            TasteSpace::Answers(extractor) => extractor.id(),
            TasteSpace::Settings(arms) => arms.id(),
            TasteSpace::Tokens(tokens) => tokens.id(),
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            TasteSpace::Answers(extractor) => extractor.width(),
            TasteSpace::Settings(arms) => arms.width(),
            TasteSpace::Tokens(tokens) => tokens.width(),
        }
    }

    /// What a state of this space is made for.
    pub(super) fn scope(&self, taste: &TasteConfig, key: &AdapterKey) -> Result<TpopScope> {
        let (extractor, width) = (*self.id(), self.width());
        Ok(TpopScope { config: taste.params.check()?, extractor, width, seed: seed_of(key) })
    }

    /// The features of a recorded answer; `None` where settings are compared. An answer without tokens, or whose
    /// activations were not kept, has features that are not finite and is left out of every choice.
    // -> [width]
    pub(super) fn of_answer(&self, answer: &Recording) -> Option<Vec<f32>> {
        let unusable = || vec![f32::NAN; self.width()];
        match self {
            TasteSpace::Settings(_) => None,
            TasteSpace::Tokens(tokens) => Some(tokens.of_answer(&answer.tokens)),
            TasteSpace::Answers(_) if answer.tokens.is_empty() || answer.finals.is_empty() => {
                Some(unusable())
            }
            TasteSpace::Answers(extractor) => {
                Some(extractor.features(&answer.finals).unwrap_or_else(|_| unusable()))
            }
        }
    }

    /// The features of a beginning of each answer of a pair, where rewards are asked about beginnings.
    pub(super) fn prefixes(
        &self,
        seed: u64,
        pair: u64,
        answers: [&[u32]; 2],
    ) -> Option<[Vec<f32>; 2]> {
        let TasteSpace::Tokens(tokens) = self else { return None };
        let prefix = |choice: u32, answer: &[u32]| {
            let position = usize::try_from(pair >> 1).unwrap_or_default();
            let purpose = Purpose::Named("tpop.prefix");
            tokens.of_prefix(answer, &Draw { seed, choice, purpose, attempt: 0, position })
        };
        let [a, b] = answers;
        Some([prefix(0, a), prefix(1, b)])
    }
}

/// The reward of every setting, in log-odds; of a taste that compares answers, none.
pub(super) fn setting_rewards(taste: &TasteConfig, state: &TpopState) -> Result<Vec<f64>> {
    Ok(setting_features(taste)?.iter().map(|features| state.head().reward(features)).collect())
}

/// The features of every setting.
pub(super) fn setting_features(taste: &TasteConfig) -> Result<Vec<Vec<f32>>> {
    if taste.arms.is_empty() {
        return Ok(Vec::new());
    }
    let TasteSpace::Settings(arms) = TasteSpace::settings(taste)? else { return Ok(Vec::new()) };
    Ok((0..arms.settings()).map(|at| arms.features(at, &[])).collect::<Result<_, _>>()?)
}

/// What keys an adapter's random choices: a function of its owner and name.
pub(super) fn seed_of(key: &AdapterKey) -> u64 {
    let digest = Fingerprint::builder("trimtab.adapter.seed");
    digest.text(key.owner()).text(key.id()).finish().to_u64()
}

/// Digest of an answer's tokens: equal answers are one candidate.
pub(super) fn digest_of(tokens: &[u32]) -> TpopDigest {
    *Fingerprint::builder("trimtab.answer").tokens(tokens).finish().as_bytes()
}
