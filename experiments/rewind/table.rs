//! Markdown tables of the results file.

use super::arms::Arm;
use super::stats::{Bootstrap, Estimate, difference, present};
use super::store::{Key, Store};
use super::toy::Toy;

/// What the tables are made of.
pub struct Tables<'a> {
    pub store: &'a Store,
    pub seeds: &'a [u64],
    pub tokens: usize,
    pub prompts: usize,
}

impl Tables<'_> {
    fn key(&self, toy: Toy, arm: Arm) -> Key {
        let (policy, arm) = (toy.material().name.to_owned(), arm.name().to_owned());
        Key { policy, arm, seed: 0, tokens: self.tokens, prompts: self.prompts }
    }

    /// Seeds of which an arm has a run.
    fn seeds_of(&self, toy: Toy, arm: Arm) -> Vec<u64> {
        let has = |seed: &u64| self.store.has(&Key { seed: *seed, ..self.key(toy, arm) });
        self.seeds.iter().copied().filter(has).collect()
    }

    fn figures(&self, toy: Toy, arm: Arm, name: &str) -> Vec<Vec<Option<f64>>> {
        self.store.figures(&self.key(toy, arm), self.seeds, name)
    }

    /// Every arm of a policy.
    pub fn arms(&self, toy: Toy, bootstrap: &Bootstrap) -> String {
        let mut lines = vec![
            "| arm | seeds | violates | of those answered | refused | keeps it and answers | discarded | run | \
             perplexity | nats a token over base |"
                .to_owned(),
            "| --- | --: | --- | --- | --- | --- | --- | --- | --: | --- |".to_owned(),
        ];
        for arm in Arm::ALL.into_iter().filter(|arm| arm.applies_to(toy)) {
            let seeds = self.seeds_of(toy, arm).len();
            if seeds == 0 {
                continue;
            }
            let mean = |name: &str| bootstrap.mean(&present(&self.figures(toy, arm, name)));
            let nll = self.figures(toy, arm, "nll");
            let over = difference(&nll, &self.figures(toy, Arm::Base, "nll"));
            let cells = [
                arm.title().to_owned(),
                seeds.to_string(),
                share(mean("violated")),
                share(mean("delivered")),
                share(mean("refused")),
                share(mean("kept")),
                count(mean("discarded")),
                count(mean("run")),
                mean("nll").map_or(String::new(), |e| format!("{:.2}", e.mean.exp())),
                if arm == Arm::Base { String::new() } else { signed(bootstrap.mean(&over)) },
            ];
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }

    /// Differences between rules of rewinding, by prompt and seed.
    pub fn rules(&self, toy: Toy, bootstrap: &Bootstrap) -> String {
        let pairs = [
            (Arm::Sharpness, Arm::Clean),
            (Arm::Sharpness, Arm::Fixed),
            (Arm::Sharpness, Arm::Drawn),
            (Arm::Clean, Arm::Fixed),
            (Arm::Clean, Arm::Drawn),
            (Arm::Clean, Arm::Random),
            (Arm::Text, Arm::Clean),
            (Arm::Vector, Arm::Clean),
            (Arm::Clean, Arm::Best),
        ];
        let mut lines = vec![
            "| difference | keeps it and answers | refused | discarded | run | nats a token |"
                .to_owned(),
            "| --- | --- | --- | --- | --- | --- |".to_owned(),
        ];
        for (a, b) in pairs {
            let paired = |name: &str| {
                let (a, b) = (self.figures(toy, a, name), self.figures(toy, b, name));
                bootstrap.mean(&difference(&a, &b))
            };
            if paired("kept").is_none() {
                continue;
            }
            let cells = [
                format!("{} − {}", a.name(), b.name()),
                signed(paired("kept")),
                signed(paired("refused")),
                signed_count(paired("discarded")),
                signed_count(paired("run")),
                signed(paired("nll")),
            ];
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }

    /// How often the threshold of sharpness binds, and how many rewinds an answer had.
    pub fn remarks(&self, toy: Toy) -> String {
        let sum = |arm: Arm, name: &str| -> f64 {
            let all = self.figures(toy, arm, name);
            all.iter().flatten().flatten().sum()
        };
        let (peaks, counted) = (sum(Arm::Sharpness, "peaks"), sum(Arm::Sharpness, "counted"));
        let rewinds: Vec<String> = Arm::ALL
            .into_iter()
            .filter(|arm| arm.is_guarded() && !self.seeds_of(toy, *arm).is_empty())
            .map(|arm| {
                let (rewinds, flagged) = (sum(arm, "rewinds"), sum(arm, "flagged"));
                let answers = (self.seeds_of(toy, arm).len() * self.prompts) as f64;
                format!("{} {:.2} ({flagged} flagged)", arm.name(), rewinds / answers)
            })
            .collect();
        format!(
            "Peaks of sharpness in reach of a rewind: {peaks}, at or above τ: {counted}. \
             Rewinds an answer: {}.",
            rewinds.join(", ")
        )
    }
}

fn share(value: Option<Estimate>) -> String {
    value.map_or(String::new(), |e| format!("{:.2} [{:.2}, {:.2}]", e.mean, e.low, e.high))
}

fn count(value: Option<Estimate>) -> String {
    value.map_or(String::new(), |e| format!("{:.1} [{:.1}, {:.1}]", e.mean, e.low, e.high))
}

fn signed(value: Option<Estimate>) -> String {
    value.map_or(String::new(), |e| format!("{:+.3} [{:+.3}, {:+.3}]", e.mean, e.low, e.high))
}

fn signed_count(value: Option<Estimate>) -> String {
    value.map_or(String::new(), |e| format!("{:+.1} [{:+.1}, {:+.1}]", e.mean, e.low, e.high))
}
