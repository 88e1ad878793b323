//! Vectors that act together: from files and options to one plan, its doses, and the rows of a receipt.
//!
//! A vector is pushed with the options it is applied with, and refused there if it cannot be applied at all. Lowering holds
//! all vectors to the dose limit, which may change their scales, and makes the plan. A plan can have more items than there
//! are vectors, so each row of [`Applied`] says which item counts the tokens of which site.

use crate::compose::Error as ComposeError;
use crate::compose::dose::{self, DoseLimit, DosePolicy, Dosed, Doses, Standing, over};
use crate::error::{Error, Result};
use crate::file::card::OperationKind;
use crate::file::{VectorFile, Warning};
use crate::receipt::{SiteReceipt, VectorReceipt};
use crate::scope::Scope;
use crate::steer::{Steer, SteerOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::hook::Intervention;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;

/// A vector of a stack.
#[derive(Debug, Clone)]
pub struct StackVector {
    /// What receipts call it.
    pub id: String,
    /// Of its file, in hexadecimal.
    pub sha256: String,
    /// The file.
    pub file: Arc<VectorFile>,
    /// What was found when the file was held against the model.
    pub warnings: Vec<Warning>,
    /// How it is applied.
    pub options: SteerOptions,
    /// Whether its scale may be lowered for the sake of others.
    pub standing: Standing,
}

/// A vector and its intervention at the scale asked for.
#[derive(Debug, Clone)]
struct Entry {
    vector: StackVector,
    /// Its card's name, with a number where an earlier vector has the same.
    name: String,
    steer: Steer,
}

/// Vectors that act together, in order of application.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    limit: DoseLimit,
    entries: Vec<Entry>,
}

/// A stack that cannot be applied.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct StackError {
    /// The index of the vector that has to change; `None` where it is all of them together.
    pub vector: Option<usize>,
    /// Why.
    pub source: Box<Error>,
}

impl From<StackError> for Error {
    fn from(error: StackError) -> Error {
        *error.source
    }
}

/// A stack as something that can be done to a model. The default does nothing.
#[derive(Debug, Clone, Default)]
pub struct Lowered {
    /// What is done to the model.
    pub plan: Plan,
    /// The vectors, in order.
    pub applied: Vec<Applied>,
    /// What they push, as far as it is known beforehand, and what is to be told of that.
    pub doses: Doses,
}

/// A vector of a plan.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What receipts call it.
    pub id: String,
    /// Of its file, in hexadecimal.
    pub sha256: String,
    /// What is done with it.
    pub op: OperationKind,
    /// The scale in force.
    pub scale: f32,
    /// Where it acts, in forward order.
    pub sites: Vec<AppliedSite>,
    warnings: Vec<&'static str>,
}

/// A vector of a plan at one site.
#[derive(Debug, Clone, Copy)]
pub struct AppliedSite {
    /// Where.
    pub site: Site,
    /// The item of the plan that acts there.
    pub item: usize,
    /// At how many sites that item acts.
    pub shares: u64,
    /// The predicted dose, where it is known beforehand.
    pub dose: Option<f64>,
}

impl Stack {
    /// Without vectors, to be held to this limit.
    pub fn new(limit: DoseLimit) -> Stack {
        Stack { limit, entries: Vec::new() }
    }

    /// Puts a vector on top. Refuses what can be applied on no model.
    pub fn push(&mut self, vector: StackVector) -> Result<()> {
        let steer = Steer::new(&vector.file, &vector.options)?;
        let name = vector.file.card().name.clone();
        self.entries.push(Entry { vector, name, steer });
        dose::name_apart(self.entries.iter_mut().map(|entry| &mut entry.name));
        Ok(())
    }

