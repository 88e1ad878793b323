//! The tables: what settings do, and what duels find of it on prompts that no duel saw.

use super::cache::{Cache, Kept};
use super::duels::{Choices, DUELS, Held, Labels, Series};
use super::response::{CONTROLS, Sampled};
use super::rival;
use super::settings::{Form, Setting};
use super::share::{Bootstrap, Interval};
use super::users::{Counts, User};
use std::collections::BTreeMap;
use trimtab_adapters::tpop::SecondRule;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Duels after which the served arm is judged.
pub const AFTER: [usize; 7] = [1, 2, 3, 5, 10, 20, 40];
/// Duels after which the rival writes its line, and on how many seeds.
pub const LINES: ([usize; 3], u64) = ([3, 10, 40], 5);

/// Answers of one model, and how they are judged.
pub struct Report<'a> {
    pub cache: &'a Cache,
    pub seeds: u64,
    /// Held-out prompts.
    pub held: usize,
}

/// The settings of a series of duels, and what is counted of their answers.
struct Arms {
    name: String,
    settings: Vec<Setting>,
    /// `[settings][prompts]`, the duels' first.
    counts: Vec<Vec<Counts>>,
}

impl Arms {
    /// Utilities on held-out prompts.
    // [] -> [settings][held]
    fn worth(&self, user: User) -> Vec<Vec<f64>> {
        let of = |counts: &Vec<Counts>| {
            counts.iter().skip(DUELS).map(|counts| user.utility(counts)).collect()
        };
        self.counts.iter().map(of).collect()
    }
}

/// The ends of a user's gap on held-out prompts.
struct Gap {
    worth: Vec<Vec<f64>>,
    random: Vec<f64>,
    best: usize,
}

impl Gap {
    fn of(arms: &Arms, user: User) -> Gap {
        let worth = arms.worth(user);
        let prompts = worth.first().map_or(0, Vec::len);
        let mean = |at: usize| {
            let sum: f64 = worth.iter().filter_map(|arm| arm.get(at)).sum();
            sum / worth.len().max(1) as f64
        };
        let random = (0..prompts).map(mean).collect();
        let totals = worth.iter().map(|arm| arm.iter().sum::<f64>()).enumerate();
        let best = totals.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(arm, _)| arm);
        Gap { worth, random, best }
    }

    fn arm(&self, arm: usize) -> &[f64] {
        self.worth.get(arm).map(Vec::as_slice).unwrap_or_default()
    }

    fn share(&self, bootstrap: &Bootstrap, arms: &[usize]) -> Interval {
        let got: Vec<&[f64]> = arms.iter().map(|arm| self.arm(*arm)).collect();
        bootstrap.share(&got, &self.random, self.arm(self.best))
    }
}

