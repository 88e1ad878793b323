//! The way through the tree of labels: which sequences to have read next, and what they said.

use super::tree::{Tree, VALUES, branches, log_probabilities};
use crate::error::Result;
use trimtab_runtime::monitor::Heard;
use trimtab_runtime::session::Session;

/// The tokens of the labels by axis, in the order of [`VALUES`].
pub(super) type Labels = [[u32; 3]; 3];

/// How much of the tree a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Safety alone, where the policy needs no more to decide on a rewind; everything at each fourth check.
    #[default]
    Lazy,
    /// All twelve nodes, at every check.
    Full,
}

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Altruism,
    Egoism,
    Done,
}

/// A walk that has read the root.
#[derive(Debug)]
pub(super) struct Walk {
    tree: Tree,
    depth: Depth,
    level: Level,
    rows: Vec<Session>,
}

impl Walk {
    /// From the sequence that ends with the question, and the logits behind it.
    pub fn begin(labels: &Labels, root: &Session, logits: &[f32], depth: Depth) -> Result<Walk> {
        let tree = Tree::new(log_probabilities(logits, labels[0]));
        if depth == Depth::Lazy {
            return Ok(Walk { tree, depth, level: Level::Done, rows: Vec::new() });
        }
        let rows: Result<Vec<Session>> =
            labels[0].iter().map(|label| grown(root, *label)).collect();
        Ok(Walk { tree, depth, level: Level::Altruism, rows: rows? })
    }

    /// The sequences to be read, each of which ends with labels; none when the walk is over.
    pub fn ask(&mut self) -> Vec<Session> {
        std::mem::take(&mut self.rows)
    }

    /// Whether there is nothing left to read.
    pub fn is_done(&self) -> bool {
        self.level == Level::Done
    }

    /// How much it reads.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// What was read.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Takes in what its sequences led to.
    pub fn heard(&mut self, labels: &Labels, heard: &[Heard]) -> Result<()> {
        match self.level {
            Level::Altruism => self.altruism(labels, heard)?,
            Level::Egoism => self.egoism(labels, heard),
            Level::Done => {}
        }
        Ok(())
    }

    fn altruism(&mut self, labels: &Labels, heard: &[Heard]) -> Result<()> {
        for (place, row) in self.tree.altruism.iter_mut().zip(heard) {
            *place = log_probabilities(&row.logits, labels[1]);
        }
        for (s, a) in branches() {
            if let (Some(row), Some(label)) = (heard.get(s), labels[1].get(a)) {
                self.rows.push(grown(&row.session, *label)?);
            }
        }
        self.level = Level::Egoism;
        Ok(())
    }

    fn egoism(&mut self, labels: &Labels, heard: &[Heard]) {
        for ((s, a), row) in branches().into_iter().zip(heard) {
            let place = self.tree.egoism.get_mut(s).and_then(|rows| rows.get_mut(a));
            if let Some(place) = place {
                *place = log_probabilities(&row.logits, labels[2]);
            }
        }
        self.level = Level::Done;
    }
}

/// How many sequences a whole walk asks for at once, at most.
pub(super) fn width() -> usize {
    branches().len().max(VALUES.len())
}

fn grown(from: &Session, label: u32) -> Result<Session> {
    let mut session = from.fork();
    session.push(&[label])?;
    Ok(session)
}
