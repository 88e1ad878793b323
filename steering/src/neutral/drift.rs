//! What a plan costs on text that has nothing to do with it: perplexity, and distance from the plain predictions.
//!
//! Windows run under the plain model and under every plan in the same pass, so the plain model is computed once for
//! many plans and no logits are kept. The interval of the perplexity ratio is paired: it is exp of a 95 % interval of
//! Student's t over windows of the difference of mean losses. A window is the unit, because losses inside one are not
//! independent.
//!
//! The text stands for what would be generated: all of a window but its first token counts as an answer, as scopes, gates
//! and schedules understand it. What a plan does that acts on prompts alone is seen in what follows a prompt, so for
//! such a plan the first half of a window is the prompt and the second half is scored.
//!
//! The size of a window matters: a model that has read little of a text is moved further by the same push. The enthusiastic
//! vector of `examples/vectors` raises the perplexity of the bundled text by 10 % in windows of 128 tokens, by 8 % in 256 and by 6 % in
//! 512, which is what `llama-perplexity` and `trimtab perplexity` use, and is the default here.

use super::{student, windowed};
use crate::error::Result;
use std::collections::BTreeSet;
use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::perplexity::{Perplexity, Steered, Trial, Windows, prompt_for};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::DEFAULT_CHUNK;

/// Tokens of a window unless another size is asked for.
const WINDOW: usize = 512;
/// Fewest windows of which a mean has an interval.
const LEAST_WINDOWS: usize = 2;

/// How a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriftOptions {
    /// Tokens of a window.
    pub window: usize,
    /// The most windows that are measured.
    pub most: Option<usize>,
}

impl Default for DriftOptions {
    fn default() -> Self {
        DriftOptions { window: WINDOW, most: None }
    }
}

/// How a plan changes the predictions of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Tokens scored: all but each window's prompt.
    pub tokens: usize,
    /// Windows measured.
    pub windows: usize,
    /// Perplexity without the plan.
    pub ppl_plain: f64,
    /// Perplexity with the plan over perplexity without.
    pub ppl_ratio: f64,
    /// Lower 95 % bound of the ratio; 0 of a single window.
    pub ratio_low: f64,
    /// Upper 95 % bound of the ratio; infinite of a single window, unless nothing changed.
    pub ratio_high: f64,
    /// Mean of KL(plain ‖ steered) in nats over tokens.
    pub kl: f64,
    /// 99th percentile of the same.
    pub kl_p99: f64,
    /// The largest of the same.
    pub kl_max: f64,
    /// Share of tokens where the likeliest prediction is the same.
    pub top1_agreement: f64,
}

impl Drift {
    /// Whether no prediction changed in a bit: the plan never acted on this text, which says nothing about its harm.
    pub fn is_untouched(&self) -> bool {
        self.kl_max == 0.0 && self.ppl_ratio == 1.0
    }

    /// Whether the ratio has an interval: a single window has none.
    pub fn is_bounded(&self) -> bool {
        self.windows >= LEAST_WINDOWS
    }
}

/// What each plan does to a text, held against no plan.
///
/// `progress` is told how many windows are done, and of how many; what it ends is returned as it stands. A text
/// without a whole window is an error.
pub fn drift(
    model: &Model,
    text: &str,
    plans: &[Plan],
    options: &DriftOptions,
    progress: &mut dyn FnMut(usize, usize) -> Flow,
) -> Result<Vec<Drift>> {
    let tokens = windowed(model, text, options.window)?;
    let plan = Plan::empty();
    let trial =
        Trial { decoder: model.decoder(), pool: model.pool(), tokens: &tokens, plan: &plan };
    of_trial(&trial, plans, options, progress)
}

/// Refuses a text of fewer than two whole windows, before anything is measured on it: one has no interval, so no harm could
/// be told from none.
pub fn covers(model: &Model, text: &str) -> Result<()> {
    let found = windowed(model, text, WINDOW)?.len();
    if found / WINDOW >= LEAST_WINDOWS {
        return Ok(());
    }
    let problem = format!(
        "has {found} tokens, expected {LEAST_WINDOWS} windows of {WINDOW} or more: one window has no interval"
    );
    Err(trimtab_runtime::Error::Invalid { field: "neutral text", problem }.into())
}

