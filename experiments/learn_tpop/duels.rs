//! Duels of a simulated user with the shipped state: which setting is served after each of them.

use super::users::{Counts, User};
use trimtab_adapters::tpop::{
    ArmFeatures, DuelCandidate, DuelTurn, JudgedAt, PairLabel, SecondRule, SettingFeatures, Tpop,
    TpopChoice, TpopError, TpopParams, TpopScope, TpopState,
};
use trimtab_runtime::sample::{Draw, Purpose};

/// Duels of one run; each on a prompt of its own.
pub const DUELS: usize = 40;

/// How a user chooses between two utilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choices {
    /// Bradley and Terry, with so many log-odds for a difference of 1.
    Noisy(f64),
    /// The better one, by a coin where there is none.
    Sure,
}

impl Choices {
    pub const NOISY: Choices = Choices::Noisy(6.0);

    fn odds(self, difference: f64) -> f64 {
        match self {
            Choices::Noisy(strength) => 1.0 / (1.0 + (-strength * difference).exp()),
            Choices::Sure if difference == 0.0 => 0.5,
            Choices::Sure => f64::from(u8::from(difference > 0.0)),
        }
    }
}

/// What becomes of a choice on its way to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    Honest,
    Inverted,
    /// A coin instead.
    Coin,
}

/// A series of duels.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    pub user: User,
    pub choices: Choices,
    pub labels: Labels,
    pub second: SecondRule,
    /// The weight of the bonus; the shipped one unless it is studied.
    pub nu: f64,
}

/// A duel that was held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The arm that was said to be better, and the other.
    pub arms: [usize; 2],
    pub prompt: usize,
}

/// What came of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The arm served after 0, 1, … duels.
    pub served: Vec<usize>,
    pub held: Vec<Held>,
}

impl Series {
    pub fn new(user: User) -> Series {
        let (choices, labels) = (Choices::NOISY, Labels::Honest);
        Series { user, choices, labels, second: SecondRule::Ucb, nu: TpopParams::default().nu }
    }

    /// Holds the duels on prompts in an order of the seed.
    // counts [arms][prompts]
    pub fn run(&self, counts: &[Vec<Counts>], seed: u64) -> Result<Outcome, TpopError> {
        let arms =
            ArmFeatures::of_settings(SettingFeatures::Categorical { settings: counts.len() })?;
        let scope =
            TpopScope { config: self.keys()?, extractor: *arms.id(), width: arms.width(), seed };
        let mut state = TpopState::new(scope)?;
        let features: Vec<Vec<f32>> =
            (0..counts.len()).map(|arm| arms.features(arm, &[])).collect::<Result<_, _>>()?;
        let candidates: Vec<DuelCandidate<'_>> = (0u8..)
            .zip(&features)
            .map(|(arm, features)| DuelCandidate { features, answer: [arm; 32] })
            .collect();
        let mut outcome = Outcome { served: vec![served(&state, &features)], held: Vec::new() };
        for (round, prompt) in order(DUELS, seed).into_iter().enumerate() {
            let turn = DuelTurn { round, since_asked: None };
            let TpopChoice::Duel(duel) = state.choose(turn, &candidates)? else { break };
            let worth = duel.rows.map(|arm| self.worth(counts, arm, prompt));
            let picks_a = self.picks_first(worth, seed, round);
            let [a, b] = duel.rows;
            outcome.held.push(Held { arms: if picks_a { [a, b] } else { [b, a] }, prompt });
            let judgement = if picks_a { PairLabel::A } else { PairLabel::B };
            let at = JudgedAt { time_ms: round as i64, took_ms: None };
            state = state.learn(duel.judged(round as u64, judgement, at))?.state;
            outcome.served.push(served(&state, &features));
        }
        Ok(outcome)
    }

    /// The default keys, but for what the series varies, and that no duel is spared.
    pub fn keys(&self) -> Result<Tpop, TpopError> {
        let (second, nu) = (self.second, self.nu);
        TpopParams { second, nu, ask_budget: DUELS, ..TpopParams::default() }.check()
    }

    fn worth(&self, counts: &[Vec<Counts>], arm: usize, prompt: usize) -> f64 {
        let counts = counts.get(arm).and_then(|of_arm| of_arm.get(prompt));
        counts.map_or(0.0, |counts| self.user.utility(counts))
    }

    /// Whether what arrives says that the first of two is better.
    pub fn picks_first(&self, [a, b]: [f64; 2], seed: u64, round: usize) -> bool {
        let picks = uniform(seed, "experiment.choice", round) < self.choices.odds(a - b);
        match self.labels {
            Labels::Honest => picks,
            Labels::Inverted => !picks,
            Labels::Coin => uniform(seed, "experiment.coin", round) < 0.5,
        }
    }
}

/// Arm one, or the plain arm where the state distrusts itself.
fn served(state: &TpopState, features: &[Vec<f32>]) -> usize {
    if !state.serves_best() {
        return 0;
    }
    let rewards = features.iter().map(|features| state.head().reward(features)).enumerate();
    let best =
        rewards.fold(
            (0, f64::NEG_INFINITY),
            |best, (arm, reward)| {
                if reward > best.1 { (arm, reward) } else { best }
            },
        );
    best.0
}

/// The numbers 0..n in an order of the seed.
pub fn order(n: usize, seed: u64) -> Vec<usize> {
    let mut keyed: Vec<(f64, usize)> =
        (0..n).map(|at| (uniform(seed, "experiment.order", at), at)).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    keyed.into_iter().map(|(_, at)| at).collect()
}

pub fn uniform(seed: u64, purpose: &'static str, position: usize) -> f64 {
    let purpose = Purpose::Named(purpose);
    Draw { seed, choice: 0, purpose, attempt: 0, position }.uniform()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four arms; the last has the most items.
    fn counts() -> Vec<Vec<Counts>> {
        let of = |items: f64| vec![Counts { items, ..Counts::default() }; DUELS];
        vec![of(0.0), of(1.0), of(0.0), of(4.0)]
    }

    fn late(series: Series) -> usize {
        let runs = (0..10).filter_map(|seed| series.run(&counts(), seed).ok());
        runs.filter(|run| run.served.last() == Some(&3)).count()
    }

    #[test]
    fn the_best_arm_is_found_and_the_controls_find_it_not() {
        let series = Series::new(User::List);
        assert!(late(series) >= 9);
        assert!(late(Series { choices: Choices::Sure, ..series }) >= 9);
        assert_eq!(late(Series { labels: Labels::Inverted, ..series }), 0);
        assert!(late(Series { labels: Labels::Coin, ..series }) <= 7);
        let run = series.run(&counts(), 0).unwrap();
        assert_eq!((run.served.len(), run.served.first()), (DUELS + 1, Some(&0)));
        let mut prompts: Vec<usize> = run.held.iter().map(|held| held.prompt).collect();
        prompts.sort_unstable();
        assert_eq!(prompts, (0..DUELS).collect::<Vec<_>>());
    }
}
