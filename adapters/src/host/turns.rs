//! What a learner of tastes does in a turn: whether it asks, what is made for it, and what is shown.

use super::config::{AdapterConfig, TasteConfig};
use super::detail::word;
use super::duel_document::{DuelDocument, KeptPair};
use super::duels::{Contender, DuelAnswer, DuelRequest, ShownDuel, TurnPlan};
use super::learning_model::LearningModel;
use super::pinned::{AdapterState, AnswerRecord, PinnedAdapter};
use super::taste_space::{TasteSpace, digest_of, setting_features, setting_rewards};
use crate::error::{Error, Result};
use crate::tpop::{
    Duel, DuelCandidate, DuelLevel, DuelOrder, TokenDuel, TokenTaste, TpopChoice, TpopDigest,
    TpopState, largest,
};
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::sample::Sampling;

/// Each display order has this probability, unless it is fixed.
const ORDER_PROPENSITY: f64 = 0.5;

/// A learner of tastes in one turn of its owner.
pub(super) struct TasteTurn<'a> {
    pinned: &'a PinnedAdapter,
    taste: &'a TasteConfig,
    state: &'a Arc<TpopState>,
}

/// A duel before it is kept.
pub(super) struct OpenedDuel {
    pub(super) document: DuelDocument,
    /// The answers that are shown, to be kept until one is chosen.
    pub(super) answers: Vec<AnswerRecord>,
}

impl PinnedAdapter {
    /// The taste, if this is one.
    pub(super) fn taste(&self) -> Option<TasteTurn<'_>> {
        match (self.config.as_ref(), &self.state) {
            (AdapterConfig::Tpop(taste), AdapterState::Tpop(state)) => {
                Some(TasteTurn { pinned: self, taste, state })
            }
            (AdapterConfig::Rosa { .. }, _) | (_, AdapterState::Rosa(_)) => None,
        }
    }
}