impl Report<'_> {
    fn bootstrap(&self) -> Bootstrap {
        Bootstrap::new(self.held, self.seeds as usize)
    }

    /// All tables of what is in the cache.
    pub fn print(&self) -> Result<()> {
        println!("{}", self.effects());
        for arms in self.sets() {
            println!("#### {}\n", arms.name);
            println!("{}", self.gaps(&arms));
            println!("{}", self.shares(&arms)?);
            println!("{}", self.rivals(&arms)?);
        }
        Ok(())
    }

    fn sets(&self) -> Vec<Arms> {
        let four = Form::ALL.into_iter().map(|form| {
            let name = format!("Four arms: plain, short, list, warm; form: {}", form.name());
            (name, Setting::of(&[form]))
        });
        let ten = [Form::Instruction, Form::Vector, Form::Both];
        let ten = ("Ten arms: instruction, vector and both".to_owned(), Setting::of(&ten));
        four.chain([ten]).filter_map(|(name, settings)| self.arms(name, settings)).collect()
    }

    /// `None` where answers are missing.
    fn arms(&self, name: String, settings: Vec<Setting>) -> Option<Arms> {
        let counts = settings.iter().map(|setting| self.counts(&setting.name(), 0));
        let counts: Option<Vec<Vec<Counts>>> = counts.collect();
        Some(Arms { name, settings, counts: counts? })
    }

    fn counts(&self, setting: &str, from: usize) -> Option<Vec<Counts>> {
        let prompts = from..DUELS + self.held;
        prompts.map(|prompt| Some(Counts::of(&self.cache.get(setting, prompt, 0)?.text))).collect()
    }

    /// What each setting does on held-out prompts.
    fn effects(&self) -> String {
        let mut table = String::from(
            "| setting | words | ended | short | list | exclaim | letters |\n| --- | --: | --: | --- | --- | --- | --- |\n",
        );
        let bootstrap = self.bootstrap();
        for setting in Setting::of(&Form::ALL) {
            let name = setting.name();
            let (Some(counts), Some(plain)) =
                (self.counts(&name, DUELS), self.counts("plain", DUELS))
            else {
                continue;
            };
            let kept = (DUELS..DUELS + self.held).filter_map(|at| self.cache.get(&name, at, 0));
            let ended = kept.filter(|kept: &&Kept| kept.ended).count() as f64 / self.held as f64;
            let words = counts.iter().map(|c| c.words).sum::<f64>() / counts.len() as f64;
            let of = |user: User| {
                let here = counts.iter().map(|c| user.utility(c));
                let there = plain.iter().map(|c| user.utility(c));
                let values: Vec<f64> = match setting {
                    Setting::Plain => here.collect(),
                    Setting::Styled(..) => here.zip(there).map(|(a, b)| a - b).collect(),
                };
                bootstrap.mean(&values).to_string()
            };
            let users = User::ALL.map(of).join(" | ");
            table += &format!("| {name} | {words:.0} | {ended:.2} | {users} |\n");
        }
        table
    }

    /// Each user's best arm and its gap.
    fn gaps(&self, arms: &Arms) -> String {
        let mut table =
            String::from("| user | best arm | random arm | gap |\n| --- | --- | --- | --- |\n");
        let bootstrap = self.bootstrap();
        for user in User::ALL {
            let gap = Gap::of(arms, user);
            let pairs = gap.arm(gap.best).iter().zip(&gap.random);
            let values: Vec<f64> = pairs.map(|(best, random)| best - random).collect();
            let best = arms.settings.get(gap.best).map(|setting| setting.name());
            let (best, random) = (best.unwrap_or_default(), bootstrap.mean(&gap.random));
            let line =
                format!("| {} | {best} | {random} | {} |\n", user.name(), bootstrap.mean(&values));
            table += &line;
        }
        table
    }

    /// The share of the gap after some duels, by user and rule.
    fn shares(&self, arms: &Arms) -> Result<String> {
        let mut table = format!("| user | rule | {} |\n", AFTER.map(|n| n.to_string()).join(" | "));
        table += &format!("| --- | --- | {} |\n", AFTER.map(|_| "---").join(" | "));
        let bootstrap = self.bootstrap();
        for user in User::ALL {
            let gap = Gap::of(arms, user);
            for (name, series) in ways(user) {
                let runs: Vec<Vec<usize>> = (0..self.seeds)
                    .map(|seed| Ok(series.run(&arms.counts, seed)?.served))
                    .collect::<Result<_>>()?;
                let after = |n: usize| {
                    let served = runs.iter().filter_map(|served| served.get(n).or(served.last()));
                    let served: Vec<usize> = served.copied().collect();
                    gap.share(&bootstrap, &served).to_string()
                };
                let shares = AFTER.map(after).join(" | ");
                table += &format!("| {} | {name} | {shares} |\n", user.name());
            }
            let common = gap.share(&bootstrap, &[common(arms)]);
            let plain = gap.share(&bootstrap, &[0]);
            let fixed = format!("arm best on average: {common}; plain: {plain}");
            table += &format!("| {} | without duels | {fixed} |{}\n", user.name(), " |".repeat(6));
        }
        Ok(table)
    }

    /// The lines that the rival needs, with how often.
    pub fn lines(&self) -> Result<BTreeMap<String, usize>> {
        let mut lines = BTreeMap::new();
        for arms in self.sets().iter().filter(|arms| has_lines(arms)) {
            for user in User::ALL {
                for held in held(arms, user)? {
                    let told = LINES.0.map(|n| said(&held, n, arms));
                    told.into_iter()
                        .flatten()
                        .for_each(|line| *lines.entry(line).or_default() += 1);
                }
            }
        }
        Ok(lines)
    }

    /// What the rival's lines reach, beside the duels they were written from.
    fn rivals(&self, arms: &Arms) -> Result<String> {
        if !has_lines(arms) {
            return Ok(String::new());
        }
        let mut table =
            format!("| user | {} |\n", LINES.0.map(|n| format!("line after {n}")).join(" | "));
        table += "| --- | --- | --- | --- |\n";
        let bootstrap = Bootstrap::new(self.held, LINES.1 as usize);
        for user in User::ALL {
            let (gap, held) = (Gap::of(arms, user), held(arms, user)?);
            let after = |n: usize| {
                let lines: Vec<Option<Vec<f64>>> =
                    held.iter().map(|held| self.line_worth(said(held, n, arms), user)).collect();
                let made: Vec<&[f64]> = lines.iter().flatten().map(Vec::as_slice).collect();
                let missing = lines.len() - made.len();
                let share = bootstrap.share(&made, &gap.random, gap.arm(gap.best));
                if missing == 0 {
                    share.to_string()
                } else {
                    format!("{share} ({missing} missing)")
                }
            };
            table += &format!("| {} | {} |\n", user.name(), LINES.0.map(after).join(" | "));
        }
        Ok(table)
    }

    /// Utilities of a line's answers on held-out prompts; without a line they are the plain ones.
    fn line_worth(&self, line: Option<String>, user: User) -> Option<Vec<f64>> {
        let counts = self.counts(line.as_deref().unwrap_or("plain"), DUELS)?;
        Some(counts.iter().map(|counts| user.utility(counts)).collect())
    }

    /// Response-level duels: the share of the way from one sample to the best of four.
    pub fn print_response(&self, sampled: &Sampled) -> Result<()> {
        println!(
            "| user | one sample | best of four | rule | {} |",
            AFTER.map(|n| n.to_string()).join(" | ")
        );
        println!("| --- | --- | --- | --- | {} |", AFTER.map(|_| "---").join(" | "));
        for user in User::ALL {
            let worth = sampled.worth(user, DUELS);
            let bootstrap = Bootstrap::new(worth.len(), self.seeds as usize);
            let mean = |of: &Vec<f64>| of.iter().sum::<f64>() / of.len().max(1) as f64;
            let most = |of: &Vec<f64>| of.iter().copied().fold(0.0, f64::max);
            let (one, best): (Vec<f64>, Vec<f64>) =
                (worth.iter().map(mean).collect(), worth.iter().map(most).collect());
            let controls = CONTROLS.map(|labels| Series { labels, ..Series::new(user) });
            let random = Series { second: SecondRule::Random, ..Series::new(user) };
            for series in [Series::new(user), random].into_iter().chain(controls) {
                let runs: Vec<Vec<Vec<f64>>> = (0..self.seeds)
                    .map(|seed| sampled.served(&series, seed, &AFTER))
                    .collect::<Result<_>>()?;
                let share = |at: usize| {
                    let got = runs.iter().filter_map(|run| run.get(at)).map(Vec::as_slice);
                    bootstrap.share(&got.collect::<Vec<_>>(), &one, &best).to_string()
                };
                let shares: Vec<String> = (0..AFTER.len()).map(share).collect();
                let ends = (bootstrap.mean(&one), bootstrap.mean(&best));
                let rule =
                    format!("{:?}, {:?} labels", series.second, series.labels).to_lowercase();
                println!(
                    "| {} | {} | {} | {rule} | {} |",
                    user.name(),
                    ends.0,
                    ends.1,
                    shares.join(" | ")
                );
            }
        }
        Ok(())
    }
}

