//! The small net: one hidden layer of 64 tanh units, trained anew from fixed weights after every choice.
//!
//! Width 65 gives 65·64 + 64 + 64 + 1 = 4,289 weights; the published net is 1024→1024→1. Optimiser and schedule are those
//! of the authors' code: AdamW at 5e-4, batches of 8, 100 epochs from the same initial weights every time. Weight decay
//! λ/(N + 50) and the last layer's zeros at the start are ours: an untaught net gives every answer the same reward. So is
//! κ, which is set to its optimum under the prior κ²/2 before every epoch, given the net: steps of 5e-4 would not reach
//! the size of a habit.

use super::error::TpopError;
use super::example::Example;
use super::matrix::{dot, sigmoid, wide};
use super::params::ConfidenceKind;
use super::stream::Stream;

/// Units of the hidden layer.
pub const TANH_UNITS: usize = 64;
const RATE: f64 = 5e-4;
const BATCH: usize = 8;
const EPOCHS: usize = 100;
const FIRST_DECAY: f64 = 0.9;
const SECOND_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// Weight decay is that of so many pairs more than there are.
const DECAY_PAIRS: f64 = 50.0;
/// Newton's steps to κ, none longer than 1.
const KAPPA_STEPS: usize = 25;
const KAPPA_GRADIENT: f64 = 1e-10;
/// The seed of the initial weights and of the order of examples, which are the same for every owner.
const SEED: u64 = 0;

/// A trained net. `r = w₂ᵀ tanh(W₁φ + b₁) + b₂`.
#[derive(Debug, Clone, PartialEq)]
pub struct TanhHead {
    width: usize,
    /// W₁ `[64, width]`, b₁ `[64]`, w₂ `[64]`, b₂, one behind the other.
    weights: Vec<f64>,
}

/// The weights by layer.
struct Layers<'a> {
    first: &'a [f64],
    bias: &'a [f64],
    second: &'a [f64],
    last: &'a [f64],
}

impl<'a> Layers<'a> {
    fn of(weights: &'a [f64], width: usize) -> Layers<'a> {
        let (first, rest) = weights.split_at(TANH_UNITS * width);
        let (bias, rest) = rest.split_at(TANH_UNITS);
        let (second, last) = rest.split_at(TANH_UNITS);
        Layers { first, bias, second, last }
    }

    // [width] -> [64]
    fn hidden(&self, features: &[f64]) -> Vec<f64> {
        let rows = self.first.chunks_exact(features.len().max(1)).zip(self.bias);
        rows.map(|(row, bias)| (dot(row, features) + bias).tanh()).collect()
    }
}

/// How many weights a net of this width has.
fn count(width: usize) -> usize {
    TANH_UNITS * (width + 2) + 1
}

impl TanhHead {
    /// The fixed initial weights: normal with variance 1/width in the first layer, 0 elsewhere.
    pub(super) fn untaught(width: usize) -> TanhHead {
        let scale = 1.0 / (width.max(1) as f64).sqrt();
        let mut weights = Stream::of(SEED, "tpop.net", 0).normals(TANH_UNITS * width);
        weights.iter_mut().for_each(|weight| *weight *= scale);
        weights.resize(count(width), 0.0);
        TanhHead { width, weights }
    }

    pub(super) fn of(width: usize, weights: Vec<f64>) -> Result<TanhHead, TpopError> {
        let (what, found, expected) = ("weights of the net", weights.len(), count(width));
        if found != expected {
            return Err(TpopError::Width { what, found, expected });
        }
        Ok(TanhHead { width, weights })
    }

    /// All weights, layer by layer.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Values of a feature vector.
    pub fn width(&self) -> usize {
        self.width
    }

    // [width] -> []
    pub(super) fn reward(&self, features: &[f64]) -> f64 {
        let layers = Layers::of(&self.weights, self.width);
        dot(layers.second, &layers.hidden(features)) + layers.last.iter().sum::<f64>()
    }

    /// What V is about: the last hidden layer, or the derivative of `r` by every weight.
    // [width] -> [64] or [weights]
    pub(super) fn gradient(&self, features: &[f64], kind: ConfidenceKind) -> Vec<f64> {
        let layers = Layers::of(&self.weights, self.width);
        let hidden = layers.hidden(features);
        match kind {
            ConfidenceKind::Exact => hidden,
            ConfidenceKind::Diag => {
                let mut gradient = vec![0.0; self.weights.len()];
                add_gradient(&mut gradient, &layers, (features, &hidden), 1.0);
                gradient
            }
        }
    }

