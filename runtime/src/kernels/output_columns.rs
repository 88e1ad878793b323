//! Where a product's result goes.

/// What happens to what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Set,
    /// The result is added to it, once its sum is complete; of rows rounded twice, one pass after the other.
    Add,
}

/// Some columns of rows that may be wider: `[time, stride]`, from column `from` on.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    pub from: usize,
    pub write: Write,
}

impl<'a> Columns<'a> {
    /// Whole rows of this width, written over.
    pub(crate) fn all(values: &'a mut [f32], stride: usize) -> Self {
        Columns { values, stride, from: 0, write: Write::Set }
    }

    /// The same columns, lent.
    pub(crate) fn again(&mut self) -> Columns<'_> {
        Columns { values: self.values, stride: self.stride, from: self.from, write: self.write }
    }

    /// Adds one vector to every row.
    // vector [width]
    pub(crate) fn shift(&mut self, vector: &[f32]) {
        for line in self.values.chunks_mut(self.stride) {
            line.iter_mut().skip(self.from).zip(vector).for_each(|(x, v)| *x += v);
        }
    }

    /// Whether `time` rows of so many columns fit.
    pub(super) fn hold(&self, time: usize, columns: usize) -> bool {
        self.from + columns <= self.stride && time * self.stride == self.values.len()
    }

    /// Writes rows that were computed elsewhere; `None` if they do not fit.
    // rows [time, width]
    pub(crate) fn put(self, rows: &[f32], width: usize) -> Option<()> {
        if width == 0 || !self.hold(rows.len() / width, width) {
            return None;
        }
        for (line, row) in self.values.chunks_mut(self.stride).zip(rows.chunks(width)) {
            let line = &mut line[self.from..self.from + width];
            match self.write {
                Write::Set => line.copy_from_slice(row),
                Write::Add => line.iter_mut().zip(row).for_each(|(x, y)| *x += y),
            }
        }
        Some(())
    }
}
