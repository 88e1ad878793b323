//! Features of an answer: the mean of its activations at `final`, whitened, and its length.
//!
//! `φ ∈ R^(k+1)`: the mean of the tokens' activations, in f64, minus a frozen mean, projected to k whitened directions,
//! clipped to ±4; then `ln(1 + tokens)` in standard deviations of the neutral answers, clipped alike. The published
//! features are mean-pooled states of a separate embedding model; taking the model's own is ours.
//!
//! The extractor is fitted once for a model, a quantisation and the interventions that touch keys and values, on
//! *pooled* activations of neutral answers, so that φ has variance 1 on them. Its digest is the extractor's id: features
//! of two extractors are never mixed.

use super::bytes::{Reader, TpopDigest, Writer};
use super::error::TpopError;
use super::whitening::Whitening;
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;

/// The largest absolute value of a feature.
pub const FEATURE_CLIP: f64 = 4.0;
const MARK: &[u8; 8] = b"tt-tpx01";

/// Which activation at `final` stands for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatePooling {
    /// The one at the token's own position; the answer's last token needs a pass of its own.
    Own,
    /// The one the token was chosen from, a position earlier: what steps bring while an answer is written.
    Before,
}

/// What the activations come from: all of it is part of the extractor's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractorOrigin {
    /// The model's name or digest.
    pub model: String,
    /// How its weights are stored.
    pub quantisation: String,
    /// Fingerprint of the interventions that touch keys and values; those at `final` do not.
    pub kv_plan: TpopDigest,
    /// Which activation stands for a token.
    pub pooling: StatePooling,
}

/// From the activations of an answer to its features. It never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Extractor {
    origin: ExtractorOrigin,
    whitening: Whitening,
    /// Mean and standard deviation of ln(1 + tokens) over neutral answers.
    length: [f64; 2],
    id: TpopDigest,
}

/// Neutral answers to fit an extractor on.
#[derive(Debug, Clone, Copy)]
pub struct NeutralAnswers<'a> {
    /// Mean activation of each answer's tokens at `final`, `[n, d_model]`, one behind the other.
    pub pooled: &'a [f32],
    /// Tokens of each answer, `[n]`.
    pub tokens: &'a [usize],
}

impl Extractor {
    /// Fits an extractor of `features` whitened directions and the length.
    ///
    /// # Errors
    ///
    /// Fewer than `features` + 1 answers, or answers that vary in fewer directions; numbers that are not finite.
    // pooled [n, d_model], tokens [n] -> projection [features, d_model]
    pub fn fit(
        origin: ExtractorOrigin,
        answers: NeutralAnswers<'_>,
        features: usize,
    ) -> Result<Extractor, TpopError> {
        let n = answers.tokens.len();
        if n == 0 {
            return Err(TpopError::TooFew {
                what: "neutral answers",
                found: 0,
                least: features + 1,
            });
        }
        if !answers.pooled.len().is_multiple_of(n) {
            let (found, what) = (answers.pooled.len(), "neutral answers");
            return Err(TpopError::Width { what, found, expected: n });
        }
        let whitening = Whitening::fit(answers.pooled, answers.pooled.len() / n, features)?;
        Ok(Extractor::sealed(origin, whitening, spread(answers.tokens)))
    }

    fn sealed(origin: ExtractorOrigin, whitening: Whitening, length: [f64; 2]) -> Extractor {
        let mut extractor = Extractor { origin, whitening, length, id: [0; 32] };
        let content = extractor.written().finish();
        extractor.id =
            *Fingerprint::builder("trimtab.tpop.extractor").bytes(&content).finish().as_bytes();
        extractor
    }

    /// Digest of model, quantisation, plan, pooling, projection and statistics.
    pub fn id(&self) -> &TpopDigest {
        &self.id
    }

    /// What the activations come from.
    pub fn origin(&self) -> &ExtractorOrigin {
        &self.origin
    }

    /// Values of an activation that goes in.
    pub fn d_model(&self) -> usize {
        self.whitening.width()
    }

    /// Values of a feature vector, the length included.
    pub fn width(&self) -> usize {
        self.whitening.features() + 1
    }

    /// The features of all activations of an answer at once.
    // states [tokens, d_model] -> [width]
    pub fn features(self: &Arc<Self>, states: &[f32]) -> Result<Vec<f32>, TpopError> {
        let (found, expected) = (states.len(), self.d_model());
        if !found.is_multiple_of(expected.max(1)) {
            return Err(TpopError::Width { what: "activations", found, expected });
        }
        let mut answer = AnswerFeature::new(self.clone());
        states.chunks_exact(expected.max(1)).try_for_each(|state| answer.push(state))?;
        answer.finish()
    }

