//! The least-squares curve that never falls, by pooling adjacent violators.
//!
//! Neighbours whose means fall are merged until none does (Ayer et al., Annals of Mathematical Statistics 26, 1955).
//! The fitted steps are joined by straight lines between blocks, as scikit-learn's `IsotonicRegression` does, so that
//! an input that is calibrated already is mapped to itself between the points, too. Outside the data the curve is
//! level.

use crate::error::{TrainerError, at_least};

/// Results keep this distance from 0 and 1, where a Beta distribution has no mean; ours.
const CLIP: f64 = 1e-4;

/// A weighted observation of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePoint {
    /// What was forecast.
    pub forecast: f64,
    /// What came.
    pub rate: f64,
    /// Its weight, above 0.
    pub weight: f64,
}

/// A curve that never falls, from [0, 1] to [10⁻⁴, 1 − 10⁻⁴].
#[derive(Debug, Clone, PartialEq)]
pub struct IsotonicMap {
    /// Forecasts rise strictly, rates do not fall.
    knots: Vec<[f64; 2]>,
}

#[derive(Clone, Copy)]
struct Block {
    ends: [f64; 2],
    total: f64,
    weight: f64,
}

impl Block {
    fn of(point: &RatePoint) -> Block {
        let total = point.rate * point.weight;
        Block { ends: [point.forecast; 2], total, weight: point.weight }
    }

    fn mean(&self) -> f64 {
        self.total / self.weight
    }

    fn merge(&mut self, next: &Block) {
        self.ends[1] = next.ends[1];
        self.total += next.total;
        self.weight += next.weight;
    }
}

/// Merges from the left; blocks of the same forecast are one from the start.
// [n], by forecast -> [blocks]
fn pool(points: &[RatePoint]) -> Vec<Block> {
    let mut level: Vec<Block> = Vec::with_capacity(points.len());
    for point in points {
        match level.last_mut().filter(|last| last.ends[1] == point.forecast) {
            Some(last) => last.merge(&Block::of(point)),
            None => level.push(Block::of(point)),
        }
    }
    let mut blocks: Vec<Block> = Vec::with_capacity(level.len());
    for mut block in level {
        while let Some(mut last) = blocks.pop_if(|last| last.mean() > block.mean()) {
            last.merge(&block);
            block = last;
        }
        blocks.push(block);
    }
    blocks
}

impl IsotonicMap {
    /// Fits the curve.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] without points; [`TrainerError::NotFinite`] for a number that is not finite or a
    /// weight that is not positive.
    // [n] -> [knots]
    pub fn fit(points: &[RatePoint]) -> Result<IsotonicMap, TrainerError> {
        at_least("points of a calibration", points.len(), 1)?;
        let sound = |p: &RatePoint| {
            p.forecast.is_finite() && p.rate.is_finite() && p.weight.is_finite() && p.weight > 0.0
        };
        if !points.iter().all(sound) {
            return Err(TrainerError::NotFinite { what: "point of a calibration" });
        }
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.forecast.total_cmp(&b.forecast));
        let mut knots: Vec<[f64; 2]> = Vec::new();
        for block in pool(&points) {
            let [low, high] = block.ends;
            knots.push([low, block.mean()]);
            if high > low {
                knots.push([high, block.mean()]);
            }
        }
        Ok(IsotonicMap { knots })
    }

    /// The curve at a forecast.
    pub fn apply(&self, forecast: f64) -> f64 {
        let above = self.knots.partition_point(|[x, _]| *x <= forecast);
        let left = above.checked_sub(1).and_then(|at| self.knots.get(at));
        let rate = match (left, self.knots.get(above)) {
            (Some([x, y]), Some([next_x, next_y])) => {
                let share = (forecast - x) / (next_x - x);
                // Rounding must not leave the two ends.
                (y + share * (next_y - y)).clamp(*y, *next_y)
            }
            (Some([_, y]), None) | (None, Some([_, y])) => *y,
            (None, None) => forecast,
        };
        rate.clamp(CLIP, 1.0 - CLIP)
    }
}

