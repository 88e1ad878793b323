//! Guidance as a push: the direction from neutral prose to what a note says, which fades along the answer.
//!
//! g is the mean state over the note minus the mean over a neutral text of as many tokens, at `resid_post.{2L/3}`, made a unit.
//! The first position of either is left out: attention rests there, and its state is many times longer than the others.
//! A push of dose β adds β·m·g, m being the stream's median length at that site on neutral prose, so β is a share of the
//! stream like every dose.
//!
//! **Fading is ours.** The method turns its strength down by ×0.9 after each clean check. A plan cannot know of checks without being
//! made anew, so here a check is [`STEP`] positions: ×0.9 for every 24, and never below a fifth of what it began with. It is a
//! function of the position alone, so that it is exact after a rewind and needs no state and no new plan.

use crate::error::{Error, Result};
use crate::neutral::medians;
use candle_core::Tensor;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::hook::{Bound, Edit, Hook, Intervention, Pass, Positions};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Special;

/// The dose of a first push.
pub const DOSE: f64 = 0.2;
/// By what it grows with each repeat.
pub const GROWTH: f64 = 1.5;
/// The largest dose.
pub const MOST: f64 = 0.5;
/// Positions after which a push fades a step.
pub const STEP: usize = 24;
/// What a step leaves of it.
pub const FADE: f64 = 0.9;
/// What share of itself a push never falls below.
pub const FLOOR: f64 = 0.2;

/// The dose of an answer's n-th push, from 1: 0.2, half as much again each time, at most 0.5.
pub fn dose(attempt: u32) -> f64 {
    let repeats = attempt.saturating_sub(1).min(64);
    (0..repeats).fold(DOSE, |dose, _| dose * GROWTH).min(MOST)
}

/// A direction that a note points in on one model, and how long the stream is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    site: Site,
    direction: Vec<f32>,
    stream_norm: f32,
}

impl Guide {
    /// The direction of a note, beside the beginning of a neutral text.
    pub fn of(model: &Model, note: &str, neutral: &str) -> Result<Guide> {
        Guide::on(model, note, neutral, Guide::length(model)?)
    }

    /// Where guides act: two thirds up.
    fn place(model: &Model) -> Site {
        Site::ResidPost(2 * model.decoder().spec().n_layers() / 3)
    }

    /// The stream's median length where guides act, on neutral prose.
    pub(crate) fn length(model: &Model) -> Result<f32> {
        let site = Guide::place(model);
        let norms = medians(model, &[site], &mut |_, _| {})?;
        Ok(norms.get(&site).copied().unwrap_or(0.0))
    }

    /// As [`of`](Self::of), where the stream's length is known.
    pub(crate) fn on(model: &Model, note: &str, neutral: &str, stream_norm: f32) -> Result<Guide> {
        let site = Guide::place(model);
        let tokenizer = model.tokenizer()?;
        let tokens = |text: &str| {
            let ids = tokenizer.encode(text, Special::Plain);
            ids.map(|ids| tokenizer.with_bos(ids)).map_err(trimtab_runtime::Error::from)
        };
        let (note, neutral) = (tokens(note)?, tokens(neutral)?);
        let count = note.len();
        let beside = neutral.get(..count).filter(|_| count >= 2).ok_or_else(|| {
            let problem = format!(
                "has {count} tokens and the neutral text {}, expected at least 2 and as many",
                neutral.len()
            );
            Error::setting("guidance", problem)
        })?;
        let (ours, theirs) = (mean(model, &note, site)?, mean(model, beside, site)?);
        let difference = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
        Ok(Guide { site, direction: unit(difference)?, stream_norm })
    }

    /// Where it acts.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The unit direction, `[d_model]`.
    pub fn direction(&self) -> &[f32] {
        &self.direction
    }

    /// The stream's median length there on neutral prose.
    pub fn stream_norm(&self) -> f32 {
        self.stream_norm
    }

    /// A push of a dose at absolute positions from one on, prompt or not; to change what a rewind to t* draws next, t* − 1.
    pub fn push(&self, dose: f64, from: usize) -> Result<Push> {
        if !(0.0..=MOST).contains(&dose) {
            let problem = format!("is {dose}, expected 0 to {MOST}");
            return Err(Error::setting("coot.beta", problem));
        }
        let strength = dose * f64::from(self.stream_norm);
        let (site, direction) = (self.site, self.direction.as_slice().into());
        Ok(Push { site, direction, strength, from })
    }
}

