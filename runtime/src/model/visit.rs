//! What happens at a site during a pass: additions for the whole batch, hooks row by row, captures last.

use super::packed::Packed;
use super::row::Row;
use crate::error::{Error, Result};
use crate::hook::{Edit, Pass};
use crate::kernels::add::{RowAdd, add_rows};
use crate::kv::KvCache;
use crate::plan::{BoundPlan, Step};
use crate::site::{Site, SiteSet};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;

/// One row as sites see it.
struct Visitor<'a> {
    plan: &'a mut BoundPlan,
    pass: Pass<'a>,
    /// Its rows in the packed stream.
    rows: Range<usize>,
    captures: SiteSet,
    captured: BTreeMap<Site, Tensor>,
}

/// All rows of a pass, and the union of the sites where any of them does something.
pub(super) struct Visit<'a> {
    visitors: Vec<Visitor<'a>>,
    active: SiteSet,
}

impl<'a> Visit<'a> {
    /// Splits rows into what sites edit and what attention writes to.
    pub(super) fn split(rows: &'a mut [Row<'_>], packed: &Packed) -> (Self, Vec<&'a KvCache>) {
        let mut active = SiteSet::default();
        let mut visitors = Vec::with_capacity(rows.len());
        let mut caches = Vec::with_capacity(rows.len());
        for (row, span) in rows.iter_mut().zip(&packed.spans) {
            let captures: SiteSet = row.want.captures.iter().copied().collect();
            active.extend(&captures);
            active.extend(row.plan.sites());
            caches.push(&*row.cache);
            visitors.push(Visitor {
                pass: Pass { start: span.start, tokens: row.tokens, prompt_len: row.prompt_len },
                plan: &mut *row.plan,
                rows: span.rows.clone(),
                captures,
                captured: BTreeMap::new(),
            });
        }
        (Visit { visitors, active }, caches)
    }

    // stream [Σtime, d_model] -> the same after every row's steps at this site
    pub(super) fn at(&mut self, site: Site, stream: Tensor) -> Result<Tensor> {
        if !self.active.contains(site) {
            return Ok(stream);
        }
        let rounds = self.visitors.iter().map(|v| v.plan.steps(site).len()).max().unwrap_or(0);
        let mut stream = stream;
        for round in 0..rounds {
            stream = self.add(site, round, stream)?;
            stream = self.call_hooks(site, round, stream)?;
        }
        self.capture(site, &stream)?;
        Ok(stream)
    }

    /// Captured activations per row.
    pub(super) fn into_captures(self) -> Vec<BTreeMap<Site, Tensor>> {
        self.visitors.into_iter().map(|v| v.captured).collect()
    }

    // stream [Σtime, d_model] -> with the additions that are every row's `round`-th step
    fn add(&mut self, site: Site, round: usize, stream: Tensor) -> Result<Tensor> {
        let mut adds = Vec::new();
        for visitor in &mut self.visitors {
            let Some(Step::Add { addition, from }) = visitor.plan.steps(site).get(round) else {
                continue;
            };
            let chosen = crate::hook::Intervention::positions(addition).select(&visitor.pass);
            if chosen.is_empty() {
                continue;
            }
            let first = visitor.rows.start;
            let rows = first + chosen.start..first + chosen.end;
            adds.push(RowAdd { rows, vector: addition.vector().clone() });
            let from = from.clone();
            visitor.plan.count(&from, chosen.len());
        }
        if adds.is_empty() {
            return Ok(stream);
        }
        add_rows(&stream, adds).map_err(Error::tensor(site.to_string()))
    }

    // stream [Σtime, d_model] -> with the hooks that are every row's `round`-th step
    fn call_hooks(&mut self, site: Site, round: usize, stream: Tensor) -> Result<Tensor> {
        let mut edits: Vec<(Range<usize>, Tensor)> = Vec::new();
        for visitor in &mut self.visitors {
            let Some(&Step::Hook(index)) = visitor.plan.steps(site).get(round) else {
                continue;
            };
            if let Some(edited) = visitor.call(site, index, &stream)? {
                edits.push((visitor.rows.clone(), edited));
            }
        }
        splice(stream, edits).map_err(Error::tensor(site.to_string()))
    }

    fn capture(&mut self, site: Site, stream: &Tensor) -> Result<()> {
        for visitor in self.visitors.iter_mut().filter(|v| v.captures.contains(site)) {
            // A copy of the row alone: a view would keep the whole batch's stream alive.
            let part = stream
                .narrow(0, visitor.rows.start, visitor.rows.len())
                .and_then(|t| t.force_contiguous())
                .map_err(Error::tensor(site.to_string()))?;
            visitor.captured.insert(site, part);
        }
        Ok(())
    }
}

impl Visitor<'_> {
    // stream [Σtime, d_model] -> this row's edited [time, d_model]
    fn call(&mut self, site: Site, index: usize, stream: &Tensor) -> Result<Option<Tensor>> {
        let Some(hook) = self.plan.hook(index) else {
            return Ok(None);
        };
        let own = stream
            .narrow(0, self.rows.start, self.rows.len())
            .map_err(Error::tensor(site.to_string()))?;
        match hook.apply(site, &own, &self.pass)? {
            Edit::Keep => Ok(None),
            Edit::Replace { stream, positions } => {
                self.check(site, &own, &stream)?;
                self.plan.count_hook(index, positions);
                Ok(Some(stream))
            }
        }
    }

    /// Shape always; finiteness where reading the values is free.
    fn check(&self, site: Site, before: &Tensor, after: &Tensor) -> Result<()> {
        if before.dims() != after.dims() || before.dtype() != after.dtype() {
            return Err(Error::HookShape {
                site,
                found: after.dims().to_vec(),
                expected: before.dims().to_vec(),
            });
        }
        if !after.device().is_cpu() {
            return Ok(());
        }
        let rows = after.to_vec2::<f32>().map_err(Error::tensor(site.to_string()))?;
        match rows.iter().position(|row| row.iter().any(|v| !v.is_finite())) {
            None => Ok(()),
            Some(at) => {
                Err(Error::NotFinite { at: site.to_string(), position: self.pass.start + at })
            }
        }
    }
}

// stream [rows, d] with some ranges replaced, in rising order
fn splice(stream: Tensor, edits: Vec<(Range<usize>, Tensor)>) -> candle_core::Result<Tensor> {
    if edits.is_empty() {
        return Ok(stream);
    }
    let mut parts = Vec::with_capacity(2 * edits.len() + 1);
    let mut next = 0;
    for (rows, edited) in edits {
        if rows.start > next {
            parts.push(stream.narrow(0, next, rows.start - next)?);
        }
        next = rows.end;
        parts.push(edited);
    }
    let total = stream.dim(0)?;
    if total > next {
        parts.push(stream.narrow(0, next, total - next)?);
    }
    Tensor::cat(&parts, 0)?.contiguous()
}
