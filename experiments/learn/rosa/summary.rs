//! Tables of the results file: shares by arm, and differences to ROSA, paired by item.

use super::stats::{Bootstrap, Estimate, difference, present};
use super::task::Task;
use serde_json::Value;
use trimtab_runtime::sample::{Draw, Purpose};

/// How often the signs of differences are drawn anew.
const FLIPS: usize = 4000;

/// Values by item, several of an item; the same places in every arm.
type Clusters = Vec<Vec<Option<f64>>>;

/// The lines of one task.
pub struct Summary<'a> {
    pub task: Task,
    pub lines: Vec<&'a Value>,
    pub arms: Vec<(String, String)>,
    pub seeds: u64,
}

/// What is read off one row: an arm with a seed.
type Measure<'a> = &'a dyn Fn(&Value) -> Vec<Option<f64>>;

fn flag(value: &Value) -> Option<f64> {
    value.as_bool().map(f64::from)
}

/// A field of every try.
fn of_tries(row: &Value, field: &str) -> Vec<Option<f64>> {
    (0..3).map(|at| flag(&row["tries"][at][field])).collect()
}

fn any_right(row: &Value) -> Vec<Option<f64>> {
    let tries = row["tries"].as_array().into_iter().flatten();
    vec![Some(f64::from(tries.into_iter().any(|t| t["right"] == true)))]
}

fn of_updates(row: &Value, field: &str) -> Vec<Option<f64>> {
    (0..3).map(|at| row["updates"][at][field].as_f64()).collect()
}

fn last_applied(row: &Value, field: &str) -> Vec<Option<f64>> {
    let updates = row["updates"].as_array().into_iter().flatten();
    let applied = updates.filter(|u| u["outcome"] == "applied").filter_map(|u| u[field].as_f64());
    vec![applied.reduce(|_, last| last)]
}

fn applied(row: &Value) -> Vec<Option<f64>> {
    let updates = row["updates"].as_array().into_iter().flatten();
    updates.map(|u| Some(f64::from(u["outcome"] == "applied"))).collect()
}