fn of_trial(
    trial: &Trial,
    plans: &[Plan],
    options: &DriftOptions,
    progress: &mut dyn FnMut(usize, usize) -> Flow,
) -> Result<Vec<Drift>> {
    let size = options.window;
    let prompts: Vec<usize> = plans.iter().map(|plan| prompt_for(plan, size)).collect();
    let passes: BTreeSet<usize> =
        prompts.iter().copied().chain(plans.is_empty().then_some(1)).collect();
    let mut drifts: Vec<Option<Drift>> = vec![None; plans.len()];
    for (pass, prompt) in passes.iter().enumerate() {
        let (stride, most, chunk) = (None, options.most, DEFAULT_CHUNK);
        let windows = Windows { size, stride, most, chunk, prompt: *prompt };
        let count = windows.count(trial.tokens.len());
        let own = || prompts.iter().enumerate().filter(|(_, own)| *own == prompt).map(|(at, _)| at);
        let chosen: Vec<Plan> = own().filter_map(|at| plans.get(at).cloned()).collect();
        let mut flow = Flow::Continue;
        let found = windows.compare(trial, &chosen, &mut |so_far| {
            flow = progress(pass * count + so_far.plain.windows, passes.len() * count);
            flow
        })?;
        for (at, steered) in own().zip(&found.steered) {
            if let Some(place) = drifts.get_mut(at) {
                *place = Some(Drift::of(&found.plain, steered));
            }
        }
        if flow == Flow::Cancel {
            break;
        }
    }
    Ok(drifts.into_iter().flatten().collect())
}

impl Drift {
    fn of(plain: &Perplexity, steered: &Steered) -> Drift {
        let (low, high) = interval(steered.rises());
        let divergence = steered.divergence();
        Drift {
            tokens: plain.scored,
            windows: plain.windows,
            ppl_plain: plain.ppl(),
            ppl_ratio: (steered.perplexity.nll() - plain.nll()).exp(),
            ratio_low: low.exp(),
            ratio_high: high.exp(),
            kl: divergence.mean,
            kl_p99: divergence.p99,
            kl_max: divergence.max,
            top1_agreement: steered.top1_agreement(),
        }
    }
}

