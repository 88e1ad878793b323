//! The states of every row at every candidate, and what they were read from.
//!
//! Rows are in the order of the data, items in fixed blocks of [`BLOCK`]. Sums are made from the states block by block and
//! merged in the order of the blocks (`sums`), so that a run in one piece and one in shards give the same bits. What is known of
//! the whole ([`About`]) is the same text in every shard: equal texts mean that shards belong together.

use super::recipe::Recipe;
use super::{ExtractError, Place, Result};
use crate::file::card::{MethodName, ModelPin, Pinned};
use crate::pairs::{Class, Part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Items of a block.
pub const BLOCK: usize = 8;

/// What is known of an extraction before its first pass; the same for all its shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    pub recipe: Recipe,
    /// Of the data file's bytes.
    pub data_sha256: String,
    #[serde(with = "PinWire")]
    pub model: ModelPin,
    pub width: usize,
    /// Sites by name, in forward order.
    pub sites: Vec<String>,
    pub places: Vec<Place>,
    /// Median and 95th percentile of the stream's length at each site.
    pub norms: BTreeMap<String, [f32; 2]>,
    pub items: Vec<Known>,
}

/// What is known of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Hash of its group.
    pub group: u64,
    pub part: Part,
    /// The class of an item of one side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<Class>,
}