    // mean [d_model] -> [width]
    fn of_mean(&self, mean: &[f64], tokens: usize) -> Result<Vec<f32>, TpopError> {
        let mut features = self.whitening.apply(mean)?;
        let [centre, scale] = self.length;
        features.push(((1.0 + tokens as f64).ln() - centre) / scale);
        // A NaN survives the clip and an infinity does not.
        if features.iter().any(|x| !x.is_finite()) {
            return Err(TpopError::NotFinite { what: "feature vector" });
        }
        Ok(features.iter().map(|x| x.clamp(-FEATURE_CLIP, FEATURE_CLIP) as f32).collect())
    }

    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        self.written().finish()
    }

    fn written(&self) -> Writer {
        let mut writer = Writer::new(MARK);
        writer.bytes(self.origin.model.as_bytes());
        writer.bytes(self.origin.quantisation.as_bytes());
        writer.digest(&self.origin.kv_plan);
        writer.byte(match self.origin.pooling {
            StatePooling::Own => 0,
            StatePooling::Before => 1,
        });
        writer.float(self.length[0]);
        writer.float(self.length[1]);
        self.whitening.write(&mut writer);
        writer
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// [`TpopError::Unreadable`] for other, newer or damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Extractor, TpopError> {
        let mut reader = Reader::open("extractor", MARK, bytes)?;
        let mut text = || -> Result<String, TpopError> {
            let bytes = reader.bytes()?.to_vec();
            String::from_utf8(bytes).map_err(|_| reader.refuse("a name is not UTF-8"))
        };
        let (model, quantisation) = (text()?, text()?);
        let kv_plan = reader.digest()?;
        let pooling = match reader.byte()? {
            0 => StatePooling::Own,
            1 => StatePooling::Before,
            other => return Err(reader.refuse(format!("pooling is {other}"))),
        };
        let length = [reader.float()?, reader.float()?];
        if !length.iter().all(|x| x.is_finite()) || length[1] <= 0.0 {
            return Err(reader.refuse("its lengths have no spread"));
        }
        let whitening = Whitening::read(&mut reader)?;
        reader.end()?;
        let origin = ExtractorOrigin { model, quantisation, kv_plan, pooling };
        Ok(Extractor::sealed(origin, whitening, length))
    }
}