    /// Trains a net and κ on examples of `pairs` pairs.
    // examples of [width] -> weights
    pub(super) fn train(
        examples: &[Example<'_>],
        width: usize,
        lambda: f64,
        pairs: usize,
    ) -> Result<(TanhHead, f64), TpopError> {
        let examples: Vec<Wide<'_>> = examples.iter().map(Wide::of).collect();
        let mut training = Training::new(width, lambda / (pairs as f64 + DECAY_PAIRS));
        for epoch in 0..EPOCHS {
            training.settle_kappa(&examples);
            let order = Stream::of(SEED, "tpop.epoch", epoch).shuffled(examples.len());
            for batch in order.chunks(BATCH) {
                training.step(batch.iter().filter_map(|at| examples.get(*at)), batch.len());
            }
        }
        training.settle_kappa(&examples);
        let kappa = training.kappa;
        if !kappa.is_finite() || training.values.iter().any(|x| !x.is_finite()) {
            return Err(TpopError::NotFinite { what: "weights of the net" });
        }
        Ok((TanhHead::of(width, training.values)?, kappa))
    }
}

/// `gradient += scale·∂r/∂weights` at features with these hidden units.
// features [width], hidden [64] -> [weights]
fn add_gradient(
    gradient: &mut [f64],
    layers: &Layers<'_>,
    (features, hidden): (&[f64], &[f64]),
    scale: f64,
) {
    let (first, rest) = gradient.split_at_mut(TANH_UNITS * features.len());
    let (bias, rest) = rest.split_at_mut(TANH_UNITS);
    let (second, last) = rest.split_at_mut(TANH_UNITS);
    let rows = first.chunks_exact_mut(features.len().max(1)).zip(bias).zip(second);
    for (((row, bias), second), (unit, weight)) in rows.zip(hidden.iter().zip(layers.second)) {
        *second += scale * unit;
        let slope = scale * weight * (1.0 - unit * unit);
        *bias += slope;
        row.iter_mut().zip(features).for_each(|(g, x)| *g += slope * x);
    }
    last.iter_mut().take(1).for_each(|last| *last += scale);
}

/// An example in f64.
struct Wide<'a> {
    example: &'a Example<'a>,
    a: Vec<f64>,
    b: Vec<f64>,
}

impl<'a> Wide<'a> {
    fn of(example: &'a Example<'a>) -> Wide<'a> {
        Wide { example, a: wide(example.a), b: wide(example.b) }
    }
}

/// Weights, AdamW's moments of them, and κ.
struct Training {
    width: usize,
    values: Vec<f64>,
    gradient: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
    decay: f64,
    kappa: f64,
}

impl Training {
    fn new(width: usize, decay: f64) -> Training {
        let values = TanhHead::untaught(width).weights;
        let zeros = vec![0.0; values.len()];
        let (gradient, first, second) = (zeros.clone(), zeros.clone(), zeros);
        Training { width, values, gradient, first, second, steps: 0, decay, kappa: 0.0 }
    }

    /// Sets κ to its optimum given the net, by Newton's method.
    fn settle_kappa(&mut self, examples: &[Wide<'_>]) {
        let layers = Layers::of(&self.values, self.width);
        let reward = |x: &[f64]| dot(layers.second, &layers.hidden(x));
        let margins: Vec<f64> = examples.iter().map(|e| reward(&e.a) - reward(&e.b)).collect();
        for _ in 0..KAPPA_STEPS {
            let (mut slope, mut bend) = (self.kappa, 1.0);
            for (Wide { example, .. }, margin) in examples.iter().zip(&margins) {
                let p = sigmoid(margin + self.kappa * example.side);
                slope += example.weight * example.side * (p - example.label);
                bend += example.weight * p * (1.0 - p);
            }
            if slope.abs() <= KAPPA_GRADIENT {
                return;
            }
            self.kappa -= (slope / bend).clamp(-1.0, 1.0);
        }
    }

    /// One step of AdamW on the mean loss of a batch.
    fn step<'a>(&mut self, batch: impl Iterator<Item = &'a Wide<'a>>, size: usize) {
        self.gradient.fill(0.0);
        let layers = Layers::of(&self.values, self.width);
        for Wide { example, a, b } in batch {
            let (at_a, at_b) = (layers.hidden(a), layers.hidden(b));
            let margin = dot(layers.second, &at_a) - dot(layers.second, &at_b);
            let miss = sigmoid(margin + self.kappa * example.side) - example.label;
            let slope = example.weight * miss / size as f64;
            add_gradient(&mut self.gradient, &layers, (a, &at_a), slope);
            add_gradient(&mut self.gradient, &layers, (b, &at_b), -slope);
        }
        self.descend();
    }

