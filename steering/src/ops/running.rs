//! The running state of a vector that is more than a constant addition.
//!
//! One hook visits the sites of a pass in forward order. At the first it settles what scope and schedule give each token,
//! which only tokens and positions decide. At a gate's last site it closes the gate where it is to be closed. At the
//! vector's own sites it changes what is left, one new tensor each, and none where nothing is left.
//!
//! A pass can fail behind this hook, and then its tokens come again. So what was learnt in a pass counts only once
//! another pass goes on behind it.

use super::rows::{like, with_values};
use super::{Act, Edited, Force, Rescale};
use crate::gate::{Gate, Held, Readings};
use crate::schedule::{Schedule, Tracker};
use crate::scope::Scope;
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::hook::{Edit, Hook, Pass};
use trimtab_runtime::site::Site;
use trimtab_runtime::{Error, Result};

/// What a vector does where, when and how much. Shared by every session that binds it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) acts: BTreeMap<Site, Act>,
    pub(crate) rescale: Rescale,
    pub(crate) scope: Scope,
    pub(crate) gate: Option<Gate>,
    pub(crate) schedule: Schedule,
}

impl Program {
    /// The sites it changes, and those it only reads.
    pub(crate) fn sites(&self) -> Vec<Site> {
        let read = self.gate.iter().flat_map(Gate::sites);
        let all: BTreeSet<Site> = self.acts.keys().copied().chain(read).collect();
        all.into_iter().collect()
    }

    /// A site and width that do not fit a stream of this width.
    pub(crate) fn misfit(&self, width: usize) -> Option<(Site, usize)> {
        let acts = self.acts.iter().map(|(site, act)| (*site, act.width()));
        let mut others = acts.filter(|(_, found)| *found != width);
        others.next().or_else(|| self.gate.as_ref().and_then(|gate| gate.misfit(width)))
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let start = Fingerprint::builder("trimtab.steer.program");
        let start = start.text(&format!("{:?} {:?}", self.rescale, self.scope));
        let acts = self.acts.iter().fold(start, |digest, (site, act)| act.digest(*site, digest));
        let schedule = self.schedule.digest(acts);
        self.gate.iter().fold(schedule, |digest, gate| gate.digest(digest)).finish()
    }
}

/// What is known of the tokens before a position.
#[derive(Debug, Clone, Default)]
struct Memory {
    at: usize,
    tracker: Tracker,
    held: Held,
}

/// A program in one session.
#[derive(Clone)]
pub(crate) struct Running {
    program: Arc<Program>,
    /// Before the newest pass.
    before: Memory,
    /// Behind it, if it succeeds.
    after: Memory,
    /// The newest site of the newest pass.
    site: Option<Site>,
    /// What each token of the pass gets.
    forces: Vec<f64>,
    readings: Readings,
}

impl Running {
    pub(crate) fn new(program: Arc<Program>) -> Running {
        Running {
            program,
            before: Memory::default(),
            after: Memory::default(),
            site: None,
            forces: Vec::new(),
            readings: Readings::default(),
        }
    }

    /// Settles what only tokens and positions decide.
    fn begin(&mut self, pass: &Pass) {
        if pass.start == self.after.at {
            self.before = self.after.clone();
        } else if pass.start != self.before.at {
            // The plan is new and the tokens before are old: nothing is known of them.
            self.before = Memory { at: pass.start, ..Memory::default() };
        }
        self.after = self.before.clone();
        self.after.at = pass.positions().end;
        let Program { schedule, scope, .. } = self.program.as_ref();
        self.forces.clear();
        for (position, token) in pass.positions().zip(pass.tokens) {
            let share = self.after.tracker.step(schedule, (position, *token), pass.prompt_len);
            let selected = scope.selects(position, *token, pass.prompt_len);
            self.forces.push(if selected { share } else { 0.0 });
        }
    }

    // stream [time, d_model]; closes the gate where its conditions say so
    fn read(&mut self, gate: &Gate, site: Site, stream: &Tensor, pass: &Pass) -> Result<()> {
        let width = stream.dim(1).map_err(Error::tensor(site.to_string()))?;
        let readings = &mut self.readings;
        let complete = with_values(stream, |values| readings.read(gate, site, values, width));
        if complete.map_err(Error::tensor(site.to_string()))? {
            self.after.held.close(gate, &self.readings, pass, &mut self.forces)?;
        }
        Ok(())
    }

    // stream [time, d_model] -> [time, d_model]
    fn edit(&self, act: &Act, stream: &Tensor) -> candle_core::Result<Edit> {
        if self.forces.iter().all(|force| *force == 0.0) {
            return Ok(Edit::Keep);
        }
        let width = stream.dim(1)?;
        let mut values = with_values(stream, <[f32]>::to_vec)?;
        let rows = values.chunks_exact_mut(width).zip(&self.forces);
        let chosen = rows.filter(|(_, force)| **force != 0.0);
        let edited = chosen.map(|(x, force)| act.apply(x, Force(*force), self.program.rescale));
        let positions = edited.filter(|edited| *edited == Edited::Changed).count();
        if positions == 0 {
            return Ok(Edit::Keep);
        }
        Ok(Edit::Replace { stream: like(values, stream)?, positions })
    }
}

impl Hook for Running {
    // stream [time, d_model] -> [time, d_model]
    fn apply(&mut self, site: Site, stream: &Tensor, pass: &Pass) -> Result<Edit> {
        if self.site.is_none_or(|newest| site <= newest) {
            self.begin(pass);
        }
        self.site = Some(site);
        let program = self.program.clone();
        if let Some(gate) = &program.gate
            && gate.sites().any(|read| read == site)
        {
            self.read(gate, site, stream, pass)?;
        }
        match program.acts.get(&site) {
            None => Ok(Edit::Keep),
            Some(act) => self.edit(act, stream).map_err(Error::tensor(site.to_string())),
        }
    }

    fn fork(&self) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}