impl Known {
    fn sides(&self) -> usize {
        if self.class.is_some() { 1 } else { 2 }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ModelPin")]
struct PinWire {
    arch: String,
    d_model: usize,
    family_sha256: String,
    n_layers: usize,
    name: String,
    pinned: Pinned,
    quantization: String,
    revision: Option<String>,
    template_sha256: Option<String>,
    tokenizer_sha256: String,
    vocab_size: usize,
    weights_sha256: String,
}

impl About {
    /// How many blocks the items make.
    pub fn blocks(&self) -> usize {
        self.items.len().div_ceil(BLOCK)
    }

    /// Sites times places.
    pub fn candidates(&self) -> usize {
        self.sites.len() * self.places.len()
    }

    /// The items of some blocks.
    pub fn items_of(&self, blocks: &Range<usize>) -> Range<usize> {
        (blocks.start * BLOCK).min(self.items.len())..(blocks.end * BLOCK).min(self.items.len())
    }

    /// How many rows the items of some blocks have.
    pub fn rows_of(&self, blocks: &Range<usize>) -> usize {
        let items = self.items.get(self.items_of(blocks)).unwrap_or_default();
        items.iter().map(Known::sides).sum()
    }

    /// What the states of some blocks take, if that can be counted.
    pub fn bytes(&self, blocks: &Range<usize>) -> Option<usize> {
        let factors = [self.rows_of(blocks), self.candidates(), self.width, size_of::<f32>()];
        factors.into_iter().try_fold(1, usize::checked_mul)
    }

    /// Class and item of every row.
    pub fn rows(&self) -> impl Iterator<Item = (Class, usize, &Known)> {
        self.items.iter().enumerate().flat_map(|(item, known)| {
            let classes = match known.class {
                Some(class) => vec![class],
                None => vec![Class::Positive, Class::Negative],
            };
            classes.into_iter().map(move |class| (class, item, known))
        })
    }

    fn of_part(&self, part: Part) -> impl Iterator<Item = &Known> {
        self.items.iter().filter(move |known| known.part == part)
    }

    /// The groups of a part's items.
    pub fn groups(&self, part: Part) -> Vec<u64> {
        self.of_part(part).map(|known| known.group).collect()
    }

    /// Whether items are pairs.
    pub fn are_paired(&self) -> bool {
        self.items.iter().all(|known| known.class.is_none())
    }

    /// How many items a part has.
    pub fn count(&self, part: Part) -> usize {
        self.of_part(part).count()
    }

    /// The part that says how well a direction separates: the test, or what chose it where that has no item of a class.
    pub fn judged_by(&self) -> Option<Part> {
        let classes = [Class::Positive, Class::Negative];
        let has_both = |part: &Part| classes.iter().all(|class| self.sides(*class, *part) > 0);
        [Part::Test, Part::Select].into_iter().find(has_both)
    }

    /// How many rows of a class a part has.
    pub fn sides(&self, class: Class, part: Part) -> usize {
        self.of_part(part).filter(|known| known.class.is_none_or(|own| own == class)).count()
    }
}

/// States that were read, of all blocks or of some.
#[derive(Debug, Clone, PartialEq)]
pub struct States {
    pub(super) about: About,
    /// The blocks this run or shard is for.
    pub(super) blocks: Range<usize>,
    /// The last block that was read, and one.
    pub(super) done: usize,
    /// `[rows, sites · places, width]`
    pub(super) values: Vec<f32>,
}

impl States {
    /// None read yet, if all of them will fit into `budget` bytes.
    pub(super) fn empty(about: About, blocks: Range<usize>, budget: usize) -> Result<States> {
        let (rows, candidates) = (about.rows_of(&blocks), about.candidates());
        let bytes = about.bytes(&blocks);
        if bytes.is_none_or(|bytes| bytes > budget) {
            let bytes = bytes.unwrap_or(usize::MAX);
            return Err(ExtractError::Budget { rows, candidates, bytes, budget }.into());
        }
        let values = Vec::with_capacity(rows * candidates * about.width);
        Ok(States { done: blocks.start, about, blocks, values })
    }

    /// How many pairs, or labelled texts, the data has.
    pub fn items(&self) -> usize {
        self.about.items.len()
    }

    /// Which blocks of items these are, of how many.
    pub fn blocks(&self) -> (Range<usize>, usize) {
        (self.blocks.clone(), self.about.blocks())
    }

    /// How they are to be estimated from.
    pub fn method(&self) -> MethodName {
        self.about.recipe.method
    }

    /// Whether every block of the data is here.
    pub fn is_whole(&self) -> bool {
        self.blocks == (0..self.about.blocks()) && self.done == self.blocks.end
    }

    /// Shards of one extraction, in any order, as the whole.
    pub fn merge(mut shards: Vec<States>) -> Result<States> {
        shards.sort_by_key(|shard| (shard.blocks.start, shard.blocks.end));
        let mut shards = shards.into_iter();
        let Some(mut whole) = shards.next() else {
            return Err(ExtractError::Incomplete { found: "none".to_owned(), blocks: 0 }.into());
        };
        let mut found = vec![whole.blocks.clone()];
        for shard in shards {
            if shard.about != whole.about {
                let what = format!("the shard of blocks {:?}", shard.blocks);
                let advice = "run every shard with the same data, model and flags";
                return Err(ExtractError::AnotherRun { what, advice }.into());
            }
            found.push(shard.blocks.clone());
            if shard.blocks.start == whole.blocks.end && whole.done == whole.blocks.end {
                whole.blocks.end = shard.blocks.end;
                whole.done = shard.done;
                whole.values.extend(shard.values);
            }
        }
        if whole.is_whole() && found.iter().map(Range::len).sum::<usize>() == whole.blocks.len() {
            return Ok(whole);
        }
        let found: Vec<String> = found.iter().map(|r| format!("{}..{}", r.start, r.end)).collect();
        let blocks = whole.about.blocks();
        Err(ExtractError::Incomplete { found: found.join(", "), blocks }.into())
    }

    /// The states of one class at a candidate in some parts, one behind the other.
    // [rows, candidates, width] -> [n, width]
    pub(super) fn of(&self, candidate: usize, class: Class, part: Part) -> Vec<f32> {
        let width = self.about.width;
        let rows = self.values.chunks_exact(self.about.candidates() * width);
        let mut states = Vec::new();
        for ((of, _, known), row) in self.about.rows().zip(rows) {
            if of == class && known.part == part {
                let state = row.get(candidate * width..(candidate + 1) * width);
                states.extend_from_slice(state.unwrap_or_default());
            }
        }
        states
    }
}
