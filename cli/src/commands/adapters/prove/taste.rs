//! Choices on copies of the newest version of a taste.

use super::answers::judged;
use super::checks::signed;
use super::copy::Proving;
use crate::error::{Error, Result};
use trimtab_adapters::host::{
    AdapterState, AnswerRecord, DuelRequest, DuelVote, PinRequest, PinnedAdapter, TurnPlan,
};
use trimtab_adapters::tpop::{DuelPair, PairLabel, TpopState};
use trimtab_steering::verify::Check;

impl Proving<'_> {
    /// How either choice moves the reward of the chosen answer over the other's.
    pub fn choices(&mut self) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for (name, id, vote) in [
            ("left_choice_raises", "choice-left", DuelVote::Left),
            ("right_choice_raises", "choice-right", DuelVote::Right),
        ] {
            checks.push(self.chosen(name, id, vote)?);
        }
        Ok(checks)
    }

    fn chosen(&mut self, name: &'static str, id: &str, vote: DuelVote) -> Result<Check> {
        let (key, host) = (self.copied(id)?, self.learning.host().clone());
        let before = self.learning.wait(host.pin(&key, &PinRequest::Newest))?;
        let request = DuelRequest::default();
        let plan = host.asking(&before, &request)?;
        let answers = self.contenders(&before, &plan)?;
        let shown = self.learning.wait(host.open_duel(&before, &request, answers))?;
        let report = self.learning.wait(host.choose(key.owner(), &shown.id, vote))?;
        let after = self.learning.wait(host.pin(&key, &PinRequest::Newest))?;
        let (AdapterState::Tpop(old), AdapterState::Tpop(new)) = (before.state(), after.state())
        else {
            return Err(Error::usage("--adapter", "is no learner of tastes"));
        };
        let note = match &report.reason {
            Some(reason) => format!("the choice was refused: {reason}"),
            None => "log-odds that the chosen answer gained over the other".to_owned(),
        };
        Ok(signed(name, new.pairs().last().map_or(0.0, |pair| gain(pair, old, new)), 1.0, note))
    }

    /// As many answers as a duel wants. Settings are told apart by their place: what is answered under them is the same.
    fn contenders(&mut self, pinned: &PinnedAdapter, plan: &TurnPlan) -> Result<Vec<AnswerRecord>> {
        let count = match plan {
            TurnPlan::Samples(count) => *count,
            TurnPlan::Settings(_) | TurnPlan::Tokens => 2,
            TurnPlan::Plain | TurnPlan::Setting(_) => 1,
        };
        let prompts = judged(self.opened)?;
        let prompts = prompts.iter().cycle().take(count);
        let each = prompts.enumerate().map(|(at, prompt)| {
            self.recorded(pinned, prompt, format!("{}-{}-{at}", self.name, pinned.key().id()))
        });
        each.collect()
    }
}

/// What the chosen answer of a pair gained over the other, in log-odds.
fn gain(pair: &DuelPair, old: &TpopState, new: &TpopState) -> f64 {
    let sign = match pair.judgement {
        PairLabel::A => 1.0,
        PairLabel::B => -1.0,
        PairLabel::Tie | PairLabel::Skip | PairLabel::BothBad => 0.0,
    };
    let [a, b] = &pair.features;
    let margin = |state: &TpopState| state.head().reward(a) - state.head().reward(b);
    sign * (margin(new) - margin(old))
}