impl Summary<'_> {
    fn clusters(&self, arm: &str, measure: Measure) -> Clusters {
        let of_item = |line: &&Value| {
            let rows = line["rows"].as_array().into_iter().flatten();
            let own = rows.filter(|row| row["arm"] == arm);
            own.flat_map(measure).collect()
        };
        self.lines.iter().map(of_item).collect()
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap::new(self.lines.len())
    }

    /// Every arm.
    pub fn arms(&self) -> String {
        let bootstrap = self.bootstrap();
        let mut lines = vec![
            "| arm | repeats an earlier wrong answer | right, a try | right at try 2 | 3 | 4 | any of three | reworded |".to_owned(),
            "| --- | --- | --- | --- | --- | --- | --- | --- |".to_owned(),
        ];
        for (name, title) in &self.arms {
            let mean = |measure: Measure| bootstrap.mean(&present(&self.clusters(name, measure)));
            let at = |k: usize| mean(&|row| vec![flag(&row["tries"][k]["right"])]);
            let cells = [
                format!("{name} {title}"),
                share(mean(&|row| of_tries(row, "repeat"))),
                share(mean(&|row| of_tries(row, "right"))),
                share(at(0)),
                share(at(1)),
                share(at(2)),
                share(mean(&any_right)),
                share(mean(&|row| of_tries(row, "reworded"))),
            ];
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }

    /// What ROSA has over each other arm.
    pub fn differences(&self, of: &str) -> String {
        let bootstrap = self.bootstrap();
        let mut lines = vec![
            format!(
                "| {of} − | repeats at try 2 | right, a try | right at try 2, 3, 4 (Holm p) | any of three |"
            ),
            "| --- | --- | --- | --- | --- |".to_owned(),
        ];
        for (name, title) in self.arms.iter().filter(|(name, _)| name != of) {
            let pair = |measure: Measure| {
                difference(&means(self.clusters(of, measure)), &means(self.clusters(name, measure)))
            };
            let mean = |measure: Measure| signed(bootstrap.mean(&pair(measure)));
            let at = |k: usize| pair(&|row| vec![flag(&row["tries"][k]["right"])]);
            let tries = [at(0), at(1), at(2)];
            let p = holm(tries.each_ref().map(|pairs| flipped(pairs)));
            let told = tries.iter().zip(p).map(|(pairs, p)| {
                format!(
                    "{} ({p:.2})",
                    bootstrap.mean(pairs).map_or("–".to_owned(), |e| format!("{:+.3}", e.mean))
                )
            });
            let cells = [
                format!("{name} {title}"),
                mean(&|row| vec![flag(&row["tries"][0]["repeat"])]),
                mean(&|row| of_tries(row, "right")),
                told.collect::<Vec<_>>().join(", "),
                mean(&any_right),
            ];
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }

    /// What the updates were like, and what else they moved.
    pub fn updates(&self) -> String {
        let bootstrap = self.bootstrap();
        let mut lines = vec![
            "| arm | applied | KL a token | change of ln p | canary KL, mean | most | perplexity | another item stays right | becomes right |".to_owned(),
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |".to_owned(),
        ];
        for (name, title) in &self.arms {
            let mean = |measure: Measure| bootstrap.mean(&present(&self.clusters(name, measure)));
            let Some(taken) = mean(&applied) else { continue };
            let cells = [
                format!("{name} {title}"),
                share(Some(taken)),
                number(mean(&|row| of_updates(row, "kl"))),
                number(mean(&|row| of_updates(row, "rise"))),
                number(mean(&|row| last_applied(row, "canary_mean"))),
                number(mean(&|row| last_applied(row, "canary_max"))),
                number(mean(&|row| vec![row["perplexity"].as_f64()])),
                share(mean(&|row| vec![flag(&row["kept"])])),
                share(mean(&|row| vec![flag(&row["moved"])])),
            ];
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }

    /// How often a fresh try is right given that it does not repeat: what never repeating would give.
    pub fn chance(&self) -> String {
        let fresh = |row: &Value| {
            let tries = row["tries"].as_array().into_iter().flatten();
            tries.filter(|t| t["repeat"] == false).map(|t| flag(&t["right"])).collect()
        };
        let chance = self.bootstrap().mean(&present(&self.clusters("A", &fresh)));
        format!(
            "{} items, {} seeds. Chance level under \"never repeat\": {} a try.",
            self.lines.len(),
            self.seeds,
            share(chance)
        )
    }
}

/// One value for each item: the mean of what it has.
fn means(clusters: Clusters) -> Clusters {
    let mean = |cluster: Vec<Option<f64>>| {
        let present: Vec<f64> = cluster.into_iter().flatten().collect();
        let sum: f64 = present.iter().sum();
        vec![(!present.is_empty()).then(|| sum / present.len() as f64)]
    };
    clusters.into_iter().map(mean).collect()
}

/// Two-sided, by signs drawn anew for each item: how often a mean is as far from 0 as the one found.
fn flipped(pairs: &[Vec<f64>]) -> f64 {
    let values: Vec<f64> = pairs.iter().flatten().copied().filter(|x| *x != 0.0).collect();
    let found: f64 = values.iter().sum::<f64>().abs() - 1e-9;
    let sum = |round: usize| -> f64 {
        let sign = |position: usize| {
            let purpose = Purpose::Named("flip");
            let draw = Draw { seed: round as u64, choice: 0, purpose, attempt: 0, position };
            if draw.uniform() < 0.5 { -1.0 } else { 1.0 }
        };
        values.iter().enumerate().map(|(at, x)| sign(at) * x).sum::<f64>().abs()
    };
    let as_far = (0..FLIPS).filter(|round| sum(*round) >= found).count();
    (as_far + 1) as f64 / (FLIPS + 1) as f64
}

/// p values of three tests, corrected step by step for their number (Holm).
fn holm(p: [f64; 3]) -> [f64; 3] {
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut corrected, mut most) = ([0f64; 3], 0f64);
    for (rank, at) in order.into_iter().enumerate() {
        most = most.max((3 - rank) as f64 * p[at]).min(1.0);
        corrected[at] = most;
    }
    corrected
}

fn share(value: Option<Estimate>) -> String {
    value.map_or("–".to_owned(), |e| format!("{:.2} [{:.2}, {:.2}]", e.mean, e.low, e.high))
}

fn number(value: Option<Estimate>) -> String {
    value.map_or("–".to_owned(), |e| format!("{:.4} [{:.4}, {:.4}]", e.mean, e.low, e.high))
}

fn signed(value: Option<Estimate>) -> String {
    value.map_or("–".to_owned(), |e| format!("{:+.3} [{:+.3}, {:+.3}]", e.mean, e.low, e.high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_tell_a_shift_from_noise() {
        let shift: Vec<Vec<f64>> = (0..20).map(|_| vec![1.0]).collect();
        let noise: Vec<Vec<f64>> =
            (0..20).map(|i| vec![if i % 2 == 0 { 1.0 } else { -1.0 }]).collect();
        assert!(flipped(&shift) < 0.001 && flipped(&noise) > 0.9);
        let corrected = holm([0.04, 0.01, 0.03]);
        assert!(corrected.iter().zip([0.06, 0.03, 0.06]).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
