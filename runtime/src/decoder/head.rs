//! The output head as an operator: the final norm, the output matrix, and what both are transposed.
//!
//! All of it is closed form, so a learner at `final` needs no backward pass through the model.

use super::backend::device::Tensors;
use super::backend::host::Host;
use super::backend::{Backend, OutputLayer};
use super::forward::Decoder;
use super::row::{Scores, WithFinal};
use super::spec::ModelSpec;
use crate::device;
use crate::error::{Error, Result};
use crate::site::Site;

/// The final norm and the output matrix of a model, `W` of `[vocab_size, d_model]`.
///
/// Everything takes and gives several rows, one behind the other. On the CPU a row has the same bits whatever rows are
/// beside it and however many threads there are.
///
/// ```
/// # use trimtab_runtime::testing::tiny;
/// let decoder = tiny::decoder().unwrap();
/// let head = decoder.head();
/// let logits = head.apply(&[0.5; tiny::WIDTH]).unwrap();
/// let back = head.apply_transposed(&logits).unwrap();
/// assert_eq!((logits.len(), back.len()), (tiny::VOCABULARY, tiny::WIDTH));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    decoder: &'a Decoder,
}

impl Decoder {
    /// The output head as an operator.
    pub fn head(&self) -> Head<'_> {
        Head { decoder: self }
    }
}

impl Head<'_> {
    /// The numbers of the model: width, vocabulary, the norm's epsilon, a soft cap.
    pub fn spec(&self) -> &ModelSpec {
        &self.decoder.spec
    }

    /// The weight of the final norm, `[d_model]`, an architecture's offset included.
    pub fn norm_weight(&self) -> &[f32] {
        self.decoder.norm.weight_on_host()
    }

    /// Rows of `W`, dequantised to f32.
    ///
    /// # Errors
    ///
    /// An id that is not in the vocabulary.
    // ids [k] -> [k, d_model]
    pub fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let vocab_size = self.decoder.spec.vocab_size;
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            let problem = format!("is {id}, the vocabulary has {vocab_size}");
            return Err(Error::Invalid { field: "token", problem });
        }
        self.decoder.head.rows(ids)
    }

    /// The logits of activations at `final`, with the bits of the pass that they came from.
    // rows [n, d_model] -> [n, vocab_size]
    pub fn logits(&self, rows: &[f32]) -> Result<Vec<f32>> {
        self.score(rows, self.decoder.spec.logit_softcap)
    }

    /// `W·h`: the logits before the soft cap, which most models do not have.
    ///
    /// With quantised weights on the CPU each `h` is rounded to sixteen bits first, as in every pass.
    // rows [n, d_model] -> [n, vocab_size]
    pub fn apply(&self, rows: &[f32]) -> Result<Vec<f32>> {
        self.score(rows, None)
    }

    /// `Wᵀ·g`, in f32, each row of `W` dequantised when it is read; rows whose `g` is 0 are not read.
    // g [n, vocab_size] -> [n, d_model]
    pub fn apply_transposed(&self, g: &[f32]) -> Result<Vec<f32>> {
        let vocab_size = self.decoder.spec.vocab_size;
        if g.is_empty() || !g.len().is_multiple_of(vocab_size) {
            let problem = format!("has {} values, the vocabulary {vocab_size}", g.len());
            return Err(Error::Invalid { field: "vector over the vocabulary", problem });
        }
        self.decoder.head.transposed(g)
    }

    /// The final norm: from `resid_post` of the last block to `final`.
    // rows [n, d_model] -> [n, d_model]
    pub fn norm(&self, rows: &[f32]) -> Result<Vec<f32>> {
        self.check(rows)?;
        let mut normed = rows.to_vec();
        self.decoder.norm.on_host(&mut normed);
        Ok(normed)
    }

    /// The derivative of the final norm at `at` in a direction: `N·v`, with `N = diag(w)·(r·I − r³·x·xᵀ/d)` and `r` the
    /// inverse root mean square of `x`.
    // at [n, d_model], v [n, d_model] -> [n, d_model]
    pub fn norm_derivative(&self, at: &[f32], v: &[f32]) -> Result<Vec<f32>> {
        self.check_both(at, v)?;
        Ok(self.decoder.norm.derivative(at, v))
    }

    /// The transpose of [`norm_derivative`](Self::norm_derivative): `Nᵀ·g`, a gradient at `final` as one before the norm.
    // at [n, d_model], g [n, d_model] -> [n, d_model]
    pub fn norm_derivative_transposed(&self, at: &[f32], g: &[f32]) -> Result<Vec<f32>> {
        self.check_both(at, g)?;
        Ok(self.decoder.norm.derivative_transposed(at, g))
    }

    // rows [n, d_model] -> [n, vocab_size]
    fn score(&self, rows: &[f32], softcap: Option<f64>) -> Result<Vec<f32>> {
        self.check(rows)?;
        let layer = OutputLayer { linear: &self.decoder.head, softcap };
        if self.decoder.device.kind() == "cpu" {
            return score(Host::new(), layer, rows, self.decoder.spec.d_model);
        }
        let lane = Tensors::new(self.decoder.device.candle());
        score(lane, layer, rows, self.decoder.spec.d_model)
    }

    fn check(&self, rows: &[f32]) -> Result<()> {
        let (found, expected) = (rows.len(), self.decoder.spec.d_model);
        if rows.is_empty() || !found.is_multiple_of(expected) {
            return Err(Error::Width { site: Site::Final, found, expected });
        }
        Ok(())
    }

    fn check_both(&self, at: &[f32], other: &[f32]) -> Result<()> {
        self.check(at)?;
        if at.len() != other.len() {
            let (found, expected) = (other.len(), at.len());
            return Err(Error::Width { site: Site::Final, found, expected });
        }
        Ok(())
    }
}

