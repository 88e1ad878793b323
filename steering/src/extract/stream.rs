//! An extraction whose states do not fit into memory.
//!
//! Parts are read one after the other, and of each only what estimation asks for is kept: of the items that are fitted on
//! sums, of those that choose and those of the test projections. So every item is read once, and the bits are those of
//! an extraction in memory. Estimators that need all fitted states (components, probes, robust weights) get those of as
//! many sites at a time as fit, and the fitted items are read once for each such group of sites.

use super::outcome::given;
use super::read::Reader;
use super::render::Sample;
use super::source::{Asked, Source};
use super::states::{About, BLOCK};
use super::sums::{Fitted, Plan, Sums};
use super::{ExtractError, Extracted, Extraction, Result, passes, portion};
use crate::error::Error;
use crate::estimate;
use crate::pairs::{Class, Part};
use std::ops::Range;
use trimtab_runtime::generate::Flow;

impl Extraction<'_> {
    /// Whether all states of the data take no more than so many bytes.
    pub fn fits(&self, budget: usize) -> bool {
        self.about.bytes(&(0..self.about.blocks())).is_some_and(|bytes| bytes <= budget)
    }

    /// How many items [`Extraction::stream`] reads, those it reads again included.
    pub fn streamed(&self, budget: usize) -> Result<usize> {
        let groups = self.about.sites.len().div_ceil(self.sites_at_once(budget)?);
        // Without a test, the items that choose are asked again about the directions that are written.
        let last = self.about.judged_by().map_or(0, |part| self.about.count(part));
        Ok(groups * self.about.count(Part::Fit) + self.about.count(Part::Select) + last)
    }

    /// Reads everything and estimates, without keeping states: what is kept takes no more than so many bytes, beside the
    /// model and one pass over some rows. The file is to the bit the one of states in memory. `progress` is told how many
    /// items were read since it was last asked; what it ends is lost.
    pub fn stream(
        &self,
        budget: usize,
        progress: &mut dyn FnMut(usize) -> Flow,
    ) -> Result<Extracted> {
        self.sites_at_once(budget)?;
        given(&mut Streamed { extraction: self, budget, progress })
    }

    /// How many sites can be summed at a time.
    fn sites_at_once(&self, budget: usize) -> Result<usize> {
        let (sites, places) = (self.about.sites.len(), self.about.places.len());
        let bytes = Plan::of(&self.about).bytes().saturating_mul(places);
        match budget / bytes.max(1) {
            0 => Err(ExtractError::OneSite { places, bytes, budget }.into()),
            sites_that_fit => Ok(sites_that_fit.min(sites)),
        }
    }
}

/// States that are read when they are asked for.
struct Streamed<'e, 'a> {
    extraction: &'e Extraction<'a>,
    budget: usize,
    progress: &'e mut dyn FnMut(usize) -> Flow,
}

/// Hears of one row: its item, its class, and its states at the sites that are read.
type Take<'t> = &'t mut dyn FnMut(&Sample, &[f32]) -> Result<()>;

impl Streamed<'_, '_> {
    /// Reads the items of a part at some of the sites.
    // -> [sites, places, width] per row
    fn read(&mut self, part: Part, sites: Range<usize>, take: Take<'_>) -> Result<()> {
        let of = self.extraction;
        let is_of =
            |sample: &&Sample| of.about.items.get(sample.item).map(|i| i.part) == Some(part);
        let samples: Vec<Sample> = of.samples.iter().filter(is_of).cloned().collect();
        if samples.is_empty() {
            return Ok(());
        }
        let (sites, places) = (of.sites.get(sites).unwrap_or_default(), &of.about.places);
        let reader = Reader::new(of.model, sites, places, &samples, of.sharing)?;
        let width = sites.len() * places.len() * of.about.width;
        let mut rest = samples.as_slice();
        while !rest.is_empty() {
            let (portion, _) = portion(rest, &reader);
            for pass in passes(portion, &reader) {
                let states = reader.read(pass)?;
                for (sample, states) in pass.iter().zip(states.chunks_exact(width)) {
                    take(sample, states)?;
                }
            }
            rest = rest.get(portion.len()..).unwrap_or_default();
            let items = portion.chunk_by(|a, b| a.item == b.item).count();
            if (self.progress)(items) == Flow::Cancel {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }
}

impl Source for Streamed<'_, '_> {
    fn about(&self) -> &About {
        &self.extraction.about
    }

    fn fit(&mut self, take: &mut dyn FnMut(usize, Fitted) -> Result<()>) -> Result<()> {
        let (plan, at_once) = (Plan::of(self.about()), self.extraction.sites_at_once(self.budget)?);
        let (sites, places) = (self.about().sites.len(), self.about().places.len());
        let width = self.about().width;
        for first in (0..sites).step_by(at_once) {
            let group = first..(first + at_once).min(sites);
            let mut sums: Vec<Sums> = (0..group.len() * places).map(|_| Sums::new(&plan)).collect();
            let mut block = 0;
            self.read(Part::Fit, group, &mut |sample, states| {
                if sample.item / BLOCK != block {
                    sums.iter_mut().try_for_each(Sums::end_block)?;
                    block = sample.item / BLOCK;
                }
                let mut each = sums.iter_mut().zip(states.chunks_exact(width));
                each.try_for_each(|(sums, x)| sums.add(&plan, sample.class, x))
            })?;
            for (at, sums) in sums.into_iter().enumerate() {
                take(first * places + at, sums.fitted(&plan)?)?;
            }
        }
        Ok(())
    }

    fn project(&mut self, part: Part, asked: &[Asked]) -> Result<Vec<[Vec<f64>; 2]>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let (width, places) = (self.about().width, self.about().places.len());
        let sites = asked.iter().map(|asked| asked.candidate / places.max(1));
        let first = sites.clone().min().unwrap_or(0);
        let last = sites.max().map_or(0, |last| last + 1);
        let mut found = vec![[Vec::new(), Vec::new()]; asked.len()];
        self.read(part, first..last, &mut |sample, states| {
            for (asked, found) in asked.iter().zip(&mut found) {
                let from = (asked.candidate - first * places) * width;
                let state = states.get(from..from + width).unwrap_or_default();
                let [positive, negative] = found;
                let found = match sample.class {
                    Class::Positive => positive,
                    Class::Negative => negative,
                };
                found.push(estimate::project(state, &asked.row));
            }
            Ok(())
        })?;
        Ok(found)
    }
}