/// The 95 % interval of a mean over windows, by Student's t.
fn interval(differences: &[f64]) -> (f64, f64) {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    if squares == 0.0 && mean == 0.0 {
        return (0.0, 0.0);
    }
    let freedom = differences.len().saturating_sub(1);
    if freedom == 0 {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    let half = student::half_width(freedom) * (squares / freedom as f64 / n).sqrt();
    (mean - half, mean + half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::hook::{Addition, Positions};
    use trimtab_runtime::site::Site;
    use trimtab_runtime::testing::tiny;

    const OPTIONS: DriftOptions = DriftOptions { window: 16, most: None };

    fn push(site: Site, scale: f32) -> Plan {
        let vector = (0..tiny::WIDTH).map(|i| (i as f32 * 1.7).cos()).collect();
        Plan::of(Addition::new(site, vector, scale).unwrap())
    }

    /// Tokens that the tiny model itself finds likely, so that a large push makes them less so.
    fn likely(count: usize) -> Vec<u32> {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(count + 16).unwrap();
        let mut session =
            trimtab_runtime::session::Session::new(decoder, &pool, Plan::empty()).unwrap();
        session.push_prompt(&[1]).unwrap();
        let mut logits = session.run().unwrap().logits.remove(0);
        for step in 0..count {
            let mut order: Vec<u32> = (0..tiny::VOCABULARY as u32).collect();
            order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
            // One of the four likeliest, or the text would repeat itself.
            logits = session.advance(&[order[step * step % 4]]).unwrap().logits.remove(0);
        }
        session.tokens().to_vec()
    }

    fn measured(tokens: &[u32], plans: &[Plan], options: &DriftOptions) -> Vec<Drift> {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let plan = Plan::empty();
        let trial = Trial { decoder: &decoder, pool: &pool, tokens, plan: &plan };
        of_trial(&trial, plans, options, &mut |_, _| Flow::Continue).unwrap()
    }

    #[test]
    fn no_change_is_no_drift_and_a_large_one_is_seen() {
        let tokens = likely(160);
        let site = Site::ResidPost(1);
        let plans = [push(site, 0.0), Plan::empty(), push(site, 0.05), push(site, 3.0)];
        let drifts = measured(&tokens, &plans, &OPTIONS);
        for same in &drifts[..2] {
            assert!(same.is_untouched());
            let ratio = (same.ratio_low, same.ppl_ratio, same.ratio_high);
            assert_eq!(ratio, (1.0, 1.0, 1.0));
            assert_eq!((same.kl, same.kl_p99, same.top1_agreement), (0.0, 0.0, 1.0));
            assert_eq!((same.tokens, same.windows), (150, 10));
        }
        let [small, large] = [drifts[2], drifts[3]];
        for seen in [small, large] {
            assert!(!seen.is_untouched());
            assert!(seen.ratio_low < seen.ppl_ratio && seen.ppl_ratio < seen.ratio_high);
            assert!(seen.kl > 0.0 && seen.kl < seen.kl_p99);
        }
        assert!(large.ratio_low > 1.0, "{large:?}");
        assert!(large.kl > 10.0 * small.kl && large.top1_agreement < small.top1_agreement);
    }

    #[test]
    fn a_plan_is_measured_wherever_it_acts() {
        let tokens = likely(160);
        let vector: Vec<f32> = (0..tiny::WIDTH).map(|i| (i as f32 * 1.7).cos()).collect();
        let at = |positions: Positions| {
            Plan::of(Addition::new(Site::ResidPost(1), vector.clone(), 3.0).unwrap().at(positions))
        };
        let last = Positions::PromptWindow(-1, None);
        let plans = [Positions::All, last, Positions::Generated, Positions::Prompt].map(at);
        let drifts = measured(&tokens, &plans, &OPTIONS);
        assert!(drifts.iter().all(|drift| !drift.is_untouched()), "{drifts:?}");
        let counts: Vec<usize> = drifts.iter().map(|drift| drift.tokens).collect();
        assert_eq!(counts, [150, 80, 150, 80]);
        // The plans do not know of each other.
        for (plan, drift) in plans.iter().zip(&drifts) {
            assert_eq!(measured(&tokens, std::slice::from_ref(plan), &OPTIONS), [*drift]);
        }
        // Behind the windows' end there is nothing to act on.
        let beyond = measured(&tokens, &[at(Positions::GeneratedWindow(90..99))], &OPTIONS);
        assert!(beyond[0].is_untouched());
    }

    #[test]
    fn intervals_are_those_of_the_textbook() {
        // scipy.stats.t.interval(0.95, 4, loc=x.mean(), scale=scipy.stats.sem(x))
        let (low, high) = interval(&[0.1, 0.3, 0.2, 0.5, 0.4]);
        assert!((low - 0.103_675_7).abs() < 1e-6 && (high - 0.496_324_3).abs() < 1e-6);
        let (low, high) = interval(&[0.1]);
        assert!(low < 0.0 && low.is_infinite() && high.is_infinite());
    }

    #[test]
    fn a_single_window_bounds_nothing_and_cancelling_keeps_what_is_there() {
        let tokens = likely(80);
        let plan = push(Site::ResidPost(0), 1.0);
        let one = DriftOptions { most: Some(1), ..OPTIONS };
        let [single] = measured(&tokens, std::slice::from_ref(&plan), &one).try_into().unwrap();
        assert_eq!((single.windows, single.ratio_low), (1, 0.0));
        assert!(single.ratio_high.is_infinite());

        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let empty = Plan::empty();
        let trial = Trial { decoder: &decoder, pool: &pool, tokens: &tokens, plan: &empty };
        let mut seen = Vec::new();
        let ended = of_trial(&trial, &[plan], &OPTIONS, &mut |done, of| {
            seen.push((done, of));
            if done == 2 { Flow::Cancel } else { Flow::Continue }
        });
        assert_eq!(seen, [(1, 5), (2, 5)]);
        assert_eq!(ended.unwrap()[0].windows, 2);
        assert!(
            of_trial(&trial, &[], &DriftOptions { window: 90, ..OPTIONS }, &mut |_, _| {
                Flow::Continue
            })
            .is_err()
        );
    }
}
