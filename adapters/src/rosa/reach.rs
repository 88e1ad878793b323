//! How the parameters reach the scores: `J_t`, `J_tᵀ` and the exact change, for both blocks in one form.
//!
//! A step `D` changes the scores of position t by `u_t = Σ_k a_tk·C_k + s_t·z_t`, with columns `C` that all positions
//! share, and the scores `z_t` of the state itself. For `final_offset` there is one column `W_S·D`, with weight 1. For
//! `last_mlp_lora` the columns are `W_S·diag(w)·D`, `w` the final norm's weight: `W_S·N_t·D·a_t` with
//! `N_t = diag(w)·(r·I − r³·x·xᵀ/d)` is `r·Σ_k a_tk·C_k − (r²/d)·(x·D·a_t)·z_t`, so that no position needs a product of
//! its own. The exact change only has the norm's new `r` in it.

use super::head::OutputHead;
use super::lesson::Lesson;
use super::policy::Policy;
use super::product;
use super::state::{BlockState, LastMlpLora};
use super::support::SupportRows;
use crate::error::{Error, Result};

/// What the map of low rank meets at each position.
struct Inner {
    rank: usize,
    /// The final norm's, `[d]`.
    weight: Vec<f32>,
    eps: f64,
    /// `resid_post` as served, `[t, d]`.
    post: Vec<f32>,
    /// `r`, one over the root mean square of each row of `post`, `[t]`.
    inverse: Vec<f64>,
    /// `A·n(resid_mid)`, `[t, rank]`.
    inner: Vec<Vec<f64>>,
}

enum Form {
    Offset,
    Lora(Inner),
}

/// The block's derivative and exact effect on the scores of a policy.
pub(super) struct Reach<'a> {
    rows: &'a SupportRows<'a>,
    /// `[t, n]`
    scores: &'a [f32],
    form: Form,
}

/// A change of the scores of all positions.
pub(super) struct Shift {
    /// `[rank][n]`
    columns: Vec<Vec<f64>>,
    /// Of each column at each position, `[t][rank]`.
    weights: Vec<Vec<f64>>,
    /// Of the state's own scores at each position, `[t]`.
    own: Vec<f64>,
}

impl Shift {
    /// The change at one position, `[n]`.
    // scores [n] -> u [n]
    pub(super) fn row(&self, at: usize, scores: &[f32], u: &mut [f64]) {
        u.fill(0.0);
        for (column, weight) in self.columns.iter().zip(self.weights.get(at).into_iter().flatten())
        {
            u.iter_mut().zip(column).for_each(|(u, c)| *u += weight * c);
        }
        match self.own.get(at) {
            Some(own) if *own != 0.0 => product::add(u, *own, scores),
            Some(_) | None => {}
        }
    }
}

/// Sums `J_tᵀ·s_t` over positions.
pub(super) struct Pull {
    /// `[rank][n]`
    columns: Vec<Vec<f64>>,
    /// `z_t·s_t`, `[t]`.
    own: Vec<f64>,
}

impl<'a> Reach<'a> {
    pub(super) fn new(
        policy: &'a Policy<'a>,
        lesson: &Lesson,
        block: &BlockState,
        head: &dyn OutputHead,
    ) -> Result<Reach<'a>> {
        let form = match block {
            BlockState::FinalOffset(_) => Form::Offset,
            BlockState::LastMlpLora(lora) => Form::Lora(Inner::new(lora, lesson, head)?),
        };
        Ok(Reach { rows: &policy.rows, scores: &policy.scores, form })
    }

    fn rank(&self) -> usize {
        match &self.form {
            Form::Offset => 1,
            Form::Lora(inner) => inner.rank,
        }
    }

    fn time(&self) -> usize {
        self.scores.len() / self.rows.len().max(1)
    }

    /// What the policy scores at one position, `[n]`.
    pub(super) fn scores(&self, at: usize) -> &[f32] {
        let n = self.rows.len();
        self.scores.get(at * n..(at + 1) * n).unwrap_or_default()
    }

    /// The columns that a step gives, `[rank][n]`.
    // step [values] -> [rank][n]
    pub(super) fn columns(&self, step: &[f64]) -> Result<Vec<Vec<f64>>> {
        match &self.form {
            Form::Offset => Ok(vec![self.rows.times(step)?]),
            Form::Lora(inner) => {
                let column = |k: usize| self.rows.times(&inner.weighted(step, k));
                (0..inner.rank).map(column).collect()
            }
        }
    }

    /// `J_t·step` of every position.
    // step [values] -> [t, n]
    pub(super) fn tangent(&self, step: &[f64]) -> Result<Shift> {
        let columns = self.columns(step)?;
        let (weights, own) = match &self.form {
            Form::Offset => (self.even(1.0), vec![0.0; self.time()]),
            Form::Lora(inner) => (inner.slopes(), inner.own_slopes(step)),
        };
        Ok(Shift { columns, weights, own })
    }

    /// The exact change by `scale·step`, whose columns at scale 1 are given.
    // step [values], columns [rank][n] -> [t, n]
    pub(super) fn exact(&self, step: &[f64], columns: &[Vec<f64>], scale: f64) -> Shift {
        let (weights, own) = match &self.form {
            Form::Offset => (self.even(scale), vec![0.0; self.time()]),
            Form::Lora(inner) => inner.exact(step, scale),
        };
        Shift { columns: columns.to_vec(), weights, own }
    }

    /// The same weight for the one column at all positions.
    fn even(&self, weight: f64) -> Vec<Vec<f64>> {
        vec![vec![weight]; self.time()]
    }

    /// An empty sum of `J_tᵀ·s_t`.
    pub(super) fn pull(&self) -> Pull {
        let columns = vec![vec![0.0; self.rows.len()]; self.rank()];
        Pull { columns, own: vec![0.0; self.time()] }
    }

    /// Adds `J_tᵀ·s` of one position.
    // s [n]
    pub(super) fn pull_row(&self, pull: &mut Pull, at: usize, s: &[f64]) {
        let weights = match &self.form {
            Form::Offset => vec![1.0],
            Form::Lora(inner) => inner.slope(at),
        };
        for (column, weight) in pull.columns.iter_mut().zip(weights) {
            column.iter_mut().zip(s).for_each(|(c, s)| *c += weight * s);
        }
        if let (Form::Lora(_), Some(own)) = (&self.form, pull.own.get_mut(at)) {
            *own += product::dot(self.scores(at), s);
        }
    }

    /// The sum as parameters.
    // -> [values]
    pub(super) fn pulled(&self, pull: &Pull) -> Result<Vec<f64>> {
        let columns: Result<Vec<Vec<f64>>> =
            pull.columns.iter().map(|column| self.rows.transposed(column)).collect();
        match (&self.form, columns?) {
            (Form::Offset, columns) => Ok(columns.concat()),
            (Form::Lora(inner), columns) => Ok(inner.pulled(&columns, &pull.own)),
        }
    }
}

