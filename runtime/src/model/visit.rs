//! What happens at a site during a pass: additions for the whole batch, hooks row by row, captures last.

use super::lane::{Stream, Target};
use super::packed::Packed;
use super::row::Row;
use crate::error::{Error, Result, contain};
use crate::hook::{Edit, Pass};
use crate::kernels::add::RowAdd;
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
    /// The error of one of its hooks; the row is done then.
    failure: Option<Error>,
    /// Where in the plan the pass is.
    place: usize,
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
                pass: Pass {
                    start: span.start,
                    tokens: row.tokens,
                    prompt_len: row.prompt_len,
                    draws: row.draws,
                },
                plan: &mut *row.plan,
                rows: span.rows.clone(),
                captures,
                captured: BTreeMap::new(),
                failure: None,
                place: 0,
            });
        }
        (Visit { visitors, active }, caches)
    }

    /// Where a block's result goes: a branch that nobody looks at is added by the product that makes it.
    pub(super) fn target(&self, site: Site) -> Target {
        if self.sees(site) { Target::Branch } else { Target::Stream }
    }

    /// Whether any row does something behind the attention of the last block.
    pub(super) fn sees_behind(&self, last: usize) -> bool {
        [Site::ResidMid(last), Site::MlpOut(last), Site::ResidPost(last), Site::Final]
            .iter()
            .any(|site| self.sees(*site))
    }

    /// Whether any row does something at this site.
    fn sees(&self, site: Site) -> bool {
        self.active.contains(site)
    }

    // stream [Σtime, d_model], changed by every row's steps at this site
    pub(super) fn at(&mut self, site: Site, stream: &mut dyn Stream) -> Result<()> {
        if !self.sees(site) {
            return Ok(());
        }
        let rounds = self.visitors.iter_mut().map(|v| v.go_to(site)).max().unwrap_or(0);
        for round in 0..rounds {
            self.add(site, round, stream)?;
            self.call_hooks(site, round, stream)?;
        }
        self.capture(site, stream)
    }

    /// Captured activations and failures, per row.
    pub(super) fn into_parts(self) -> (Vec<BTreeMap<Site, Tensor>>, Vec<Option<Error>>) {
        self.visitors.into_iter().map(|v| (v.captured, v.failure)).unzip()
    }

    // stream [Σtime, d_model], with the additions that are every row's `round`-th step
    fn add(&mut self, site: Site, round: usize, stream: &mut dyn Stream) -> Result<()> {
        let adds: Vec<RowAdd> =
            self.visitors.iter_mut().filter_map(|v| v.addition(site, round)).collect();
        if adds.is_empty() {
            return Ok(());
        }
        stream.add(&adds).map_err(|source| Error::Tensor { at: site.to_string(), source })
    }

    // stream [Σtime, d_model], with the hooks that are every row's `round`-th step
    fn call_hooks(&mut self, site: Site, round: usize, stream: &mut dyn Stream) -> Result<()> {
        let mut edits: Vec<(Range<usize>, Tensor)> = Vec::new();
        for visitor in self.visitors.iter_mut().filter(|v| v.failure.is_none()) {
            let steps = visitor.plan.steps(site, visitor.place);
            let Some(&Step::Hook(index)) = steps.get(round) else {
                continue;
            };
            match visitor.call(site, index, stream) {
                Ok(None) => {}
                Ok(Some(edited)) => edits.push((visitor.rows.clone(), edited)),
                // The row goes on as it was: a pass is not worth less to the others.
                Err(error) => visitor.failure = Some(error),
            }
        }
        if edits.is_empty() {
            return Ok(());
        }
        stream.replace(edits).map_err(Error::tensor(site.to_string()))
    }

    fn capture(&mut self, site: Site, stream: &dyn Stream) -> Result<()> {
        for visitor in self.visitors.iter_mut().filter(|v| v.captures.contains(site)) {
            // A copy of the row alone: a view would keep the whole batch's stream alive.
            let part = stream.read(visitor.rows.clone());
            let part = part.map_err(|source| Error::Tensor { at: site.to_string(), source })?;
            visitor.captured.insert(site, part);
        }
        Ok(())
    }
}

impl Visitor<'_> {
    /// Goes on to a site; gives the number of its steps.
    fn go_to(&mut self, site: Site) -> usize {
        self.place = self.plan.place(site, self.place);
        self.plan.steps(site, self.place).len()
    }

    /// The addition that is this row's `round`-th step here, if it reaches a token of the pass.
    fn addition(&mut self, site: Site, round: usize) -> Option<RowAdd<'_>> {
        let (chosen, vector) = self.plan.addition((site, self.place), round, &self.pass)?;
        let first = self.rows.start;
        Some(RowAdd { rows: first + chosen.start..first + chosen.end, vector })
    }

    // stream [Σtime, d_model] -> this row's edited [time, d_model]
    fn call(&mut self, site: Site, index: usize, stream: &dyn Stream) -> Result<Option<Tensor>> {
        let Some(hook) = self.plan.hook(index) else {
            return Ok(None);
        };
        let own = stream.read(self.rows.clone()).map_err(Error::tensor(site.to_string()))?;
        match contain("hook", || hook.apply(site, &own, &self.pass))?? {
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
