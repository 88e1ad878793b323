//! The mean activation of a text at one site, a chunk a round.

use crate::error::{Error, Result};
use crate::model::{LogitsAt, Want};
use crate::session::Session;
use crate::site::Site;
use candle_core::DType;

/// A text whose activations are averaged.
pub struct Pooling {
    session: Session,
    site: Site,
    sum: Vec<f64>,
}

impl Pooling {
    /// The mean over the session's pending tokens at a site, as its plan leaves it.
    pub fn new(session: Session, site: Site) -> Result<Pooling> {
        let n_layers = session.decoder().spec().n_layers();
        if !site.exists_in(n_layers) {
            return Err(Error::NoSuchSite { site, n_layers });
        }
        if session.pending() == 0 || session.pending() != session.len() {
            return Err(Error::Misuse("a pooling needs a session whose tokens are all pending"));
        }
        let sum = vec![0.0; session.decoder().spec().d_model];
        Ok(Pooling { session, site, sum })
    }

    /// Tokens of the text.
    pub fn len(&self) -> usize {
        self.session.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.session.is_empty()
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Runs at most so many tokens; the mean, once all have run.
    // -> [d_model]
    pub(super) fn advance(&mut self, chunk: usize) -> Result<Option<Vec<f32>>> {
        self.session.set_chunk(chunk);
        let want = Want { logits: LogitsAt::None, captures: vec![self.site], ..Want::default() };
        let decoder = self.session.decoder().clone();
        let mut output = decoder.forward(&mut [self.session.row(want)])?;
        for tensor in output.take_captures(0).into_values() {
            let rows = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.to_vec2::<f32>());
            for row in rows.map_err(Error::tensor(self.site.to_string()))? {
                self.sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x));
            }
        }
        if self.session.pending() > 0 {
            return Ok(None);
        }
        let n = self.session.len() as f64;
        Ok(Some(self.sum.iter().map(|sum| (sum / n) as f32).collect()))
    }
}