impl TasteTurn<'_> {
    /// What is done without asking. Nothing before anything was taught, so that a cold start is plain decoding, and nothing
    /// while the taste is distrusted or not served.
    pub(super) fn serving(&self) -> Result<TurnPlan> {
        if self.state.taught() == 0 || !self.state.serves_best() {
            return Ok(TurnPlan::Plain);
        }
        if self.taste.params.level == DuelLevel::Token {
            return Ok(TurnPlan::Tokens);
        }
        if self.taste.arms.is_empty() {
            return Ok(TurnPlan::Samples(self.taste.params.candidates));
        }
        let rewards = setting_rewards(self.taste, self.state)?;
        Ok(TurnPlan::Setting(largest(rewards.into_iter()).unwrap_or(0)))
    }

    /// What is to be made for a duel.
    pub(super) fn asking(&self, request: &DuelRequest) -> Result<TurnPlan> {
        if self.taste.params.level == DuelLevel::Token {
            return Ok(TurnPlan::Tokens);
        }
        if self.taste.arms.is_empty() {
            return Ok(TurnPlan::Samples(self.taste.params.candidates));
        }
        Ok(match self.between_settings(request)? {
            TpopChoice::Duel(duel) => TurnPlan::Settings(duel.rows),
            TpopChoice::Alone { row, .. } => TurnPlan::Setting(row),
        })
    }

    fn between_settings(&self, request: &DuelRequest) -> Result<TpopChoice> {
        let features = setting_features(self.taste)?;
        let digests = (0u64..)
            .map(|at| *Fingerprint::builder("trimtab.setting").number(at).finish().as_bytes());
        self.choose(request, &features, &digests.take(features.len()).collect::<Vec<_>>())
    }

    fn choose(
        &self,
        request: &DuelRequest,
        features: &[Vec<f32>],
        digests: &[TpopDigest],
    ) -> Result<TpopChoice> {
        let both = features.iter().zip(digests);
        let candidates: Vec<DuelCandidate<'_>> =
            both.map(|(features, answer)| DuelCandidate { features, answer: *answer }).collect();
        let rule = request.second.unwrap_or(self.taste.params.second);
        Ok(self.state.choose_by(rule, self.pinned.turn, &candidates)?)
    }

    /// Which sampled answer is served.
    pub(super) fn best_of(&self, model: &LearningModel, answers: &[AnswerRecord]) -> Result<usize> {
        if !self.state.serves_best() {
            return Ok(0);
        }
        let space = TasteSpace::of(self.taste, model)?;
        let rewards = answers.iter().map(|answer| {
            let features = space.of_answer(&answer.recording).unwrap_or_default();
            let reward = self.state.head().reward(&features);
            // A reward that is not a number is above nothing.
            if reward.is_nan() { f64::NEG_INFINITY } else { reward }
        });
        Ok(largest(rewards).unwrap_or(0))
    }

    /// The sampler of a duel token by token.
    pub(super) fn token_duel(
        &self,
        model: &LearningModel,
        sampling: Sampling,
    ) -> Result<TokenDuel> {
        match TasteSpace::of(self.taste, model)? {
            TasteSpace::Tokens(tokens) => {
                let taste = TokenTaste::of(self.state, tokens)?;
                Ok(TokenDuel::new(Arc::new(taste), sampling))
            }
            TasteSpace::Answers(_) | TasteSpace::Settings(_) => {
                Err(Error::invalid("tpop.level", "is response, and token duels are another level"))
            }
        }
    }

    /// Chooses what is shown.
    pub(super) fn open(
        &self,
        model: &LearningModel,
        request: &DuelRequest,
        answers: Vec<AnswerRecord>,
    ) -> Result<OpenedDuel> {
        let plan = self.asking(request)?;
        let wanted = match plan {
            TurnPlan::Samples(count) => count,
            TurnPlan::Plain | TurnPlan::Setting(_) => 1,
            TurnPlan::Settings(_) | TurnPlan::Tokens => 2,
        };
        if answers.len() != wanted {
            let problem = format!("are {}, this duel wants {wanted}", answers.len());
            return Err(Error::invalid("answers", problem));
        }
        let space = TasteSpace::of(self.taste, model)?;
        let shown = |row: usize| match plan {
            TurnPlan::Samples(_) => (Contender::Sample(row), row),
            TurnPlan::Tokens => (Contender::Token(row), row),
            TurnPlan::Plain | TurnPlan::Setting(_) => (Contender::Setting(row), 0),
            TurnPlan::Settings([a, _]) => (Contender::Setting(row), usize::from(row != a)),
        };
        let choice = match plan {
            TurnPlan::Settings(_) | TurnPlan::Setting(_) | TurnPlan::Plain => {
                self.between_settings(request)?
            }
            TurnPlan::Samples(_) | TurnPlan::Tokens => {
                self.between_answers(request, &space, &answers)?
            }
        };
        match choice {
            TpopChoice::Alone { row, .. } => self.alone(shown(row), answers),
            TpopChoice::Duel(duel) => {
                let arms = duel.rows.map(shown);
                self.both(request, &space, *duel, (arms, answers))
            }
        }
    }

    fn between_answers(
        &self,
        request: &DuelRequest,
        space: &TasteSpace,
        answers: &[AnswerRecord],
    ) -> Result<TpopChoice> {
        let of = |answer: &AnswerRecord| space.of_answer(&answer.recording);
        let features: Vec<Vec<f32>> = answers.iter().filter_map(of).collect();
        let digest = |answer: &AnswerRecord| digest_of(&answer.recording.tokens);
        let digests: Vec<TpopDigest> = answers.iter().map(digest).collect();
        self.choose(request, &features, &digests)
    }

    fn named(&self, answers: Vec<DuelAnswer>, order_propensity: f64) -> ShownDuel {
        let pinned = self.pinned;
        let digest = Fingerprint::builder("trimtab.duel").text(pinned.key.owner());
        let digest = digest.text(pinned.key.id()).number(self.pinned.turn.round as u64);
        let digest = answers.iter().fold(digest, |digest, shown| {
            digest.text(&shown.answer.response).number(shown.answer.choice as u64)
        });
        let name = digest.finish().to_string();
        ShownDuel {
            id: format!("duel-{}", name.get(..24).unwrap_or(&name)),
            adapter: pinned.key.id().to_owned(),
            version: pinned.version,
            answers,
            order_propensity,
            expires: 0,
            chosen: None,
        }
    }

    /// One answer and no question.
    fn alone(
        &self,
        (contender, at): (Contender, usize),
        answers: Vec<AnswerRecord>,
    ) -> Result<OpenedDuel> {
        let answer = answers.into_iter().nth(at).ok_or_else(missing)?;
        let shown = best(&answer, contender);
        let shown = self.named(vec![shown], 1.0);
        Ok(OpenedDuel { document: DuelDocument { shown, pair: None }, answers: vec![answer] })
    }

    /// Two answers, the left one first. Of each arm it is known what it is, and which answer.
    fn both(
        &self,
        request: &DuelRequest,
        space: &TasteSpace,
        duel: Duel,
        ([of_a, of_b], answers): ([(Contender, usize); 2], Vec<AnswerRecord>),
    ) -> Result<OpenedDuel> {
        let answer = |at: usize| answers.get(at).cloned().ok_or_else(missing);
        let (a, b) = (answer(of_a.1)?, answer(of_b.1)?);
        let order = request.order.unwrap_or(duel.order);
        let order_propensity = if request.order.is_some() { 1.0 } else { ORDER_PROPENSITY };
        let (arm, propensity) = (word(&duel.rule), duel.propensity);
        let first = best(&a, of_a.0);
        let second = DuelAnswer { arm, propensity, ..best(&b, of_b.0) };
        let round = self.pinned.turn.round as u64;
        let tokens = [a.recording.tokens.as_slice(), b.recording.tokens.as_slice()];
        let prefixes = space.prefixes(self.state.scope().seed, round << 1, tokens);
        let pair = Some(KeptPair::of(&duel, order, prefixes));
        let (shown, answers) = match order {
            DuelOrder::ALeft => (vec![first, second], vec![a, b]),
            DuelOrder::BLeft => (vec![second, first], vec![b, a]),
        };
        let shown = self.named(shown, order_propensity);
        Ok(OpenedDuel { document: DuelDocument { shown, pair }, answers })
    }
}

fn missing() -> Error {
    Error::invalid("answers", "are fewer than were wanted")
}

/// How arm a is shown.
fn best(answer: &AnswerRecord, contender: Contender) -> DuelAnswer {
    let (answer, arm) = (answer.answer.clone(), "best".to_owned());
    DuelAnswer { answer, contender, arm, propensity: 1.0 }
}
