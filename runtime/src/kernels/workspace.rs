//! Buffers of a pass on the CPU, kept for the next pass.
//!
//! A block needs the same few buffers again and again, and a decode step the same as the step before. Fresh memory
//! would cost a page fault per page in every block of a long prompt.

use super::quant::Activations;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Workspaces kept while no pass uses them.
const KEPT: usize = 2;
/// A workspace with more values than this, rounded rows left out, is given back to the system.
const LARGEST: usize = 16 << 20;

static IDLE: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());

/// Rows of one width, written before they are read.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    values: Vec<f32>,
    rows: usize,
    width: usize,
}

impl Matrix {
    /// Takes a shape; what it holds then is undefined.
    // -> [rows, width]
    pub(crate) fn shaped(&mut self, rows: usize, width: usize) -> &mut [f32] {
        (self.rows, self.width) = (rows, width);
        if self.values.len() < rows * width {
            self.values.resize(rows * width, 0.0);
        }
        self.values_mut()
    }

    // -> [rows, width]
    pub(crate) fn values(&self) -> &[f32] {
        &self.values[..self.rows * self.width]
    }

    // -> [rows, width]
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.rows * self.width]
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

/// What the blocks of a pass write to.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The residual stream, `[Σtime, d_model]`.
    pub stream: Matrix,
    /// What is about to be added to it.
    pub branch: Matrix,
    /// Queries, keys and values, or gate and up.
    pub wide: Matrix,
    /// What attention mixed.
    pub mixed: Matrix,
    /// Rows in front of a product, rounded.
    pub quants: Activations,
}

impl Workspace {
    /// An idle workspace, or a new one.
    pub(crate) fn take() -> Lease {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease(idle.unwrap_or_default())
    }

    fn len(&self) -> usize {
        let matrices = [&self.stream, &self.branch, &self.wide, &self.mixed];
        matrices.iter().map(|m| m.values.len()).sum()
    }
}

/// A workspace until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Workspace);

impl Deref for Lease {
    type Target = Workspace;

    fn deref(&self) -> &Workspace {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Workspace {
        &mut self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && self.0.len() <= LARGEST {
            idle.push(std::mem::take(&mut self.0));
        }
    }
}
