//! What to do to a sequence: an ordered list of interventions, and its bound form.
//!
//! Order is the whole composition rule: within a site interventions apply in plan order, across sites depth
//! decides. Binding lowers plain additions: neighbours with the same site and positions become one vector, and the
//! forward pass adds the vectors of all rows of a batch in one operation per site.

use crate::error::{Error, Result, contain};
use crate::fingerprint::Fingerprint;
use crate::hook::{Addition, Bound, Hook, Intervention, Pass, Positions, Readings, fork};
use crate::model::spec::ModelSpec;
use crate::site::{Site, SiteSet};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// An ordered list of interventions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    items: Arc<[Arc<dyn Intervention>]>,
}

impl Plan {
    /// No intervention: bit for bit the model itself.
    pub fn empty() -> Self {
        Plan::default()
    }

    /// A plan of one intervention.
    pub fn of(intervention: impl Intervention + 'static) -> Self {
        Plan::empty().then(intervention)
    }

    /// The same plan with one more intervention at its end.
    pub fn then(&self, intervention: impl Intervention + 'static) -> Self {
        let mut items: Vec<Arc<dyn Intervention>> = self.items.to_vec();
        items.push(Arc::new(intervention));
        Plan { items: items.into() }
    }

    /// A plan of shared interventions.
    pub fn from_shared(items: impl IntoIterator<Item = Arc<dyn Intervention>>) -> Self {
        Plan { items: items.into_iter().collect() }
    }

    /// The interventions in order.
    pub fn items(&self) -> &[Arc<dyn Intervention>] {
        &self.items
    }

    /// Covers every intervention and their order.
    pub fn fingerprint(&self) -> Fingerprint {
        let all = self.items.iter();
        all.fold(Fingerprint::builder("trimtab.plan"), |b, i| b.nested(&i.fingerprint())).finish()
    }

    /// Covers the interventions that can touch keys or values of these positions, and which of the positions.
    ///
    /// Leaving out the others is exact: an edit after the last key–value projection, or at other positions, changes
    /// none of them. A prefix may be reused only where this is equal.
    pub fn kv_fingerprint(
        &self,
        positions: Range<usize>,
        prompt_len: usize,
        n_layers: usize,
    ) -> Fingerprint {
        let mut all = Fingerprint::builder("trimtab.kv");
        for item in self.items.iter().filter(|i| i.sites().iter().any(|s| s.is_kv_active(n_layers)))
        {
            // "The prompt" means other positions in another turn: what counts is where it ends in this range.
            let chosen = item.positions().overlap(&positions, prompt_len);
            if !chosen.is_empty() {
                let (from, to) = (chosen.start - positions.start, chosen.end - positions.start);
                all = all.nested(&item.fingerprint()).number(from as u64).number(to as u64);
            }
        }
        all.finish()
    }

    /// The running form. An intervention that could never act on this model is an error here, before any token.
    pub fn bind(&self, spec: &ModelSpec) -> Result<BoundPlan> {
        let mut steps = Steps::default();
        let mut hooks: Vec<(usize, Box<dyn Hook>)> = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            admit(index, item.as_ref(), spec)?;
            match contain("intervention", || item.bind(spec))?? {
                Bound::Additions(additions) => {
                    if additions.is_empty() {
                        let reason = "it binds to no addition".to_owned();
                        return Err(Error::CannotAct { index, reason });
                    }
                    for addition in additions {
                        declared(index, item.as_ref(), &addition)?;
                        admit(index, &addition, spec)?;
                        steps.push_addition(index, addition, spec)?;
                    }
                }
                Bound::Hook(hook) => {
                    steps.push_hook(hooks.len(), item.sites());
                    hooks.push((index, hook));
                }
            }
        }
        let sites = steps.by_site.keys().copied().collect();
        let fired = vec![0; self.items.len()];
        let steps = steps.by_site.into_iter().map(|(site, steps)| SiteSteps { site, steps });
        Ok(BoundPlan { steps: steps.collect(), hooks, sites, fired })
    }
}

/// Whether an intervention can act on this model at all.
fn admit(index: usize, item: &dyn Intervention, spec: &ModelSpec) -> Result<()> {
    let sites = item.sites();
    let n_layers = spec.n_layers();
    if let Some(site) = sites.iter().copied().find(|s| !s.exists_in(n_layers)) {
        return Err(Error::NoSuchSite { site, n_layers });
    }
    let nowhere = item.positions().nowhere(spec.context_length);
    let Some(reason) = sites.is_empty().then_some("it names no site").or(nowhere) else {
        return Ok(());
    };
    Err(Error::CannotAct { index, reason: reason.to_owned() })
}

/// Cache keys are made from what an intervention declares, so it may do no more than that.
fn declared(index: usize, item: &dyn Intervention, addition: &Addition) -> Result<()> {
    let inside = match (item.positions(), Intervention::positions(addition)) {
        (Positions::All, _) => true,
        (declared, bound) => declared == bound,
    };
    if inside && item.sites().contains(&addition.site()) {
        return Ok(());
    }
    let reason = format!("it binds to an addition at {} that it does not declare", addition.site());
    Err(Error::CannotAct { index, reason })
}

/// What happens at one site, in order.
pub(crate) enum Step {
    /// A constant vector, possibly several interventions' sum.
    Add {
        addition: Addition,
        /// Plan indices it came from, for counting.
        from: Vec<usize>,
    },
    /// A hook, by index.
    Hook(usize),
}

