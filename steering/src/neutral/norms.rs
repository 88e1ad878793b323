//! How long the stream is on neutral text: what doses are fractions of.
//!
//! The first position of a sequence is where attention rests that has nothing to look at. Its norm is many times
//! that of others, so it is left out, and control tokens with it.

use super::{Text, WINDOW, windowed};
use crate::error::Result;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::kv::BLOCK_LEN;
use trimtab_runtime::perplexity::quantile;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::{Error, Model, Tensor};

/// Neutral tokens on which the length is measured that doses are shares of.
const TOKENS: usize = 512;

/// Neutral tokens on which a file's own claim is checked before it is believed.
const CHECKED: usize = 32;

/// A length that is this share away from what is claimed is not the same.
pub const DRIFT: f64 = 0.25;

/// What was measured in this process. A list of its own, because a decoder holds nothing that changes; a decoder that is
/// gone takes its entry with it.
static MEASURED: Mutex<Vec<Measured>> = Mutex::new(Vec::new());

/// A model, and the lengths that were measured on it.
type Measured = (Weak<Decoder>, BTreeMap<Site, Norm>);

/// ‖h‖ over positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Median.
    pub median: f32,
    /// 95th percentile.
    pub p95: f32,
}

/// ‖h‖ at each site over the first tokens of the bundled text for tuning, in windows of [`WINDOW`].
///
/// The first position of each window and control tokens are left out. The text has some 4,000 tokens; more are not
/// there to measure.
pub fn stream_norms(model: &Model, sites: &[Site], tokens: usize) -> Result<BTreeMap<Site, Norm>> {
    norms_on(model, Text::tune(), sites, tokens)
}

