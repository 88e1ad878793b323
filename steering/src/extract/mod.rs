//! From examples to a vector file, on the very model that will be steered.
//!
//! [`Extraction`] renders the examples and checks everything that can be checked before a model computes. It reads their
//! states in one pass over the data ([`States`]), in one piece, in shards on several machines, or in several sittings; those
//! that memory has no room for are summed and projected as they are read ([`Extraction::stream`]).
//! [`States::finish`] needs no model any more: it estimates a direction at every candidate (a site and a place), chooses
//! one by items that were not fitted on, and gives the file and the whole grid. Whole states are the same bits however they
//! came together, and so is the file.
//!
//! PaLRS (arXiv 2509.23982) is the method with position `response_as_user`, the rule `paper_cosine` and a scale of
//! α‖μ⁺‖; which tokens it reads, and that its alignment is the cosine, are our reading of reports about it.

mod choose;
mod container;
mod error;
mod outcome;
mod picture;
mod place;
mod position;
mod read;
mod recipe;
mod render;
mod source;
mod states;
mod stream;
mod sums;

#[cfg(test)]
mod tests;

pub use crate::estimate::Selection as Rule;
pub use error::ExtractError;
pub use outcome::{Candidate, Extracted, Report, SiteReport};
pub use place::Place;
pub use position::Position;
pub use recipe::{FEW_PAIRS, Keep, Long, MIN_PAIRS, Recipe, Wording};
pub use states::{BLOCK, States};

use crate::error::Result;
use crate::file::card::{ModelPin, Pinned};
use crate::pairs::{Class, Finding, Item, Pairs, Part, Sides};
use read::{Reader, Sharing};
use render::{Renderer, Sample};
use sha2::{Digest, Sha256};
use states::{About, Known};
use std::collections::BTreeMap;
use std::ops::Range;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::site::Site;

/// What states may take in memory unless told otherwise.
pub const STATE_BYTES: usize = 1 << 30;

/// A part of an extraction: the `index`-th of `of`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { index: 1, of: 1 };

    /// Its blocks of so many.
    fn blocks(self, blocks: usize) -> Result<Range<usize>> {
        if self.index == 0 || self.index > self.of || self.of > blocks {
            let problem = format!(
                "is {}/{}, expected 1/N to N/N with at most {blocks} shards of this data",
                self.index, self.of
            );
            return Err(ExtractError::Setting { field: "shard", problem }.into());
        }
        Ok((self.index - 1) * blocks / self.of..self.index * blocks / self.of)
    }
}

/// An extraction that can be run: data, model and recipe fit each other.
pub struct Extraction<'a> {
    model: &'a Model,
    sites: Vec<Site>,
    /// The tokens of every row, item by item.
    samples: Vec<Sample>,
    about: About,
    left_out: Vec<Finding>,
    sharing: Sharing,
}

impl Recipe {
    /// Checks everything about data that can be checked without a model.
    pub fn check_with(&self, pairs: &Pairs) -> Result<()> {
        self.check()?;
        choose::estimator(self.method)?;
        let first = pairs.items.first().ok_or(crate::pairs::PairError::Empty)?;
        self.position_for(&first.sides).check(&first.sides)?;
        self.check_sides(&first.sides)?;
        self.enough(&self.known(pairs)?)
    }

    fn known(&self, pairs: &Pairs) -> Result<Vec<Known>> {
        let parts = pairs.parts(self.shares()?, self.seed);
        Ok(pairs.items.iter().zip(parts).map(|(item, part)| known(item, part)).collect())
    }
}

