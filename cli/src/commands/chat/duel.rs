//! A message answered twice, and the choice between both.

use super::conversation::{Proposal, TurnTerms};
use super::talk::{Talk, arm};
use crate::commands::answer::Reply;
use crate::commands::vectors::Steering;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use trimtab_adapters::host::{
    DuelAnswer, DuelRequest, DuelVote, FeedbackReport, PinnedAdapter, ShownDuel, TurnPlan,
};

/// What is asked after a duel.
pub const QUESTION: &str = "which is better: 1, 2, tie, skip or both_bad?";

/// A duel that waits for a choice: the answers as they are shown, left first.
pub struct OpenDuel {
    pub shown: ShownDuel,
    replies: Vec<Reply>,
}

impl OpenDuel {
    /// Whether there is something to choose.
    pub fn is_open(&self) -> bool {
        self.replies.len() > 1
    }

    /// Prints the answers.
    pub fn tell(&self, console: &Console) -> Result<()> {
        for (number, reply) in (1..).zip(&self.replies) {
            if self.is_open() {
                console.say_line(console.titled(&number.to_string()))?;
            }
            console.say_line(&reply.answer.text)?;
        }
        Ok(())
    }

    /// The duel for programs. Which answer is which arm's is known once it is decided.
    pub fn document(&self) -> Fields {
        let answer = |(reply, answer): (&Reply, &DuelAnswer)| {
            Fields::new("text", &reply.answer.text)
                .with("arm", &answer.arm)
                .with("propensity", answer.propensity)
        };
        let answers: Vec<Fields> =
            self.replies.iter().zip(&self.shown.answers).map(answer).collect();
        Fields::new("id", &self.shown.id)
            .with("version", self.shown.version)
            .with("order_propensity", self.shown.order_propensity)
            .with("answers", answers)
    }
}

/// What was typed as a choice.
pub fn vote(text: &str) -> Option<DuelVote> {
    match text {
        "1" => Some(DuelVote::Left),
        "2" => Some(DuelVote::Right),
        "tie" => Some(DuelVote::Tie),
        "skip" => Some(DuelVote::Skip),
        "both_bad" => Some(DuelVote::BothBad),
        _ => None,
    }
}

impl Talk<'_> {
    /// Says something and has it answered for a duel.
    pub fn duel(&mut self, text: &str) -> Result<OpenDuel> {
        self.adapter_for("/duel")?;
        self.steered.say(text);
        let open = self.contest();
        if open.is_err() {
            self.undo();
        }
        open
    }

    fn contest(&mut self) -> Result<OpenDuel> {
        let adapter = self.adapter_for("/duel")?;
        let pinned = adapter.pin()?;
        let plan = adapter.host().asking(&pinned, &DuelRequest::default())?;
        let (proposals, under) = self.contenders(&pinned, &plan)?;
        let Talk { adapter: Some(adapter), version, .. } = self else {
            return Err(Error::usage("/duel", "needs an adapter"));
        };
        let (mut replies, mut records) = (Vec::new(), Vec::new());
        for (proposal, steering) in proposals.into_iter().zip(under) {
            let record = adapter.record_of(&pinned, &proposal, steering.plan());
            replies.push((record.answer.clone(), proposal.reply));
            records.push(record);
        }
        let shown = adapter.open_duel(&pinned, records)?;
        *version = Some(pinned.version());
        adapter.forget_last();
        let mut take = |answer: &DuelAnswer| {
            let at = replies.iter().position(|(own, _)| *own == answer.answer)?;
            Some(replies.swap_remove(at).1)
        };
        let replies = shown.answers.iter().filter_map(&mut take).collect();
        Ok(OpenDuel { shown, replies })
    }

    /// The answers that a duel wants, and the vectors that each was made under.
    fn contenders(
        &mut self,
        pinned: &PinnedAdapter,
        plan: &TurnPlan,
    ) -> Result<(Vec<Proposal>, Vec<Steering>)> {
        let steering = self.steering.clone();
        let (proposals, arms) = match *plan {
            TurnPlan::Plain | TurnPlan::Setting(_) => (self.samples(pinned, 1)?, None),
            TurnPlan::Samples(count) => (self.samples(pinned, count)?, None),
            TurnPlan::Tokens => (self.lockstep(pinned)?, None),
            TurnPlan::Settings([a, b]) => {
                let [a, b] = [arm(&self.arms, a)?, arm(&self.arms, b)?];
                let terms = [a.terms(pinned), b.terms(pinned)];
                let proposals = self.steered.propose(&terms, None, &mut |_, _| Ok(()))?;
                (proposals, Some(vec![a.steering.clone(), b.steering.clone()]))
            }
        };
        let arms = arms.unwrap_or_else(|| vec![steering; proposals.len()]);
        Ok((proposals, arms))
    }

    /// Two answers whose tokens the duel's sampler chooses together.
    fn lockstep(&mut self, pinned: &PinnedAdapter) -> Result<Vec<Proposal>> {
        let sampling = self.steered.sampling();
        let mut duel = self.adapter_for("/duel")?.host().token_duel(pinned, sampling)?;
        let one = |choice| {
            let terms = TurnTerms::of(&self.steering);
            TurnTerms { adapter: Some(pinned), choice, ..terms }
        };
        let terms = [one(0), one(1)];
        self.steered.propose(&terms, Some(&mut duel), &mut |_, _| Ok(()))
    }

    /// Goes on with the answer that was chosen, or with the left one.
    pub fn decide(&mut self, open: OpenDuel, vote: DuelVote) -> Result<FeedbackReport> {
        let report = self.adapter_for("/duel")?.choose(&open.shown.id, vote)?;
        let right = vote == DuelVote::Right;
        self.go_on(open, usize::from(right));
        Ok(report)
    }

    /// Goes on with one of the answers.
    pub fn go_on(&mut self, open: OpenDuel, index: usize) {
        if let Some(reply) = open.replies.into_iter().nth(index) {
            self.steered.keep(reply);
        }
    }
}
