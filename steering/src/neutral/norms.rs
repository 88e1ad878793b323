//! How long the stream is on neutral text: what doses are fractions of.
//!
//! The first position of a sequence is where attention rests that has nothing to look at. Its norm is many times
//! that of others, so it is left out, and control tokens with it.

use super::{Text, WINDOW, windowed};
use crate::error::Result;
use std::collections::BTreeMap;
use trimtab_runtime::perplexity::quantile;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::{Error, Model, Tensor};

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

/// As [`stream_norms`], on another text.
pub fn norms_on(
    model: &Model,
    text: &str,
    sites: &[Site],
    tokens: usize,
) -> Result<BTreeMap<Site, Norm>> {
    let tokenizer = model.tokenizer()?;
    let stream = windowed(model, text, WINDOW)?;
    let stream = stream.get(..tokens).unwrap_or(&stream);
    let fresh = || model.session(Plan::empty());
    over(&fresh, stream, sites, &|token| !tokenizer.is_control(token))
}

/// As [`norms_on`], over these tokens.
fn over(
    fresh: &dyn Fn() -> trimtab_runtime::Result<Session>,
    tokens: &[u32],
    sites: &[Site],
    counts: &dyn Fn(u32) -> bool,
) -> Result<BTreeMap<Site, Norm>> {
    let mut norms: BTreeMap<Site, Vec<f64>> = BTreeMap::new();
    for window in tokens.chunks(WINDOW) {
        let mut session = fresh()?;
        session.push_prompt(window)?;
        for (site, stream) in session.capture(sites)? {
            let lengths = lengths(&stream).map_err(Error::tensor(site.to_string()))?;
            let counted = lengths.into_iter().zip(window).skip(1).filter(|(_, t)| counts(**t));
            norms.entry(site).or_default().extend(counted.map(|(length, _)| length));
        }
    }
    norms.into_iter().map(|(site, norms)| Ok((site, norm(site, norms)?))).collect()
}

// [time, d_model] -> [time]
fn lengths(stream: &Tensor) -> candle_core::Result<Vec<f64>> {
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
    use std::sync::Arc;
    use trimtab_runtime::hook::{Addition, Positions};
    use trimtab_runtime::model::Decoder;
    use trimtab_runtime::testing::tiny;

    const SITES: [Site; 2] = [Site::Embed, Site::ResidPost(1)];
    const CONTROL: u32 = 62;

    fn measured(decoder: &Arc<Decoder>, tokens: &[u32], plan: &Plan) -> BTreeMap<Site, Norm> {
        let pool = decoder.pool(WINDOW).unwrap();
        let fresh = || Session::new(decoder.clone(), &pool, plan.clone());
        over(&fresh, tokens, &SITES, &|token| token != CONTROL).unwrap()
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
        let over = |tokens: &[u32]| over(&fresh, tokens, &SITES, &|token| token != CONTROL);
        assert!(over(&[3]).is_err());
        assert!(over(&[3, CONTROL]).is_err());
        assert!(over(&[3, 4]).is_ok());
    }
}