impl<'a> Extraction<'a> {
    /// Checks data and recipe against each other and the model. No `sites` are those of [`usual_sites`].
    pub fn new(
        model: &'a Model,
        pairs: &Pairs,
        sites: &[Site],
        recipe: &Recipe,
    ) -> Result<Extraction<'a>> {
        recipe.check_with(pairs)?;
        let first = pairs.items.first().ok_or(crate::pairs::PairError::Empty)?;
        Extraction::at(recipe.position_for(&first.sides), model, pairs, (sites, recipe))
    }

    /// The same without asking whether the position makes sense.
    fn at(
        position: Position,
        model: &'a Model,
        pairs: &Pairs,
        (sites, recipe): (&[Site], &Recipe),
    ) -> Result<Extraction<'a>> {
        let first = pairs.items.first().ok_or(crate::pairs::PairError::Empty)?;
        let spec = model.decoder().spec();
        let sites = checked(sites, spec)?;
        let words = (recipe.system.as_deref(), recipe.wording);
        let renderer = Renderer::new(model, words, position, &first.sides)?;
        let (samples, kept, left_out) = rendered(&renderer, pairs, (model, recipe.long))?;
        let pairs = kept.as_ref().unwrap_or(pairs);
        let items = recipe.known(pairs)?;
        recipe.enough(&items)?;
        let about = About {
            recipe: Recipe {
                position: Some(position),
                rule: Some(recipe.rule()),
                ..recipe.clone()
            },
            data_sha256: pairs.sha256.clone(),
            model: ModelPin::of(model, Pinned::Extract)?,
            width: spec.d_model,
            sites: sites.iter().map(Site::to_string).collect(),
            places: renderer.places.clone(),
            norms: norms(model, &sites)?,
            items,
        };
        Ok(Extraction { model, sites, samples, about, left_out, sharing: Sharing::Prefixes })
    }

    /// The examples that are left out because they are longer than the context.
    pub fn left_out(&self) -> &[Finding] {
        &self.left_out
    }

    /// The rows of some items.
    fn samples_of(&self, items: &Range<usize>) -> &[Sample] {
        let start = self.samples.partition_point(|sample| sample.item < items.start);
        let end = self.samples.partition_point(|sample| sample.item < items.end);
        self.samples.get(start..end).unwrap_or_default()
    }

    /// Where states will be read.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// States of a shard, none read yet, if they will fit into `budget` bytes.
    pub fn begin(&self, shard: Shard, budget: usize) -> Result<States> {
        let blocks = shard.blocks(self.about.blocks())?;
        States::empty(self.about.clone(), blocks, budget)
    }

    /// Whether unfinished states are this extraction's of this shard, so that [`Extraction::read`] can go on with them.
    pub fn check_resumed(&self, states: &States, shard: Shard) -> Result<()> {
        if states.about == self.about && states.blocks == shard.blocks(self.about.blocks())? {
            return Ok(());
        }
        let what = "the unfinished run".to_owned();
        let advice = "give the flags it was begun with, or begin anew without --resume";
        Err(ExtractError::AnotherRun { what, advice }.into())
    }

    /// How many items some states are still to read.
    pub fn remaining(&self, states: &States) -> usize {
        self.about.items_of(&(states.done..states.blocks.end)).len()
    }

    /// Reads what is missing. `progress` is told how many items were read since it was last asked, and sees the states
    /// so far, which are whole blocks and can be saved; what it ends is returned as it stands.
    pub fn read(
        &self,
        states: &mut States,
        progress: &mut dyn FnMut(&States, usize) -> Flow,
    ) -> Result<Flow> {
        let mut rest = self.samples_of(&self.about.items_of(&(states.done..states.blocks.end)));
        let places = &self.about.places;
        let reader = Reader::new(self.model, &self.sites, places, rest, self.sharing)?;
        while states.done < states.blocks.end {
            let (portion, blocks) = portion(rest, &reader);
            for pass in passes(portion, &reader) {
                states.values.extend(reader.read(pass)?);
            }
            rest = rest.get(portion.len()..).unwrap_or_default();
            let before = self.about.items_of(&(0..states.done)).len();
            states.done = (states.done + blocks).min(states.blocks.end);
            let items = self.about.items_of(&(0..states.done)).len() - before;
            if progress(states, items) == Flow::Cancel {
                return Ok(Flow::Cancel);
            }
        }
        Ok(Flow::Continue)
    }
}

/// Whole blocks that together fill a pass, at least one, and how many they are.
fn portion<'s>(samples: &'s [Sample], reader: &Reader<'_>) -> (&'s [Sample], usize) {
    let most = reader.pass_tokens();
    let (mut end, mut cost, mut blocks) = (0, 0, 0);
    for block in samples.chunk_by(|a, b| a.item / BLOCK == b.item / BLOCK) {
        let more: usize = block.iter().map(|sample| reader.cost(sample)).sum();
        if blocks > 0 && cost + more > most {
            break;
        }
        (end, cost, blocks) = (end + block.len(), cost + more, blocks + 1);
    }
    (samples.get(..end).unwrap_or_default(), blocks.max(1))
}

