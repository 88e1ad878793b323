//! A vector file as one intervention of a plan.
//!
//! A steering vector that adds is a constant per site, so it binds to plain additions, which cost one operation per site
//! for a whole batch. The file is one item of the plan, so that what it did is counted as one.

use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{Role, Scope, Status};
use std::ops::RangeInclusive;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::hook::{Addition, Bound, Intervention, Positions};
use trimtab_runtime::model::spec::ModelSpec;
use trimtab_runtime::site::Site;

/// What to do with a vector that was measured and had no effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NullVectors {
    /// Refuse it.
    #[default]
    Refuse,
    /// Use it all the same.
    Allow,
}

/// How a vector is applied. The default is what its card says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SteerOptions {
    /// Instead of the card's default; 1 moves by the whole class gap.
    pub scale: Option<f32>,
    /// Instead of the card's scope.
    pub positions: Option<Positions>,
    /// Only these blocks, both ends included. `embed` and `final` belong to none.
    pub blocks: Option<RangeInclusive<usize>>,
    /// Whether a vector without effect is used.
    pub null: NullVectors,
}

/// A vector file at a scale: adds `scale · magnitude · row` at each of its sites.
#[derive(Debug, Clone, PartialEq)]
pub struct Steer {
    name: String,
    scale: f32,
    positions: Positions,
    additions: Vec<Addition>,
}

impl Steer {
    /// The intervention of a file. Whether the file belongs to the model is
    /// [`VectorFile::admit`](crate::VectorFile::admit)'s question.
    pub fn new(file: &VectorFile, options: &SteerOptions) -> Result<Self> {
        let card = file.card();
        if card.role == Role::Read {
            return Err(Error::RoleRead { name: card.name.clone() });
        }
        if card.status == Status::Null && options.null == NullVectors::Refuse {
            return Err(Error::StatusNull { name: card.name.clone() });
        }
        let scale = options.scale.unwrap_or(card.scale.default);
        let positions = options.positions.clone().unwrap_or_else(|| reach(card.scope));
        let mut additions = Vec::new();
        for (site, offset) in file.offsets()? {
            if wanted(site, options.blocks.as_ref()) {
                additions.push(Addition::new(site, offset, scale)?.at(positions.clone()));
            }
        }
        if additions.is_empty() {
            return Err(none_left(file, options));
        }
        Ok(Steer { name: card.name.clone(), scale, positions, additions })
    }

    /// The vector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scale in force.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// What is added where, scale included.
    pub fn additions(&self) -> &[Addition] {
        &self.additions
    }
}

/// The positions of a card's scope, which selects at least one phase.
fn reach(scope: Scope) -> Positions {
    match (scope.prompt, scope.generation) {
        (Some(_), None) => Positions::Prompt,
        (None, Some(_)) => Positions::Generated,
        (Some(_), Some(_)) | (None, None) => Positions::All,
    }
}

fn wanted(site: Site, blocks: Option<&RangeInclusive<usize>>) -> bool {
    blocks.is_none_or(|blocks| site.block().is_some_and(|block| blocks.contains(&block)))
}

fn none_left(file: &VectorFile, options: &SteerOptions) -> Error {
    let sites: Vec<String> = file.directions().iter().map(|d| d.site().to_string()).collect();
    let blocks = options.blocks.clone().unwrap_or(0..=0);
    Error::NoSite {
        name: file.card().name.clone(),
        first: *blocks.start(),
        last: *blocks.end(),
        sites: sites.join(", "),
    }
}

impl Intervention for Steer {
    fn fingerprint(&self) -> Fingerprint {
        let start = Fingerprint::builder("trimtab.steer");
        self.additions.iter().fold(start, |all, one| all.nested(&one.fingerprint())).finish()
    }

    fn sites(&self) -> Vec<Site> {
        self.additions.iter().map(Addition::site).collect()
    }

    fn positions(&self) -> Positions {
        self.positions.clone()
    }

    fn bind(&self, _spec: &ModelSpec) -> trimtab_runtime::Result<Bound> {
        Ok(Bound::Additions(self.additions.clone()))
    }
}