    /// The same vectors with another scale for one of them.
    pub fn rescaled(&self, index: usize, scale: f32) -> Result<Stack> {
        let mut stack = Stack::new(self.limit);
        for (at, mut vector) in self.vectors().cloned().enumerate() {
            if at == index {
                vector.options.scale = Some(scale);
            }
            stack.push(vector)?;
        }
        Ok(stack)
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The vectors, in order.
    pub fn vectors(&self) -> impl Iterator<Item = &StackVector> {
        self.entries.iter().map(|entry| &entry.vector)
    }

    /// The first vector, by its index, that acts on a token where an earlier one acts, with that one and the site.
    pub fn meeting(&self, prompt: Option<&[u32]>) -> Option<(usize, &StackVector, Site)> {
        let acting = self.vectors().enumerate().filter(|(_, vector)| vector.scale() != 0.0);
        let acting: Vec<(usize, &StackVector)> = acting.collect();
        for (number, (index, second)) in acting.iter().enumerate() {
            let sites = second.sites();
            for (_, first) in acting.iter().take(number) {
                let shared = first.sites().into_iter().find(|site| sites.contains(site));
                let meets = |_: &Site| first.scope().overlaps(second.scope(), prompt);
                if let Some(site) = shared.filter(meets) {
                    return Some((*index, first, site));
                }
            }
        }
        None
    }

    /// The names of the vectors: those of their cards, each made different.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The vectors as their doses are reckoned.
    fn dosed(&self) -> Vec<Dosed<'_>> {
        self.entries.iter().map(Entry::dosed).collect()
    }

    /// The stream's length where the vectors are held to it, as [`dose::stream_lengths`] measures it on a model.
    pub fn stream_lengths(
        &self,
        model: &Model,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<BTreeMap<Site, f32>> {
        dose::stream_lengths(model, &self.dosed(), progress)
    }

    /// The plan of the vectors within the dose limit. `lengths` holds the stream's median length at sites of the model,
    /// where it was measured; the architecture is what the plan is bound against.
    pub fn lower(
        &self,
        lengths: &BTreeMap<Site, f32>,
        spec: &ModelSpec,
    ) -> std::result::Result<Lowered, StackError> {
        let dosed = self.dosed();
        let doses = self.limit.check(&dosed, lengths);
        let doses = doses.map_err(|source| self.excess(&dosed, lengths, source))?;
        let mut items: Vec<(Arc<dyn Intervention>, usize)> = Vec::new();
        let mut applied = Vec::with_capacity(self.entries.len());
        for (index, (entry, scale)) in self.entries.iter().zip(doses.scales()).enumerate() {
            let steers = entry.steers(*scale);
            let steers = steers
                .map_err(|source| StackError { vector: Some(index), source: Box::new(source) })?;
            let mut sites = Vec::new();
            for (steer, acts) in steers {
                let (item, shares) = (items.len(), acts.len() as u64);
                let at = |site: Site| {
                    let dose = doses.at(index, site);
                    AppliedSite { site, item, shares, dose }
                };
                sites.extend(acts.into_iter().map(at));
                items.push((Arc::new(steer), index));
            }
            applied.push(entry.applied(*scale, sites));
        }
        let plan = Plan::from_shared(items.iter().map(|(item, _)| item.clone()));
        if let Err(error) = plan.bind(spec) {
            let vector = match &error {
                trimtab_runtime::Error::CannotAct { index, .. } => {
                    items.get(*index).map(|(_, vector)| *vector)
                }
                _ => None,
            };
            return Err(StackError { vector, source: Box::new(error.into()) });
        }
        Ok(Lowered { plan, applied, doses })
    }

    /// Whose dose was refused, if it is one vector's.
    fn excess(
        &self,
        dosed: &[Dosed<'_>],
        lengths: &BTreeMap<Site, f32>,
        source: Error,
    ) -> StackError {
        if let Error::Compose(inner) = &source
            && let ComposeError::NoStreamNorm { name, .. } = inner.as_ref()
        {
            let vector = self.names().position(|known| known == name);
            return StackError { vector, source: Box::new(source) };
        }
        let told = DoseLimit { policy: DosePolicy::Warn, ..self.limit }.check(dosed, lengths);
        let worst = told.ok().and_then(|doses| {
            let over = doses.vectors.into_iter().filter(|one| over(one.dose, one.limit));
            over.max_by(|a, b| (a.dose / a.limit).total_cmp(&(b.dose / b.limit)))
        });
        StackError { vector: worst.map(|worst| worst.vector), source: Box::new(source) }
    }
}

impl Entry {
    fn dosed(&self) -> Dosed<'_> {
        let StackVector { file, options, standing, .. } = &self.vector;
        let name = self.name.clone();
        Dosed { name, standing: *standing, ..Dosed::new(file, options) }
    }

    /// The interventions that are the vector at a scale, each with the sites it acts at.
    ///
    /// A constant addition is one for all sites: each changes the same tokens, so that what was counted over all can be
    /// told site by site. A hook without a gate is split, one for each site. With a gate it is not: a gate reads its
    /// site before the vector acts there, and a split one would read what its own other half has left.
    fn steers(&self, scale: f32) -> Result<Vec<(Steer, Vec<Site>)>> {
        let StackVector { file, options, .. } = &self.vector;
        let at = |sites: Option<Vec<Site>>| {
            let sites = sites.or_else(|| options.sites.clone());
            Steer::new(file, &SteerOptions { scale: Some(scale), sites, ..options.clone() })
        };
        let whole = match self.steer.scale() == scale {
            true => self.steer.clone(),
            false => at(None)?,
        };
        let sites = whole.sites();
        if whole.is_lowered() || options.gate.is_some() || sites.len() == 1 {
            return Ok(vec![(whole, sites)]);
        }
        sites.into_iter().map(|site| Ok((at(Some(vec![site]))?, vec![site]))).collect()
    }

    fn applied(&self, scale: f32, sites: Vec<AppliedSite>) -> Applied {
        let StackVector { id, sha256, file, warnings, options, .. } = &self.vector;
        let overridden = self.steer.overridden().map(|_| "operation_overridden");
        Applied {
            id: id.clone(),
            sha256: sha256.clone(),
            op: options.operation.unwrap_or(file.card().operation).into(),
            scale,
            sites,
            warnings: warnings.iter().map(Warning::code).chain(overridden).collect(),
        }
    }
}

impl StackVector {
    /// The sites at which it acts, in forward order.
    pub fn sites(&self) -> Vec<Site> {
        let sites = self.file.directions().iter().map(|direction| direction.site());
        sites.filter(|site| self.options.acts_at(*site)).collect()
    }