/// ‖h‖ at each site over 512 tokens of the bundled text for tuning: what every dose is a share of. A site is measured once
/// for a model and process. `progress` is told how many windows are done, and of how many, where any are measured.
pub fn lengths(
    model: &Model,
    sites: &[Site],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Site, Norm>> {
    let mut found = known(model.decoder());
    let missing: Vec<Site> = sites.iter().copied().filter(|s| !found.contains_key(s)).collect();
    if !missing.is_empty() {
        let measured = measured(model, (Text::tune(), TOKENS), &missing, progress)?;
        keep(model.decoder(), &measured);
        found.extend(measured);
    }
    found.retain(|site, _| sites.contains(site));
    Ok(found)
}

/// The medians of [`lengths`].
pub fn medians(
    model: &Model,
    sites: &[Site],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Site, f32>> {
    let lengths = lengths(model, sites, progress)?;
    Ok(lengths.into_iter().map(|(site, norm)| (site, norm.median)).collect())
}

/// The stream's median length where files made on these very weights claim one. A claim that a short neutral text bears
/// out within [`DRIFT`] saves the time of measuring, and never counts for more than that text's own length; what is not
/// borne out, or was measured already, is as [`medians`] finds it.
pub fn borne_out(
    model: &Model,
    claims: &BTreeMap<Site, f32>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Site, f32>> {
    let known = known(model.decoder());
    let new: Vec<Site> = claims.keys().copied().filter(|s| !known.contains_key(s)).collect();
    let checked = match new.is_empty() {
        true => BTreeMap::new(),
        false => measured(model, (Text::tune(), CHECKED), &new, &mut |_, _| {})?,
    };
    let held = |(site, found): (&Site, &Norm)| {
        let (claim, found) = (*claims.get(site)?, found.median);
        let apart = f64::from(claim) / f64::from(found) - 1.0;
        (apart.abs() <= DRIFT).then(|| (*site, claim.min(found)))
    };
    let mut lengths: BTreeMap<Site, f32> = checked.iter().filter_map(held).collect();
    let others: Vec<Site> = claims.keys().copied().filter(|s| !lengths.contains_key(s)).collect();
    lengths.extend(medians(model, &others, progress)?);
    Ok(lengths)
}

/// What this process measured of a decoder.
fn known(decoder: &Arc<Decoder>) -> BTreeMap<Site, Norm> {
    let mut all = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(of, _)| of.strong_count() > 0);
    let own = all.iter().find(|(of, _)| of.as_ptr() == Arc::as_ptr(decoder));
    own.map(|(_, norms)| norms.clone()).unwrap_or_default()
}

fn keep(decoder: &Arc<Decoder>, measured: &BTreeMap<Site, Norm>) {
    let mut all = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    match all.iter_mut().find(|(of, _)| of.as_ptr() == Arc::as_ptr(decoder)) {
        Some((_, norms)) => norms.extend(measured),
        None => all.push((Arc::downgrade(decoder), measured.clone())),
    }
}

/// As [`stream_norms`], on another text.
pub fn norms_on(
    model: &Model,
    text: &str,
    sites: &[Site],
    tokens: usize,
) -> Result<BTreeMap<Site, Norm>> {
    measured(model, (text, tokens), sites, &mut |_, _| {})
}

fn measured(
    model: &Model,
    (text, tokens): (&str, usize),
    sites: &[Site],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Site, Norm>> {
    let tokenizer = model.tokenizer()?;
    // A short context, or a small pool, has shorter windows; a stream's length depends little on how far back it reads.
    let room = model.decoder().context().min(model.pool().usage().blocks * BLOCK_LEN);
    let window = WINDOW.min(room);
    let stream = windowed(model, text, window)?;
    let stream = stream.get(..tokens).unwrap_or(&stream);
    let fresh = || model.session(Plan::empty());
    let cut = Cut { tokens: stream, window, counts: &|token| !tokenizer.is_control(token) };
    over(&fresh, &cut, sites, progress)
}

/// Tokens in windows of so many, and those whose length counts.
struct Cut<'a> {
    tokens: &'a [u32],
    window: usize,
    counts: &'a dyn Fn(u32) -> bool,
}

/// As [`norms_on`], over these tokens.
fn over(
    fresh: &dyn Fn() -> trimtab_runtime::Result<Session>,
    cut: &Cut<'_>,
    sites: &[Site],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<Site, Norm>> {
    let mut norms: BTreeMap<Site, Vec<f64>> = BTreeMap::new();
    let all = cut.tokens.len().div_ceil(cut.window.max(1));
    for (done, window) in cut.tokens.chunks(cut.window.max(1)).enumerate() {
        let mut session = fresh()?;
        session.push_prompt(window)?;
        for (site, stream) in session.capture(sites)? {
            let lengths = row_lengths(&stream).map_err(Error::tensor(site.to_string()))?;
            let pairs = lengths.into_iter().zip(window).skip(1);
            let counted = pairs.filter(|(_, token)| (cut.counts)(**token));
            norms.entry(site).or_default().extend(counted.map(|(length, _)| length));
        }
        progress(done + 1, all);
    }
    norms.into_iter().map(|(site, norms)| Ok((site, norm(site, norms)?))).collect()
}

// [time, d_model] -> [time]
fn row_lengths(stream: &Tensor) -> candle_core::Result<Vec<f64>> {
    let rows = stream.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
    let length = |row: &Vec<f32>| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    Ok(rows.iter().map(length).collect())
}

fn norm(site: Site, mut norms: Vec<f64>) -> Result<Norm> {
    norms.sort_unstable_by(f64::total_cmp);
    match norms.last() {
        Some(largest) if largest.is_finite() => {}
        Some(_) => return Err(Error::NotFinite { at: site.to_string(), position: 0 }.into()),
        None => {
            let problem = "leaves no position to measure, at least 2 are needed".to_owned();
            return Err(Error::Invalid { field: "tokens", problem }.into());
        }
    }
    Ok(Norm { median: quantile(&norms, 0.5) as f32, p95: quantile(&norms, 0.95) as f32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::hook::{Addition, Positions};
    use trimtab_runtime::testing::tiny;

    const SITES: [Site; 2] = [Site::Embed, Site::ResidPost(1)];
    const CONTROL: u32 = 62;

    fn measured(decoder: &Arc<Decoder>, tokens: &[u32], plan: &Plan) -> BTreeMap<Site, Norm> {
        let pool = decoder.pool(WINDOW).unwrap();
        let fresh = || Session::new(decoder.clone(), &pool, plan.clone());
        let cut = Cut { tokens, window: WINDOW, counts: &|token| token != CONTROL };
        over(&fresh, &cut, &SITES, &mut |_, _| {}).unwrap()
    }

    fn prose(tokens: u32) -> Vec<u32> {
        (0..tokens).map(|i| i.wrapping_mul(2_654_435_761) >> 7).map(|h| h % 62).collect()
    }

    /// An attention sink: the stream's first position, a thousand times longer than the others.
    fn sink() -> Plan {
        let far = vec![1e3; tiny::WIDTH];
        Plan::of(Addition::new(Site::Embed, far, 1.0).unwrap().at(Positions::Span(0..1)))
    }

    #[test]
    fn a_norm_is_a_quantile_of_lengths() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(WINDOW).unwrap();
        let tokens = [vec![5, CONTROL], prose(WINDOW as u32 - 2)].concat();
        let mut session = Session::new(decoder.clone(), &pool, Plan::empty()).unwrap();
        session.push_prompt(&tokens).unwrap();
        let captured = session.capture(&SITES).unwrap();
        for (site, got) in measured(&decoder, &tokens, &Plan::empty()) {
            let squares = captured[&site].sqr().unwrap().sum(1).unwrap();
            let mut lengths = squares.sqrt().unwrap().to_vec1::<f32>().unwrap().split_off(2);
            lengths.sort_by(f32::total_cmp);
            // 126 positions: the median lies between two, the 95th percentile at 118.75.
            let median = (lengths[62] + lengths[63]) / 2.0;
            let p95 = 0.25 * lengths[118] + 0.75 * lengths[119];
            assert!((got.median - median).abs() < 1e-5 * median, "{site}");
            assert!((got.p95 - p95).abs() < 1e-5 * p95, "{site}");
        }
    }

    #[test]
    fn neither_the_sink_nor_what_stands_before_it_moves_a_norm() {
        let decoder = tiny::decoder().unwrap();
        let tokens = prose(32 * WINDOW as u32);
        let with_sink = measured(&decoder, &tokens, &sink());
        // The tokens in front move every window's first position to another token.
        let moved = measured(&decoder, &[vec![CONTROL; 5], tokens.clone()].concat(), &sink());
        for (site, norm) in &with_sink {
            let after = moved[site];
            let apart = (norm.median / after.median - 1.0, norm.p95 / after.p95 - 1.0);
            assert!(apart.0.abs().max(apart.1.abs()) < 0.01, "{site}: {apart:?}");
        }
        let plain = measured(&decoder, &tokens, &Plan::empty());
        assert_eq!(plain[&Site::Embed], with_sink[&Site::Embed]);
    }

    #[test]
    fn nothing_to_measure_is_an_error() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(WINDOW).unwrap();
        let fresh = || Session::new(decoder.clone(), &pool, Plan::empty());
        let over = |tokens: &[u32]| {
            let cut = Cut { tokens, window: WINDOW, counts: &|token| token != CONTROL };
            over(&fresh, &cut, &SITES, &mut |_, _| {})
        };
        assert!(over(&[3]).is_err());
        assert!(over(&[3, CONTROL]).is_err());
        assert!(over(&[3, 4]).is_ok());
    }

    #[test]
    fn a_site_is_measured_once_for_a_model() {
        let model = tiny::model(2048).unwrap();
        let mut windows = Vec::new();
        let mut asked = |sites: &[Site]| {
            let found = lengths(&model, sites, &mut |done, all| windows.push((done, all)));
            (found.unwrap(), std::mem::take(&mut windows))
        };
        let (first, counted) = asked(&SITES);
        assert_eq!(counted.last(), Some(&(counted.len(), counted.len())));
        assert_eq!(first, stream_norms(&model, &SITES, TOKENS).unwrap());
        let (again, counted) = asked(&SITES[1..]);
        assert_eq!((again[&SITES[1]], counted.len()), (first[&SITES[1]], 0));
        assert_eq!(again.len(), 1);
        let (more, counted) = asked(&[SITES[0], Site::ResidPost(0)]);
        assert!(more.len() == 2 && !counted.is_empty());
        // Another model is another list.
        let other = tiny::model(2048).unwrap();
        let mut counted = 0;
        lengths(&other, &SITES, &mut |_, _| counted += 1).unwrap();
        assert!(counted > 0);
    }

    #[test]
    fn a_pool_smaller_than_a_window_is_measured_in_smaller_ones() {
        let model = tiny::model(BLOCK_LEN).unwrap();
        assert!(lengths(&model, &SITES, &mut |_, _| {}).unwrap().len() == 2);
    }
}