/// Mean and standard deviation of ln(1 + tokens); answers of one length have a deviation of 1.
// [n] -> []
fn spread(tokens: &[usize]) -> [f64; 2] {
    let n = tokens.len() as f64;
    let logs = || tokens.iter().map(|t| (1.0 + *t as f64).ln());
    let mean = logs().sum::<f64>() / n;
    let deviation = (logs().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt();
    [mean, if deviation > 1e-6 { deviation } else { 1.0 }]
}

/// The features of an answer that is being written: a running sum, the same bits as of all activations at once.
///
/// A clone is the state to come back to when tokens are taken back.
#[derive(Debug, Clone)]
pub struct AnswerFeature {
    extractor: Arc<Extractor>,
    sum: Vec<f64>,
    tokens: usize,
    ended: bool,
}

impl AnswerFeature {
    /// An answer without tokens.
    pub fn new(extractor: Arc<Extractor>) -> AnswerFeature {
        let sum = vec![0.0; extractor.d_model()];
        AnswerFeature { extractor, sum, tokens: 0, ended: false }
    }

    /// Adds the activation at `final` that stands for the next token, before any offset is added there. After the end
    /// nothing is added: rows of one batch end at different steps.
    ///
    /// # Errors
    ///
    /// An activation of another width or that is not finite.
    // [d_model] -> Σ [d_model]
    pub fn push(&mut self, state: &[f32]) -> Result<(), TpopError> {
        if self.ended {
            return Ok(());
        }
        let (found, expected) = (state.len(), self.sum.len());
        if found != expected {
            return Err(TpopError::Width { what: "activation", found, expected });
        }
        if state.iter().any(|x| !x.is_finite()) {
            return Err(TpopError::NotFinite { what: "activation" });
        }
        self.sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += f64::from(*x));
        self.tokens += 1;
        Ok(())
    }

    /// Closes the answer: its end token was chosen.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Tokens so far, without the end token.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// φ of the tokens so far; of no tokens, that of the mean activation.
    // [] -> [width]
    pub fn finish(&self) -> Result<Vec<f32>, TpopError> {
        if self.tokens == 0 {
            let mean: Vec<f64> = super::matrix::wide(self.extractor.whitening.mean());
            return self.extractor.of_mean(&mean, 0);
        }
        let n = self.tokens as f64;
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum / n).collect();
        self.extractor.of_mean(&mean, self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpop::stream::Stream;

    const WIDTH: usize = 16;

    fn origin() -> ExtractorOrigin {
        ExtractorOrigin {
            model: "tiny".to_owned(),
            quantisation: "f32".to_owned(),
            kv_plan: [7; 32],
            pooling: StatePooling::Own,
        }
    }

    fn states(n: usize) -> Vec<f32> {
        Stream::of(11, "states", 0).normals(n * WIDTH).iter().map(|x| *x as f32 + 1.0).collect()
    }

    fn extractor(origin: ExtractorOrigin) -> Arc<Extractor> {
        let tokens: Vec<usize> = (0..80).map(|at| 4 + at % 30).collect();
        let answers = NeutralAnswers { pooled: &states(80), tokens: &tokens };
        Arc::new(Extractor::fit(origin, answers, 8).unwrap())
    }

    /// φ by its definition, all at once.
    fn by_hand(extractor: &Extractor, states: &[f32]) -> Vec<f64> {
        let n = states.len() / WIDTH;
        let column = |j: usize| (0..n).map(|t| f64::from(states[t * WIDTH + j])).sum::<f64>();
        let mean: Vec<f64> = (0..WIDTH).map(|j| column(j) / n as f64).collect();
        let mut features = extractor.whitening.apply(&mean).unwrap();
        let [centre, scale] = extractor.length;
        features.push(((n as f64 + 1.0).ln() - centre) / scale);
        features.iter().map(|x| x.clamp(-4.0, 4.0)).collect()
    }

    #[test]
    fn m08_incremental_features_are_those_of_the_batch() {
        let extractor = extractor(origin());
        let states = states(23);
        let mut answer = AnswerFeature::new(extractor.clone());
        for (at, state) in states.chunks(WIDTH).enumerate() {
            answer.push(state).unwrap();
            let expected = by_hand(&extractor, &states[..(at + 1) * WIDTH]);
            let found = answer.finish().unwrap();
            assert_eq!(found.len(), 9);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} for {expected}");
            }
        }
        assert_eq!(answer.finish().unwrap(), extractor.features(&states).unwrap());
        assert!(answer.finish().unwrap().iter().any(|x| x.abs() > 0.05), "nothing was pooled");
    }

    #[test]
    fn m08_tokens_after_the_end_never_reach_the_features() {
        let extractor = extractor(origin());
        let (states, other) = (states(9), vec![3.0; WIDTH]);
        let mut answer = AnswerFeature::new(extractor.clone());
        states.chunks(WIDTH).for_each(|state| answer.push(state).unwrap());
        let before = answer.finish().unwrap();
        // The control: without the end the same token counts.
        let mut unended = answer.clone();
        unended.push(&other).unwrap();
        assert_ne!(unended.finish().unwrap(), before);
        answer.end();
        answer.push(&other).unwrap();
        answer.push(&[f32::NAN; WIDTH]).unwrap();
        assert_eq!((answer.finish().unwrap(), answer.tokens()), (before, 9));
    }

    #[test]
    fn extremes_are_clipped_and_what_is_not_finite_is_refused() {
        let extractor = extractor(origin());
        let far: Vec<f32> = vec![1e6; WIDTH];
        let features = extractor.features(&far).unwrap();
        assert!(features.iter().all(|x| x.abs() <= 4.0) && features.contains(&4.0));
        for bad in [f32::NAN, f32::INFINITY] {
            let found = extractor.features(&[bad; WIDTH]);
            assert_eq!(found, Err(TpopError::NotFinite { what: "activation" }));
        }
        assert!(AnswerFeature::new(extractor.clone()).push(&[0.0; 3]).is_err());
        assert!(AnswerFeature::new(extractor).finish().is_ok());
    }

    #[test]
    fn the_id_covers_every_part_and_survives_the_file() {
        let base = extractor(origin());
        let back = Extractor::decode(&base.encode()).unwrap();
        assert_eq!(&back, base.as_ref());
        let others = [
            ExtractorOrigin { model: "other".to_owned(), ..origin() },
            ExtractorOrigin { quantisation: "q4_1".to_owned(), ..origin() },
            ExtractorOrigin { kv_plan: [8; 32], ..origin() },
            ExtractorOrigin { pooling: StatePooling::Before, ..origin() },
        ];
        assert!(others.into_iter().all(|origin| extractor(origin).id() != base.id()));
        let tokens = [5; 80];
        let answers = NeutralAnswers { pooled: &states(80), tokens: &tokens };
        assert_ne!(Extractor::fit(origin(), answers, 8).unwrap().id(), base.id());
        let fewer = NeutralAnswers { pooled: &states(79), tokens: &tokens[1..] };
        assert_ne!(Extractor::fit(origin(), fewer, 8).unwrap().id(), base.id());
        assert!(Extractor::decode(b"nothing").is_err());
    }
}