/// The series of duels of a user, the controls last.
fn ways(user: User) -> Vec<(&'static str, Series)> {
    let usual = Series::new(user);
    vec![
        ("ucb", usual),
        ("ucb, no noise", Series { choices: Choices::Sure, ..usual }),
        ("ucb, ν = 1", Series { nu: 1.0, ..usual }),
        ("ucb, ν = 2", Series { nu: 2.0, ..usual }),
        ("thompson", Series { second: SecondRule::Thompson, ..usual }),
        ("runner-up", Series { second: SecondRule::RunnerUp, ..usual }),
        ("random second", Series { second: SecondRule::Random, ..usual }),
        ("ucb, coin labels", Series { labels: Labels::Coin, ..usual }),
        ("ucb, inverted labels", Series { labels: Labels::Inverted, ..usual }),
    ]
}

/// The arm with the largest mean utility over users on the prompts of the duels.
fn common(arms: &Arms) -> usize {
    let worth = |counts: &Vec<Counts>| {
        let each = counts.iter().take(DUELS);
        each.map(|counts| User::ALL.map(|user| user.utility(counts)).iter().sum::<f64>())
            .sum::<f64>()
    };
    let all = arms.counts.iter().map(worth).enumerate();
    all.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(arm, _)| arm)
}

/// The rival writes from the duels between the four settings in words.
fn has_lines(arms: &Arms) -> bool {
    arms.settings == Setting::of(&[Form::Instruction])
}

/// The duels of each seed from which lines are written.
fn held(arms: &Arms, user: User) -> Result<Vec<Vec<Held>>> {
    let run = |seed| Ok(Series::new(user).run(&arms.counts, seed)?.held);
    (0..LINES.1).map(run).collect()
}

fn said(held: &[Held], duels: usize, arms: &Arms) -> Option<String> {
    rival::line(held.get(..duels).unwrap_or(held), &arms.counts)
}