    fn descend(&mut self) {
        self.steps += 1;
        let first_share = 1.0 - FIRST_DECAY.powi(self.steps);
        let second_share = 1.0 - SECOND_DECAY.powi(self.steps);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, g), (first, second)) in self.values.iter_mut().zip(&self.gradient).zip(moments)
        {
            *first = FIRST_DECAY * *first + (1.0 - FIRST_DECAY) * g;
            *second = SECOND_DECAY * *second + (1.0 - SECOND_DECAY) * g * g;
            let spread = (*second / second_share).sqrt() + EPSILON;
            *value -= RATE * (self.decay * *value + *first / first_share / spread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(width: usize) -> TanhHead {
        let weights = Stream::of(2, "net", 0).normals(count(width));
        TanhHead::of(width, weights.iter().map(|w| w * 0.3).collect()).unwrap()
    }

    #[test]
    fn the_published_shape_has_4289_weights() {
        let net = TanhHead::untaught(65);
        assert_eq!(net.weights().len(), 4289);
        let layers = Layers::of(net.weights(), 65);
        assert!(layers.second.iter().chain(layers.last).chain(layers.bias).all(|w| *w == 0.0));
        assert_eq!(net.reward(&[0.7; 65]), 0.0);
        assert!(TanhHead::of(65, vec![0.0; 4288]).is_err());
    }

    #[test]
    fn the_gradient_is_the_finite_difference_slope() {
        let (net, x) = (net(5), [0.3, -1.0, 0.5, 2.0, 0.1]);
        let gradient = net.gradient(&x, ConfidenceKind::Diag);
        assert_eq!(gradient.len(), net.weights.len());
        for (at, expected) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = net.clone();
                moved.weights[at] += by;
                moved.reward(&x)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - expected).abs() < 1e-8, "{at}: {slope} {expected}");
        }
        let hidden = net.gradient(&x, ConfidenceKind::Exact);
        assert_eq!(hidden.len(), TANH_UNITS);
        // The derivative by the last layer's weights is the hidden layer.
        assert_eq!(gradient[TANH_UNITS * 6..][..TANH_UNITS], hidden[..]);
    }

    #[test]
    fn training_learns_a_bend_that_no_line_can() {
        let mut stream = Stream::of(4, "bend", 0);
        let rows: Vec<[f32; 2]> = (0..400)
            .map(|_| [2.0 * stream.uniform() as f32 - 1.0, stream.uniform() as f32])
            .collect();
        let bend = |row: &[f32; 2]| row[0] * row[0];
        let pairs = rows.chunks_exact(2).enumerate();
        let examples: Vec<Example<'_>> = pairs
            .map(|(pair, both)| Example {
                a: &both[0],
                b: &both[1],
                side: if pair % 2 == 0 { 1.0 } else { -1.0 },
                label: if bend(&both[0]) > bend(&both[1]) { 0.95 } else { 0.05 },
                weight: 1.0,
                pair,
                is_whole: true,
            })
            .collect();
        let (net, kappa) = TanhHead::train(&examples, 2, 0.01, examples.len()).unwrap();
        let wide = |row: &[f32; 2]| row.map(f64::from);
        let right = |reward: &dyn Fn(&[f32; 2]) -> f64| {
            let agrees = |both: &&[[f32; 2]]| {
                (reward(&both[0]) > reward(&both[1])) == (bend(&both[0]) > bend(&both[1]))
            };
            rows.chunks_exact(2).filter(agrees).count()
        };
        let net_right = right(&|row| net.reward(&wide(row)));
        // The control: the best line of a few dozen.
        let lines = (0..60).map(|at| (f64::from(at) * 0.1047).sin_cos());
        let line_right =
            lines.map(|(x, y)| right(&|row| x * f64::from(row[0]) + y * f64::from(row[1]))).max();
        assert!(net_right >= 170, "{net_right} of 200");
        assert!(line_right < Some(140), "{line_right:?} of 200");
        assert!(kappa.abs() < 1.0, "{kappa}");
        let again = TanhHead::train(&examples, 2, 0.01, examples.len()).unwrap();
        assert_eq!(again, (net, kappa));
    }
}