    /// The scale that is asked for: the card's default counts for the card's operation only.
    pub fn scale(&self) -> f32 {
        Dosed::new(&self.file, &self.options).scale
    }

    /// The tokens that it acts on.
    pub fn scope(&self) -> &Scope {
        self.options.scope.as_ref().unwrap_or(&self.file.card().scope)
    }
}

impl Lowered {
    /// What all vectors push at each site, where it is known beforehand.
    pub fn site_doses(&self) -> BTreeMap<Site, f64> {
        self.doses.sites.iter().map(|at| (at.site, at.dose)).collect()
    }

    /// The warnings of a receipt, each once; those of what is done on a retry stand behind.
    pub fn warnings(&self, retry: Option<&Lowered>) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for Lowered { applied, doses, .. } in [Some(self), retry].into_iter().flatten() {
            let of_vectors = applied.iter().flat_map(|applied| applied.warnings.iter().copied());
            for code in of_vectors.chain(doses.notes.iter().filter_map(dose::Note::code)) {
                if !all.iter().any(|known| known == code) {
                    all.push(code.to_owned());
                }
            }
        }
        all
    }

    /// The vectors of an answer's last attempt: after a rewind those of the retry, where it has its own.
    pub fn in_force<'a>(&'a self, retry: Option<&'a Lowered>, rewinds: u32) -> &'a [Applied] {
        &retry.filter(|_| rewinds > 0).unwrap_or(self).applied
    }
}

impl Applied {
    /// What it did to an answer, by what the plan's items have counted.
    pub fn receipt(&self, fired: &[u64]) -> VectorReceipt {
        let site = |at: &AppliedSite| SiteReceipt {
            site: at.site.to_string(),
            tokens: at.tokens(fired),
            dose: at.dose,
            dose_mean: None,
            dose_max: None,
            before: None,
            after: None,
        };
        VectorReceipt {
            id: self.id.clone(),
            sha256: self.sha256.clone(),
            op: self.op,
            scale: self.scale,
            sites: self.sites.iter().map(site).collect(),
        }
    }

    /// Whether it was meant to act and touched no token.
    pub fn is_idle(&self, fired: &[u64]) -> bool {
        let mut items = self.sites.iter().map(|at| at.item);
        self.scale != 0.0 && items.all(|item| fired.get(item).is_none_or(|count| *count == 0))
    }
}

impl AppliedSite {
    /// Its part of what its item counted over all of its sites: exact for additions, which change the same tokens
    /// everywhere, and a mean for a gated vector of several sites, one of which may have left a token as it was.
    pub fn tokens(&self, fired: &[u64]) -> u64 {
        fired.get(self.item).map_or(0, |all| all / self.shares.max(1))
    }
}