// tokens [time] -> [d_model], over all positions but the first
fn mean(model: &Model, tokens: &[u32], site: Site) -> Result<Vec<f64>> {
    let mut session = model.session(Plan::empty())?;
    session.push_prompt(tokens)?;
    let states = session.capture(&[site])?;
    let stream = states.get(&site).ok_or(trimtab_runtime::Error::Misuse("a capture is missing"))?;
    let rows = stream.to_dtype(candle_core::DType::F32).and_then(|rows| rows.to_vec2::<f32>());
    let rows = rows.map_err(trimtab_runtime::Error::tensor(site.to_string()))?;
    let mut sum = vec![0.0; model.decoder().spec().d_model];
    for row in rows.iter().skip(1) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = rows.len().saturating_sub(1) as f64;
    Ok(sum.into_iter().map(|sum| sum / count).collect())
}

// [d_model] -> [d_model], of length 1
fn unit(difference: Vec<f64>) -> Result<Vec<f32>> {
    let length = difference.iter().map(|value| value * value).sum::<f64>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        let problem = "has the same mean state as the neutral text, so it points nowhere";
        return Err(Error::setting("guidance", problem));
    }
    Ok(difference.into_iter().map(|value| (value / length) as f32).collect())
}

/// A push that fades.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    site: Site,
    direction: Arc<[f32]>,
    /// Length of what is added at first.
    strength: f64,
    from: usize,
}

impl Push {
    /// How long the push is at an absolute position.
    fn length(&self, position: usize) -> f64 {
        let Some(behind) = position.checked_sub(self.from) else {
            return 0.0;
        };
        // Beyond some twenty steps the floor holds, so a saturated count changes nothing.
        let steps = i32::try_from(behind / STEP).unwrap_or(i32::MAX);
        self.strength * FADE.powi(steps).max(FLOOR)
    }

    // [time, d_model] -> [time, d_model], the first `kept` rows as they are
    fn added(&self, stream: &Tensor, start: usize, kept: usize) -> candle_core::Result<Tensor> {
        let (time, width) = stream.dims2()?;
        let pushes = (start + kept..start + time).flat_map(|position| {
            let length = self.length(position);
            self.direction.iter().map(move |g| (length * f64::from(*g)) as f32)
        });
        let shape = (time - kept, width);
        let pushes = Tensor::from_iter(pushes, stream.device())?.reshape(shape)?;
        let pushed = (stream.narrow(0, kept, time - kept)? + pushes.to_dtype(stream.dtype())?)?;
        if kept == 0 {
            return Ok(pushed);
        }
        Tensor::cat(&[&stream.narrow(0, 0, kept)?, &pushed], 0)
    }
}

impl Intervention for Push {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::builder("trimtab.guidance.push")
            .text(&self.site.to_string())
            .number(self.from as u64)
            .number(self.strength.to_bits())
            .floats(&self.direction)
            .finish()
    }

    fn sites(&self) -> Vec<Site> {
        vec![self.site]
    }

    fn positions(&self) -> Positions {
        Positions::Span(self.from..usize::MAX)
    }

    fn bind(&self, spec: &ModelSpec) -> trimtab_runtime::Result<Bound> {
        let (site, found, expected) = (self.site, self.direction.len(), spec.d_model);
        if found != expected {
            return Err(trimtab_runtime::Error::Width { site, found, expected });
        }
        Ok(Bound::Hook(Box::new(self.clone())))
    }
}

/// It has no state: where it is in its course is decided by the position.
impl Hook for Push {
    // stream [time, d_model] -> [time, d_model]
    fn apply(&mut self, site: Site, stream: &Tensor, pass: &Pass) -> trimtab_runtime::Result<Edit> {
        let time = pass.tokens.len();
        let kept = self.from.saturating_sub(pass.start).min(time);
        if kept == time || self.strength == 0.0 {
            return Ok(Edit::Keep);
        }
        let stream = self.added(stream, pass.start, kept);
        let stream = stream.map_err(trimtab_runtime::Error::tensor(site.to_string()))?;
        Ok(Edit::Replace { stream, positions: time - kept })
    }

    fn fork(&self) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::Text;
    use trimtab_runtime::testing::{laws, tiny};

    const NOTE: &str = "say what would be safe instead";

    /// Rows of a plan at a site, `[time][d_model]`.
    fn states(model: &Model, plan: Plan, tokens: &[u32], site: Site) -> Vec<Vec<f32>> {
        let mut session = model.session(plan).unwrap();
        session.push_prompt(tokens).unwrap();
        session.capture(&[site]).unwrap()[&site].to_vec2().unwrap()
    }

    fn guide(model: &Model) -> Guide {
        Guide::of(model, NOTE, Text::tune()).unwrap()
    }

