//! Reducers of activations at one site.

use super::{Read, Reducer, RowOutput};
use crate::error::{Error, Result};
use crate::model::{LogitsAt, Want};
use crate::session::Session;
use crate::site::Site;
use candle_core::{DType, Tensor};

/// The mean activation of every sequence's tokens at one site, `[d_model]` each, summed in f64.
pub struct Mean {
    site: Site,
    /// Per sequence, tokens and their sum.
    sums: Vec<(usize, Vec<f64>)>,
}

/// The activation of every sequence's last token at one site, `[d_model]` each.
pub struct Last {
    site: Site,
    states: Vec<Vec<f32>>,
}

impl Mean {
    /// A read of these sequences' pending tokens, and its reducer.
    pub fn of(sessions: Vec<Session>, site: Site) -> Result<(Read, Mean)> {
        let sums = vec![(0, Vec::new()); sessions.len()];
        Ok((activations(sessions, site)?, Mean { site, sums }))
    }
}

impl Last {
    /// A read of these sequences' pending tokens, and its reducer.
    pub fn of(sessions: Vec<Session>, site: Site) -> Result<(Read, Last)> {
        let states = vec![Vec::new(); sessions.len()];
        Ok((activations(sessions, site)?, Last { site, states }))
    }
}

impl Reducer for Mean {
    type Output = Vec<Vec<f32>>;

    // [time, d_model] onto Σ [d_model]
    fn take(&mut self, row: usize, _: usize, output: &mut RowOutput) -> Result<()> {
        let (Some((count, sum)), Some(tensor)) =
            (self.sums.get_mut(row), output.capture(self.site))
        else {
            return Ok(());
        };
        for state in lines(tensor, self.site)? {
            sum.resize(state.len(), 0.0);
            sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += f64::from(x));
            *count += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Vec<f32>>> {
        let mean = |(count, sum): (usize, Vec<f64>)| {
            sum.iter().map(|sum| (sum / count as f64) as f32).collect()
        };
        Ok(self.sums.into_iter().map(mean).collect())
    }
}

impl Reducer for Last {
    type Output = Vec<Vec<f32>>;

    // [time, d_model] -> [d_model]
    fn take(&mut self, row: usize, _: usize, output: &mut RowOutput) -> Result<()> {
        if let (Some(place), Some(tensor)) = (self.states.get_mut(row), output.capture(self.site)) {
            *place = lines(tensor, self.site)?.pop().unwrap_or_default();
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Vec<f32>>> {
        Ok(self.states)
    }
}

fn activations(sessions: Vec<Session>, site: Site) -> Result<Read> {
    let want = Want { logits: LogitsAt::None, captures: vec![site], ..Want::default() };
    Read::new(sessions, want)
}

// [time, d_model] -> time vectors of d_model values
fn lines(tensor: &Tensor, site: Site) -> Result<Vec<Vec<f32>>> {
    let lines = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.to_vec2::<f32>());
    lines.map_err(Error::tensor(site.to_string()))
}