/// What happens at one site.
struct SiteSteps {
    site: Site,
    steps: Vec<Step>,
}

/// The steps of every site, as they are gathered.
#[derive(Default)]
struct Steps {
    by_site: BTreeMap<Site, Vec<Step>>,
}

impl Steps {
    fn push_addition(&mut self, index: usize, new: Addition, spec: &ModelSpec) -> Result<()> {
        let (site, found) = (new.site(), new.vector().len());
        if found != spec.d_model {
            return Err(Error::Width { site, found, expected: spec.d_model });
        }
        // x + 0 is x, except for the sign of a zero: leaving it out keeps "scale 0 = no plan" exact.
        if new.is_zero() {
            return Ok(());
        }
        let steps = self.by_site.entry(site).or_default();
        if let Some(Step::Add { addition, from }) = steps.last_mut()
            && let Some(sum) = addition.merged(&new)
        {
            *addition = sum;
            from.push(index);
            return Ok(());
        }
        steps.push(Step::Add { addition: new, from: vec![index] });
        Ok(())
    }

    fn push_hook(&mut self, slot: usize, sites: Vec<Site>) {
        for site in sites {
            self.by_site.entry(site).or_default().push(Step::Hook(slot));
        }
    }
}

/// A plan bound to a model: the running state of one session.
#[derive(Default)]
pub struct BoundPlan {
    /// In the order of the forward pass, so that a pass finds its place by going on.
    steps: Arc<[SiteSteps]>,
    /// Hooks with the plan index each came from.
    hooks: Vec<(usize, Box<dyn Hook>)>,
    sites: SiteSet,
    fired: Vec<u64>,
}

impl BoundPlan {
    /// How many positions each intervention has changed so far, in plan order.
    pub fn fired(&self) -> &[u64] {
        &self.fired
    }

    /// The sites where something happens.
    pub fn sites(&self) -> &SiteSet {
        &self.sites
    }

    /// Whether everything was lowered to additions, so that nothing has state.
    pub fn is_stateless(&self) -> bool {
        self.hooks.is_empty()
    }

    /// An independent copy with the same hook states.
    pub fn fork(&self) -> BoundPlan {
        BoundPlan {
            steps: self.steps.clone(),
            hooks: self.hooks.iter().map(|(item, hook)| (*item, fork(hook.as_ref()))).collect(),
            sites: self.sites.clone(),
            fired: self.fired.clone(),
        }
    }

    /// What its hooks report.
    pub fn readings(&self) -> Result<Readings> {
        let mut readings = Readings::new();
        for (item, hook) in &self.hooks {
            if let Some(values) = contain("hook", || hook.readings())? {
                readings.insert(*item, values);
            }
        }
        Ok(readings)
    }

    /// Counts the additions of positions whose keys and values were there already.
    pub(crate) fn credit(&mut self, positions: Range<usize>, prompt_len: usize) {
        for step in self.steps.iter().flat_map(|at| &at.steps) {
            if let Step::Add { addition, from } = step {
                let chosen = addition.reach().overlap(&positions, prompt_len);
                count(&mut self.fired, from, chosen.len());
            }
        }
    }

    /// The place of a site's steps, or of the first site behind it, looking on from an earlier place.
    pub(crate) fn place(&self, site: Site, from: usize) -> usize {
        let behind = self.steps.iter().skip(from).position(|at| at.site >= site);
        behind.map_or(self.steps.len(), |n| from + n)
    }

    /// What happens at a site, if it is at this place.
    pub(crate) fn steps(&self, site: Site, place: usize) -> &[Step] {
        match self.steps.get(place) {
            Some(at) if at.site == site => &at.steps,
            _ => &[],
        }
    }

    /// The vector that is a place's `round`-th step and the rows of the pass it is added to, which are counted.
    // -> rows of the pass, [d_model]
    pub(crate) fn addition(
        &mut self,
        (site, place): (Site, usize),
        round: usize,
        pass: &Pass,
    ) -> Option<(Range<usize>, &[f32])> {
        let at = self.steps.get(place).filter(|at| at.site == site)?;
        let Step::Add { addition, from } = at.steps.get(round)? else {
            return None;
        };
        let chosen = addition.reach().select(pass);
        if chosen.is_empty() {
            return None;
        }
        count(&mut self.fired, from, chosen.len());
        Some((chosen, addition.vector()))
    }

    pub(crate) fn hook(&mut self, index: usize) -> Option<&mut dyn Hook> {
        match self.hooks.get_mut(index) {
            Some((_, hook)) => Some(hook.as_mut()),
            None => None,
        }
    }

    pub(crate) fn count_hook(&mut self, index: usize, positions: usize) {
        if let Some(item) = self.hooks.get(index).map(|(item, _)| *item) {
            count(&mut self.fired, &[item], positions);
        }
    }
}

/// Counts positions for the interventions that changed them.
fn count(fired: &mut [u64], items: &[usize], positions: usize) {
    for item in items {
        if let Some(n) = fired.get_mut(*item) {
            *n += positions as u64;
        }
    }
}

impl std::fmt::Debug for BoundPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundPlan").field("sites", &self.sites).field("fired", &self.fired).finish()
    }
}