    #[test]
    fn a_direction_is_the_unit_difference_of_two_means() {
        let model = tiny::model(2048).unwrap();
        let guide = guide(&model);
        let site = Site::ResidPost(2);
        assert_eq!(guide.site(), site);
        let note = model.text_prompt(NOTE).unwrap();
        let prose = model.text_prompt(Text::tune()).unwrap();
        let mean = |tokens: &[u32]| -> Vec<f32> {
            let rows = states(&model, Plan::empty(), tokens, site);
            let count = (rows.len() - 1) as f32;
            let sum = |i: usize| rows[1..].iter().map(|row| row[i]).sum::<f32>() / count;
            (0..tiny::WIDTH).map(sum).collect()
        };
        let (ours, theirs) = (mean(&note), mean(&prose[..note.len()]));
        let difference: Vec<f32> = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
        let length = difference.iter().map(|v| v * v).sum::<f32>().sqrt();
        for (got, expected) in guide.direction().iter().zip(&difference) {
            assert!((got - expected / length).abs() < 1e-5, "{got} {expected} {length}");
        }
        let norm = guide.direction().iter().map(|v| v * v).sum::<f32>();
        assert!((norm - 1.0).abs() < 1e-5);
        assert!(guide.stream_norm() > 0.5, "{}", guide.stream_norm());
    }

    #[test]
    fn a_push_fades_by_a_tenth_every_24_positions_down_to_a_fifth() {
        let model = tiny::model(2048).unwrap();
        let (guide, from, dose) = (guide(&model), 10, 0.3);
        let tokens: Vec<u32> = (0..480).map(|i| (i * 7 + i / 5) % 62).collect();
        let site = guide.site();
        let plain = states(&model, Plan::empty(), &tokens, site);
        let plan = Plan::of(guide.push(dose, from).unwrap());
        let pushed = states(&model, plan, &tokens, site);
        // At the last block nothing reads the stream on, so the difference is the push.
        for (position, (a, b)) in pushed.iter().zip(&plain).enumerate() {
            let share = match position.checked_sub(from) {
                None => 0.0,
                Some(behind) => 0.9_f64.powi((behind / 24) as i32).max(0.2),
            };
            let strength = (dose * share * f64::from(guide.stream_norm())) as f32;
            for ((a, b), g) in a.iter().zip(b).zip(guide.direction()) {
                assert!((a - b - strength * g).abs() < 1e-4, "position {position}");
            }
        }
    }

    #[test]
    fn a_push_keeps_the_laws_and_every_bit_before_it() {
        let model = tiny::model(2048).unwrap();
        let guide = guide(&model);
        for from in [0, 3, 5, 8] {
            laws::check_intervention(Arc::new(guide.push(0.4, from).unwrap())).unwrap();
        }
        let tokens: Vec<u32> = (0..20).collect();
        let site = guide.site();
        let plain = states(&model, Plan::empty(), &tokens, site);
        let late = states(&model, Plan::of(guide.push(0.4, 12).unwrap()), &tokens, site);
        assert!(late[..12] == plain[..12] && late[12] != plain[12]);
        let nothing = states(&model, Plan::of(guide.push(0.0, 0).unwrap()), &tokens, site);
        assert!(nothing == plain);
    }

    #[test]
    fn a_push_near_the_end_of_the_context_binds_and_one_behind_it_does_not() {
        let model = tiny::model(2048).unwrap();
        let guide = guide(&model);
        let bound = |from| model.session(Plan::of(guide.push(0.2, from).unwrap())).is_ok();
        assert!(bound(0) && bound(tiny::CONTEXT - 1) && !bound(tiny::CONTEXT));
        let fingerprint = |dose, from| guide.push(dose, from).unwrap().fingerprint();
        assert_eq!(fingerprint(0.2, 3), fingerprint(0.2, 3));
        assert_ne!(fingerprint(0.2, 3), fingerprint(0.2, 4));
        assert_ne!(fingerprint(0.2, 3), fingerprint(0.3, 3));
    }

    #[test]
    fn doses_grow_and_too_large_ones_are_refused() {
        let doses: Vec<f64> = [1, 2, 3, 4, 1000].map(dose).to_vec();
        for (got, expected) in doses.iter().zip([0.2, 0.3, 0.45, 0.5, 0.5]) {
            assert!((got - expected).abs() < 1e-12, "{doses:?}");
        }
        let model = tiny::model(2048).unwrap();
        let guide = guide(&model);
        for wrong in [0.500_1, -0.1, f64::NAN, f64::INFINITY] {
            let error = guide.push(wrong, 0).unwrap_err().to_string();
            assert!(error.starts_with("coot.beta is "), "{error}");
        }
        assert!(guide.push(0.5, 0).is_ok());
    }

    #[test]
    fn texts_that_give_no_direction_are_refused() {
        let model = tiny::model(2048).unwrap();
        for (note, neutral) in [("a", "abc"), ("abcd", "abc"), ("abc", "abc")] {
            let error = Guide::of(&model, note, neutral).unwrap_err().to_string();
            assert!(error.starts_with("guidance has "), "{error}");
        }
    }
}