/// The nearest numbers that never fall, each value weighing the same: the option `forecast.isotonic`, which forces
/// means to rise with t.
// [n] -> [n]
pub fn rising(values: &[f64]) -> Vec<f64> {
    let point =
        |(at, rate): (usize, &f64)| RatePoint { forecast: at as f64, rate: *rate, weight: 1.0 };
    let points: Vec<RatePoint> = values.iter().enumerate().map(point).collect();
    let spread = |block: Block| {
        let count = (block.ends[1] - block.ends[0]) as usize + 1;
        std::iter::repeat_n(block.mean(), count)
    };
    pool(&points).into_iter().flat_map(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    fn points(n: usize, seed: u64) -> Vec<RatePoint> {
        let mut numbers = Numbers::of(seed);
        let draw = |numbers: &mut Numbers| {
            // Rounded forecasts, so that some are equal.
            let forecast = (numbers.uniform() * 40.0).round() / 40.0;
            let rate = f64::from(u8::from(numbers.uniform() < forecast * forecast));
            RatePoint { forecast, rate, weight: 0.1 + numbers.uniform() }
        };
        (0..n).map(|_| draw(&mut numbers)).collect()
    }

    #[test]
    fn m11_the_map_never_falls() {
        for seed in 0..20 {
            let map = IsotonicMap::fit(&points(60, seed)).unwrap();
            let values: Vec<f64> = (-10..=1010).map(|i| map.apply(f64::from(i) * 0.001)).collect();
            assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{seed}");
            assert!(values.iter().all(|value| (CLIP..=1.0 - CLIP).contains(value)));
            assert!(values.last().unwrap() - values[0] > 0.5, "a level map says nothing");
        }
    }

    #[test]
    fn m11_a_calibrated_input_is_mapped_to_itself() {
        let of = |forecast| RatePoint { forecast, rate: forecast, weight: 1.0 };
        let forecasts = [0.001, 0.02, 0.3, 0.31, 0.5, 0.99];
        let map = IsotonicMap::fit(&forecasts.map(of)).unwrap();
        for value in [0.001, 0.01, 0.02, 0.17, 0.3, 0.305, 0.4, 0.75, 0.99] {
            assert!((map.apply(value) - value).abs() < 1e-15, "{value}");
        }
    }

    #[test]
    fn m11_it_is_the_least_squares_solution() {
        // max over starts of min over ends of the mean between, which is the solution (Robertson et al., 1988).
        let points = points(50, 3);
        let mut sorted = points.clone();
        sorted.sort_by(|a, b| a.forecast.total_cmp(&b.forecast));
        let mean = |from: f64, to: f64| {
            let all = sorted.iter().filter(|p| (from..=to).contains(&p.forecast));
            let sums = all.fold([0.0, 0.0], |[r, w], p| [r + p.rate * p.weight, w + p.weight]);
            sums[0] / sums[1]
        };
        let map = IsotonicMap::fit(&points).unwrap();
        for at in &sorted {
            let x = at.forecast;
            let starts = sorted.iter().map(|p| p.forecast).filter(|from| *from <= x);
            let best = |from: f64| {
                let ends = sorted.iter().map(|p| p.forecast).filter(|to| *to >= x);
                ends.map(|to| mean(from, to)).fold(f64::INFINITY, f64::min)
            };
            let expected = starts.map(best).fold(f64::NEG_INFINITY, f64::max);
            let expected = expected.clamp(CLIP, 1.0 - CLIP);
            assert!((map.apply(x) - expected).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn rising_numbers_stay_and_others_are_pooled() {
        assert_eq!(rising(&[0.1, 0.2, 0.2, 0.9]), [0.1, 0.2, 0.2, 0.9]);
        assert_eq!(rising(&[0.25, 0.75, 0.25, 1.0]), [0.25, 0.5, 0.5, 1.0]);
        assert_eq!(rising(&[3.0, 2.0, 1.0]), [2.0; 3]);
        assert!(rising(&[]).is_empty());
    }

    #[test]
    fn points_that_are_no_points_are_refused() {
        assert_eq!(IsotonicMap::fit(&[]).unwrap_err().code(), "too_few");
        let good = RatePoint { forecast: 0.5, rate: 1.0, weight: 1.0 };
        for bad in [
            RatePoint { forecast: f64::NAN, ..good },
            RatePoint { rate: f64::INFINITY, ..good },
            RatePoint { weight: 0.0, ..good },
        ] {
            assert_eq!(IsotonicMap::fit(&[good, bad]).unwrap_err().code(), "not_finite");
        }
    }
}
