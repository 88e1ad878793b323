//! Rows of one pass, admitted and packed: `[Σtime, …]` without padding.

use super::row::{LogitsAt, Row};
use super::spec::ModelSpec;
use crate::error::{Error, Result};
use crate::kernels::blocks::Span;
use std::ops::Range;

/// Where each row's tokens are in the packed order.
pub(super) struct Packed {
    pub tokens: Vec<u32>,
    /// Absolute position of each packed token.
    pub positions: Vec<u32>,
    /// One per row.
    pub spans: Vec<Span>,
    /// Packed indices whose logits somebody wants.
    pub wanted: Vec<u32>,
    /// Per row, its part of `wanted`.
    pub wanted_rows: Vec<Range<usize>>,
}

impl Packed {
    /// Checks the rows, makes room in their caches, packs them. On error every cache holds what it held.
    pub(super) fn admit(spec: &ModelSpec, context: usize, rows: &mut [Row<'_>]) -> Result<Packed> {
        check(spec, context, rows)?;
        for row in rows.iter_mut() {
            row.cache.reserve(row.tokens.len())?;
        }
        let mut packed = Packed {
            tokens: Vec::new(),
            positions: Vec::new(),
            spans: Vec::with_capacity(rows.len()),
            wanted: Vec::new(),
            wanted_rows: Vec::with_capacity(rows.len()),
        };
        rows.iter().for_each(|row| packed.push(row));
        Ok(packed)
    }

    fn push(&mut self, row: &Row<'_>) {
        let (from, start) = (self.tokens.len(), row.cache.len());
        let rows = from..from + row.tokens.len();
        self.tokens.extend_from_slice(row.tokens);
        self.positions.extend((0..row.tokens.len()).map(|i| (start + i) as u32));
        let first_wanted = self.wanted.len();
        let wanted = match row.want.logits {
            LogitsAt::None => rows.end..rows.end,
            LogitsAt::Last => rows.end - 1..rows.end,
            LogitsAt::All => rows.clone(),
        };
        self.wanted.extend(wanted.map(|i| i as u32));
        self.wanted_rows.push(first_wanted..self.wanted.len());
        self.spans.push(Span { rows, start, blocks: row.cache.blocks() });
    }
}

fn check(spec: &ModelSpec, context: usize, rows: &[Row<'_>]) -> Result<()> {
    let Some(first) = rows.first() else {
        return Err(Error::Misuse("a forward pass needs at least one row"));
    };
    let (vocab_size, n_layers) = (spec.vocab_size, spec.n_layers());
    for row in rows {
        if row.tokens.is_empty() {
            return Err(Error::Misuse("a row needs at least one token"));
        }
        if !row.cache.pool().is(first.cache.pool()) {
            return Err(Error::Misuse("the rows of one pass must share a key-value pool"));
        }
        if let Some(&token) = row.tokens.iter().find(|t| **t as usize >= vocab_size) {
            return Err(Error::NoSuchToken { token, vocab_size });
        }
        if let Some(&site) = row.want.captures.iter().find(|s| !s.exists_in(n_layers)) {
            return Err(Error::NoSuchSite { site, n_layers });
        }
        if row.want.attention.iter().any(|l| *l >= n_layers) {
            return Err(Error::Invalid {
                field: "attention",
                problem: format!("names a block this model does not have ({n_layers} blocks)"),
            });
        }
        let needed = row.cache.len() + row.tokens.len();
        if needed > context {
            return Err(Error::ContextFull { needed, limit: context });
        }
    }
    Ok(())
}