/// A portion in passes of about equal size. An item's sides stay together.
fn passes<'s>(samples: &'s [Sample], reader: &Reader<'_>) -> Vec<&'s [Sample]> {
    let total: usize = samples.iter().map(|sample| reader.cost(sample)).sum();
    let target = total.div_ceil(total.div_ceil(reader.pass_tokens()).max(1)).max(1);
    let (mut passes, mut start, mut end, mut cost) = (Vec::new(), 0, 0, 0);
    for item in samples.chunk_by(|a, b| a.item == b.item) {
        cost += item.iter().map(|sample| reader.cost(sample)).sum::<usize>();
        end += item.len();
        if cost >= target {
            passes.extend(samples.get(start..end));
            (start, cost) = (end, 0);
        }
    }
    passes.extend(samples.get(start..end).filter(|rest| !rest.is_empty()));
    passes
}

/// The inputs of blocks 1 to ⌊0.8·L⌋ − 1. The input of block 0 is left out: a template's token has the same embedding in
/// every example. Models of few blocks have the output of block 0 at least.
pub fn usual_sites(n_layers: usize) -> Vec<Site> {
    let last = (n_layers * 4 / 5).saturating_sub(2);
    (0..=last.min(n_layers.saturating_sub(1))).map(Site::ResidPost).collect()
}

fn checked(sites: &[Site], spec: &ModelSpec) -> Result<Vec<Site>> {
    let n_layers = spec.n_layers();
    if sites.is_empty() {
        return Ok(usual_sites(n_layers));
    }
    if let Some(site) = sites.iter().find(|site| !site.exists_in(n_layers)) {
        return Err(trimtab_runtime::Error::NoSuchSite { site: *site, n_layers }.into());
    }
    let mut sites = sites.to_vec();
    sites.sort_unstable();
    sites.dedup();
    Ok(sites)
}

fn known(item: &Item, part: Part) -> Known {
    let class = match &item.sides {
        Sides::Labelled { label, .. } => Some(*label),
        Sides::Answers { .. } | Sides::Prompts { .. } => None,
    };
    let digest: [u8; 32] = Sha256::digest(item.group.as_bytes()).into();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    Known { group: u64::from_le_bytes(head), part, class }
}

impl Recipe {
    /// Whether each class has enough to fit on, and to choose by.
    fn enough(&self, items: &[Known]) -> Result<()> {
        let choosing = usize::from(self.rule() == Rule::HeldoutAuroc);
        let needed = [
            (Part::Fit, "items of a class to fit on", self.min_pairs),
            (Part::Select, "items of a class to choose by", choosing),
        ];
        for (part, what, least) in needed {
            for class in [Class::Positive, Class::Negative] {
                let has = |k: &&Known| k.part == part && k.class.is_none_or(|own| own == class);
                let found = items.iter().filter(has).count();
                if found < least {
                    return Err(ExtractError::TooFew { what, found, least }.into());
                }
            }
        }
        if self.eta.is_some() {
            let fit = items.iter().filter(|known| known.part == Part::Fit).count();
            crate::estimate::enough(fit)?;
        }
        Ok(())
    }
}

/// The rows of all items that the context has room for, the items without the others if there are any, and the others.
fn rendered(
    renderer: &Renderer<'_>,
    pairs: &Pairs,
    (model, long): (&Model, Long),
) -> Result<(Vec<Sample>, Option<Pairs>, Vec<Finding>)> {
    let context = model.decoder().context();
    let (mut samples, mut kept, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for item in &pairs.items {
        let sides = renderer.samples(kept.len(), item)?;
        let tokens = sides.iter().map(|side| side.tokens.len()).max().unwrap_or(0);
        if tokens > context {
            lines.push((item.line, tokens));
        } else {
            samples.extend(sides);
            kept.push(item);
        }
    }
    if lines.is_empty() {
        return Ok((samples, None, Vec::new()));
    }
    let left_out = |(line, tokens): &(usize, usize)| Finding::Skipped {
        line: *line,
        reason: format!("line {line} has {tokens} tokens, the context holds {context}"),
    };
    match long {
        Long::Refuse => Err(ExtractError::TooLong { lines, context }.into()),
        Long::Skip => {
            let items = kept.into_iter().cloned().collect();
            let left = lines.iter().map(left_out).collect();
            Ok((samples, Some(Pairs { items, ..pairs.clone() }), left))
        }
    }
}

fn norms(model: &Model, sites: &[Site]) -> Result<BTreeMap<String, [f32; 2]>> {
    let norms = crate::neutral::lengths(model, sites, &mut |_, _| {})?;
    Ok(norms.into_iter().map(|(site, n)| (site.to_string(), [n.median, n.p95])).collect())
}