// rows [n, d_model] -> [n, vocab_size]
fn score(
    mut lane: impl Backend,
    layer: OutputLayer,
    rows: &[f32],
    width: usize,
) -> Result<Vec<f32>> {
    lane.fill(rows, width)?;
    match lane.score(&layer, WithFinal::Logits)? {
        Scores::None => Ok(Vec::new()),
        Scores::Host { logits, .. } => Ok(logits),
        Scores::Device(logits) => device::to_host(&logits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::weights::Weights;
    use crate::decoder::{DecoderOptions, LogitsAt, Outputs, Row};
    use crate::device::Device;
    use crate::plan::BoundPlan;
    use crate::sample::DrawKeys;
    use std::path::Path;

    /// With and without a unit offset of the norm, a soft cap and a head of its own.
    const MODELS: [&str; 4] = ["llama", "gemma3", "gemma3-softcap", "qwen3"];

    fn load(name: &str) -> Decoder {
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models").join(name);
        let weights = Weights::open(&golden).unwrap();
        Decoder::load(&weights, &DecoderOptions::default(), &Device::cpu()).unwrap()
    }

    fn wave(n: usize, pace: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * pace).sin() + 0.1).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// Activations before and behind the final norm, and the logits of them, of a few tokens.
    fn pass(decoder: &Decoder) -> [Vec<f32>; 3] {
        let pool = decoder.pool(64).unwrap();
        let (mut cache, mut plan) = (pool.cache(), BoundPlan::default());
        let (last, draws) = (Site::ResidPost(decoder.spec.n_layers() - 1), DrawKeys::default());
        let want = Outputs {
            logits: LogitsAt::All,
            reading: WithFinal::LogitsAndFinal,
            captures: vec![last],
            ..Outputs::default()
        };
        let (cache, plan, draws) = (&mut cache, &mut plan, &draws);
        let row = Row { tokens: &[1, 5, 9, 4, 7], prompt_len: 5, cache, plan, draws, want };
        let mut output = decoder.forward(&mut [row]).unwrap();
        let before = output.take_captures(0).remove(&last).unwrap().flatten_all().unwrap();
        let row = output.to_host().unwrap().remove(0);
        [before.to_vec1().unwrap(), row.finals.concat(), row.logits.concat()]
    }

    #[test]
    fn norm_and_logits_have_the_bits_of_the_pass() {
        for name in MODELS {
            let decoder = load(name);
            let (head, [before, finals, logits]) = (decoder.head(), pass(&decoder));
            assert_eq!(head.norm(&before).unwrap(), finals, "{name}");
            assert_eq!(head.logits(&finals).unwrap(), logits, "{name}");
            let capped = decoder.spec.logit_softcap.is_some();
            assert_eq!(head.apply(&finals).unwrap() != logits, capped, "{name}");
        }
    }

    #[test]
    fn the_transposed_product_is_the_adjoint() {
        for name in MODELS {
            let decoder = load(name);
            let (width, vocab) = (decoder.spec.d_model, decoder.spec.vocab_size);
            let (h, g) = (wave(2 * width, 0.7), wave(2 * vocab, 0.3));
            let forth = dot(&decoder.head().apply(&h).unwrap(), &g);
            let back = dot(&h, &decoder.head().apply_transposed(&g).unwrap());
            assert!((forth - back).abs() < 1e-4 * forth.abs().max(1.0), "{name}: {forth} {back}");
        }
    }

    #[test]
    fn the_norm_has_the_derivative_of_finite_differences() {
        for name in MODELS {
            let decoder = load(name);
            let (head, n) = (decoder.head(), 3 * decoder.spec.d_model);
            let (x, v, g) = (wave(n, 0.7), wave(n, 1.3), wave(n, 0.4));
            let step = |sign: f32| -> Vec<f32> {
                let x: Vec<f32> = x.iter().zip(&v).map(|(x, v)| x + sign * 1e-2 * v).collect();
                head.norm(&x).unwrap()
            };
            let slopes = step(1.0).into_iter().zip(step(-1.0)).map(|(up, down)| (up - down) / 2e-2);
            let derivative = head.norm_derivative(&x, &v).unwrap();
            let most = derivative.iter().fold(0f32, |m, d| m.max(d.abs()));
            for (slope, exact) in slopes.zip(&derivative) {
                assert!((slope - exact).abs() < 1e-3 * most, "{name}: {slope} {exact}");
            }
            let back = head.norm_derivative_transposed(&x, &g).unwrap();
            let (forth, back) = (dot(&g, &derivative), dot(&back, &v));
            assert!((forth - back).abs() < 1e-4 * forth.abs().max(1.0), "{name}: {forth} {back}");
        }
    }

    #[test]
    fn rows_are_what_the_transposed_product_adds_up() {
        for name in MODELS {
            let decoder = load(name);
            let (head, vocab) = (decoder.head(), decoder.spec.vocab_size);
            let ids = [3u32, 0, vocab as u32 - 1, 3];
            let rows = head.rows(&ids).unwrap();
            for (id, row) in ids.iter().zip(rows.chunks(decoder.spec.d_model)) {
                let mut one = vec![0f32; vocab];
                one[*id as usize] = 1.0;
                assert_eq!(head.apply_transposed(&one).unwrap(), row, "{name}: {id}");
            }
            assert!(head.rows(&[vocab as u32]).is_err());
            assert!(head.rows(&[]).unwrap().is_empty());
        }
    }

    #[test]
    fn the_norm_is_its_weight_and_epsilon() {
        for name in MODELS {
            let decoder = load(name);
            let (head, width) = (decoder.head(), decoder.spec.d_model);
            let x = wave(width, 0.7);
            let mean = dot(&x, &x) / width as f64 + head.spec().norm_eps;
            let normed = head.norm(&x).unwrap();
            for ((x, w), found) in x.iter().zip(head.norm_weight()).zip(normed) {
                let expected = f64::from(*x) * f64::from(*w) / mean.sqrt();
                assert!((expected - f64::from(found)).abs() < 1e-5, "{name}: {expected} {found}");
            }
        }
    }

    #[test]
    fn other_widths_are_refused() {
        let decoder = load("llama");
        let (head, width) = (decoder.head(), decoder.spec.d_model);
        for bad in [0, 1, width - 1, width + 1] {
            assert!(head.apply(&vec![0.0; bad]).is_err());
            assert!(head.norm(&vec![0.0; bad]).is_err());
            assert!(head.apply_transposed(&vec![0.0; bad]).is_err());
        }
        assert!(head.norm_derivative(&vec![0.0; width], &vec![0.0; 2 * width]).is_err());
    }
}