impl Inner {
    fn new(lora: &LastMlpLora, lesson: &Lesson, head: &dyn OutputHead) -> Result<Inner> {
        let norm = head.norm();
        let missing = || Error::invalid("trace.last_block", "is missing, last_mlp_lora needs it");
        let last = lesson.last_block.as_ref().ok_or_else(missing)?;
        let width = head.width();
        Ok(Inner {
            rank: lora.rank(),
            weight: norm.weight.to_vec(),
            eps: norm.eps,
            inverse: last.resid_post.chunks(width).map(|x| norm.inverse(x)).collect(),
            inner: last.resid_mid.chunks(width).map(|x| lora.inner(x)).collect(),
            post: last.resid_post.clone(),
        })
    }

    fn width(&self) -> usize {
        self.weight.len().max(1)
    }

    /// `diag(w)·D_k`: one column of a step, weighted as the norm does.
    // step [d, rank] -> [d]
    fn weighted(&self, step: &[f64], k: usize) -> Vec<f64> {
        let column = step.iter().skip(k).step_by(self.rank);
        column.zip(&self.weight).map(|(x, w)| x * f64::from(*w)).collect()
    }

    /// `r·a_t`: how strongly a position meets each column.
    // -> [rank]
    fn slope(&self, at: usize) -> Vec<f64> {
        let inner = self.inner.get(at).into_iter().flatten();
        inner.map(|a| a * self.inverse.get(at).copied().unwrap_or_default()).collect()
    }

    fn slopes(&self) -> Vec<Vec<f64>> {
        (0..self.inner.len()).map(|at| self.slope(at)).collect()
    }

    /// `D·a_t`: what a step adds to the stream at a position.
    // step [d, rank] -> [d]
    fn push(&self, step: &[f64], a: &[f64]) -> Vec<f64> {
        step.chunks(self.rank).map(|row| product::dot64(row, a)).collect()
    }

    /// `−(r²/d)·(x·D·a_t)` of every position.
    // step [d, rank] -> [t]
    fn own_slopes(&self, step: &[f64]) -> Vec<f64> {
        let rows = self.post.chunks(self.width()).zip(&self.inverse).zip(&self.inner);
        let own = |((x, r), a): ((&[f32], &f64), &Vec<f64>)| {
            -r * r / self.width() as f64 * product::dot(x, &self.push(step, a))
        };
        rows.map(own).collect()
    }

    /// Weights and own weights of the exact change: `r'·scale·a_t` and `r'/r − 1`, `r'` the norm's after it.
    // step [d, rank] -> [t][rank], [t]
    fn exact(&self, step: &[f64], scale: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let rows = self.post.chunks(self.width()).zip(&self.inverse).zip(&self.inner);
        let each = |((x, r), a): ((&[f32], &f64), &Vec<f64>)| {
            let push = self.push(step, a);
            let moved = x.iter().zip(&push).map(|(x, p)| f64::from(*x) + scale * p);
            let square: f64 = moved.map(|x| x * x).sum();
            let after = 1.0 / (square / self.width() as f64 + self.eps).sqrt();
            (a.iter().map(|a| after * scale * a).collect(), after / r - 1.0)
        };
        rows.map(each).unzip()
    }

    /// The parameters' gradient from its two parts: `diag(w)·W_Sᵀ·C_k − Σ_t (r²/d)·own_t·a_tk·x_t`.
    // columns [rank][d], own [t] -> [d, rank]
    fn pulled(&self, columns: &[Vec<f64>], own: &[f64]) -> Vec<f64> {
        let mut sum = vec![0f64; self.width() * self.rank];
        for (k, column) in columns.iter().enumerate() {
            let places = sum.iter_mut().skip(k).step_by(self.rank);
            places
                .zip(column.iter().zip(&self.weight))
                .for_each(|(s, (c, w))| *s += c * f64::from(*w));
        }
        let rows = self.post.chunks(self.width()).zip(&self.inverse).zip(&self.inner).zip(own);
        for (((x, r), a), own) in rows {
            let along = -r * r / self.width() as f64 * own;
            for (row, x) in sum.chunks_mut(self.rank).zip(x) {
                row.iter_mut().zip(a).for_each(|(s, a)| *s += along * f64::from(*x) * a);
            }
        }
        sum
    }
}
