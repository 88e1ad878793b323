//! The vectors of a plan in their order, and whether they may stand together at all.

use super::algebra::{cosine, wide};
use super::dose::{Dosed, Standing};
use super::error::Error;
use crate::direction::finite;
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{ModelPin, Operation, Role, Status};
use crate::scope::Scope;
use crate::steer::NullVectors;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// Below this cosine two protected vectors are in each other's way.
const CONFLICT: f64 = -0.5;

/// One vector of a plan.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The vector, its scale, where it acts and whether it may be changed.
    pub dosed: Dosed<'a>,
    /// Its rank, 1 the highest; `None` is its place in the list.
    pub priority: Option<usize>,
    /// Activation differences it was made from, row by row, `[n, width]` per site. Without them only its own direction
    /// can be protected.
    pub differences: BTreeMap<Site, Vec<f32>>,
}

impl<'a> From<Dosed<'a>> for Part<'a> {
    fn from(dosed: Dosed<'a>) -> Self {
        Part { dosed, priority: None, differences: BTreeMap::new() }
    }
}

impl Part<'_> {
    pub(super) fn name(&self) -> &str {
        &self.dosed.name
    }

    pub(super) fn adds(&self) -> bool {
        self.dosed.file.card().operation == Operation::Add
    }

    pub(super) fn is_protected(&self) -> bool {
        self.dosed.standing == Standing::Protected
    }
}

/// A vector's row in a mergeable group: the same site and scope.
pub(super) struct Member<'a> {
    /// Place of the vector in the list.
    pub(super) part: usize,
    pub(super) row: &'a [f32],
}

/// The vectors that add at one site and in one scope, by priority.
pub(super) struct Group<'a> {
    pub(super) site: Site,
    pub(super) scope: Scope,
    pub(super) members: Vec<Member<'a>>,
}

/// Places of the parts by priority: protected ones, then by rank, then by content, so that equal input in another
/// order gives equal output where ranks are equal.
pub(super) fn by_priority(parts: &[Part<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&at| {
        parts.get(at).map(|part| {
            let file = part.dosed.file;
            let scale = part.dosed.scale.to_bits();
            let rank = part.priority.unwrap_or(at + 1);
            (part.dosed.standing, rank, file.content_sha256().to_owned(), scale)
        })
    });
    order
}

/// The mergeable groups of the additions, in forward order; members by priority.
pub(super) fn groups<'a>(parts: &[Part<'a>], order: &[usize]) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<(Site, usize), Group<'a>> = BTreeMap::new();
    let mut reaches: Vec<&Scope> = Vec::new();
    for (place, part) in order.iter().filter_map(|&at| Some((at, parts.get(at)?))) {
        let scope = &part.dosed.scope;
        let reach = reaches.iter().position(|s| *s == scope).unwrap_or_else(|| {
            reaches.push(scope);
            reaches.len() - 1
        });
        for (site, row, _) in part.dosed.entries().filter(|_| part.adds()) {
            let group = groups.entry((site, reach)).or_insert_with(|| Group {
                site,
                scope: scope.clone(),
                members: Vec::new(),
            });
            group.members.push(Member { part: place, row });
        }
    }
    groups.into_values().collect()
}

/// Refuses vectors that must not be used, or not together.
pub(super) fn check(parts: &[Part<'_>], null: NullVectors) -> Result<()> {
    let Some(first) = parts.first() else {
        return Err(Error::Empty.into());
    };
    for part in parts {
        let (card, name) = (part.dosed.file.card(), part.name().to_owned());
        if card.role == Role::Read {
            return Err(crate::Error::RoleRead { name });
        }
        if card.status == Status::Null && null == NullVectors::Refuse {
            return Err(crate::Error::StatusNull { name });
        }
        finite(&format!("the scale of vector {name}"), &[part.dosed.scale])?;
        if !part.dosed.is_as_made() {
            let reason = format!("{name} is to be applied in another way than its card says");
            return Err(crate::Error::Refused { what: "composition", reason });
        }
        same_model(part, first)?;
        differences(part)?;
    }
    Ok(())
}

/// Doses and directions mean something on one model only.
fn same_model(part: &Part<'_>, other: &Part<'_>) -> Result<(), Error> {
    let (file, first): (&VectorFile, &VectorFile) = (part.dosed.file, other.dosed.file);
    let (made_on, pinned) = (file.card().model.as_ref(), first.card().model.as_ref());
    let said = |pin: Option<&ModelPin>, what: fn(&ModelPin) -> &str| {
        pin.map_or("no model".to_owned(), |pin| what(pin).to_owned())
    };
    let fields: [(&'static str, String, String); 3] = [
        ("width", file.width().to_string(), first.width().to_string()),
        (
            "quantisation",
            said(made_on, |pin| &pin.quantization),
            said(pinned, |pin| &pin.quantization),
        ),
        (
            "weights",
            said(made_on, |pin| &pin.weights_sha256),
            said(pinned, |pin| &pin.weights_sha256),
        ),
    ];
    match fields.into_iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((field, found, expected)) => {
            let (name, other) = (part.name().to_owned(), other.name().to_owned());
            Err(Error::Models { name, other, field, found, expected })
        }
    }
}

fn differences(part: &Part<'_>) -> Result<()> {
    let width = part.dosed.file.width();
    for (site, values) in &part.differences {
        if values.is_empty() || !values.len().is_multiple_of(width) {
            let problem = format!("have {} values, expected rows of {width}", values.len());
            return Err(
                Error::Differences { name: part.name().to_owned(), site: *site, problem }.into()
            );
        }
        finite(&format!("the differences of vector {} at {site}", part.name()), values)?;
    }
    Ok(())
}

/// Two protected vectors against each other: a person must choose.
pub(super) fn protected_agree(parts: &[Part<'_>], group: &Group<'_>) -> Result<(), Error> {
    let held: Vec<(&Part<'_>, Vec<f64>)> = group
        .members
        .iter()
        .filter_map(|member| Some((parts.get(member.part)?, wide(member.row))))
        .filter(|(part, _)| part.is_protected() && part.dosed.scale != 0.0)
        .collect();
    for (at, (first, a)) in held.iter().enumerate() {
        for (second, b) in held.iter().skip(at + 1) {
            let signs = f64::from(first.dosed.scale.signum() * second.dosed.scale.signum());
            let cosine = signs * cosine(a, b);
            if cosine < CONFLICT {
                let (first, second) = (first.name().to_owned(), second.name().to_owned());
                return Err(Error::ProtectedConflict { first, second, site: group.site, cosine });
            }
        }
    }
    Ok(())
}
