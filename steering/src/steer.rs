//! A vector file as one intervention of a plan.
//!
//! A steering vector that adds the same at every token of a plain scope is a constant per site, so it binds to plain
//! additions, which cost one operation per site for a whole batch. Every other operation, and everything with a gate or a
//! schedule, binds to one hook. Either way the file is one item of the plan, so that what it did is counted as one.

use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{Card, Operation, Role, Status};
use crate::gate::Gate;
use crate::ops::running::{Program, Running};
use crate::ops::{Order, Rescale, Unit};
use crate::schedule::{Course, Schedule};
use crate::scope::Scope;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
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
    /// Instead of the card's operation: a vector that adds may also project, clamp or rotate.
    pub operation: Option<Operation>,
    /// Instead of the card's default, which counts for the card's operation only: another one has 1.
    pub scale: Option<f32>,
    /// What a scale of `add` counts in.
    pub unit: Unit,
    /// What happens to a token's length.
    pub rescale: Rescale,
    /// Instead of the card's scope.
    pub scope: Option<Scope>,
    /// Where it acts at all; `None` for everywhere.
    pub gate: Option<Gate>,
    /// How much of it a position gets.
    pub schedule: Schedule,
    /// Only these blocks, both ends included. `embed` and `final` belong to none.
    pub blocks: Option<RangeInclusive<usize>>,
    /// Only these sites.
    pub sites: Option<Vec<Site>>,
    /// Whether a vector without effect is used.
    pub null: NullVectors,
}

impl SteerOptions {
    /// The sites of a file at which it acts; `None` for all of them.
    pub(crate) fn selected(&self, file: &VectorFile) -> Option<Vec<Site>> {
        if self.blocks.is_none() && self.sites.is_none() {
            return None;
        }
        let sites = file.directions().iter().map(Direction::site);
        Some(sites.filter(|site| self.acts_at(*site)).collect())
    }

    /// Whether a file's direction at this site acts.
    pub fn acts_at(&self, site: Site) -> bool {
        let in_blocks = |blocks: &RangeInclusive<usize>| {
            site.block().is_some_and(|block| blocks.contains(&block))
        };
        self.blocks.as_ref().is_none_or(in_blocks)
            && self.sites.as_ref().is_none_or(|sites| sites.contains(&site))
    }
}

/// The warning `operation_overridden`: a vector is applied in another way than it was evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overridden {
    /// The card's operation.
    pub from: &'static str,
    /// What is done instead.
    pub to: &'static str,
}

impl std::fmt::Display for Overridden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Overridden { from, to } = self;
        write!(f, "operation_overridden: the vector was made to {from}, and {to} is done with it")
    }
}

/// A vector file at a scale.
#[derive(Debug, Clone)]
pub struct Steer {
    name: String,
    scale: f32,
    overridden: Option<Overridden>,
    form: Form,
    fingerprint: Fingerprint,
}

/// What it binds to.
#[derive(Debug, Clone)]
enum Form {
    /// Constants, all at the same positions.
    Additions(Vec<Addition>),
    Program(Arc<Program>),
}

impl PartialEq for Steer {
    fn eq(&self, other: &Steer) -> bool {
        self.name == other.name && self.fingerprint == other.fingerprint
    }
}

impl Steer {
    /// The intervention of a file. Whether the file belongs to the model is
    /// [`VectorFile::admit`](crate::VectorFile::admit)'s question.
    pub fn new(file: &VectorFile, options: &SteerOptions) -> Result<Self> {
        let card = file.card();
        usable(card, options.null)?;
        let (operation, overridden) = operation(card, options.operation)?;
        let default = if overridden.is_some() { 1.0 } else { card.scale.default };
        let scale = options.scale.unwrap_or(default);
        let order = Order { operation, scale, unit: options.unit };
        order.check()?;
        let chosen = chosen(file, options)?;
        let scope = options.scope.clone().unwrap_or_else(|| card.scope.clone());
        reachable(&scope, &options.schedule)?;
        if let (Some(gate), Some(first)) = (&options.gate, chosen.first()) {
            gate.before(first.site())?;
        }
        let form = if scale == 0.0 {
            // No change by definition, whatever the operation; the sites are still looked for in the model.
            let nothing = |d: &&Direction| Addition::new(d.site(), vec![0.0; d.width()], 0.0);
            Form::Additions(chosen.iter().map(nothing).collect::<Result<_, _>>()?)
        } else if let Some(positions) = lowered(&order, &scope, options) {
            Form::Additions(additions(file, &chosen, scale, &positions)?)
        } else {
            Form::Program(Arc::new(program(file, &chosen, (order, scope), options)?))
        };
        let name = card.name.clone();
        Ok(Steer { name, scale, overridden, fingerprint: form.fingerprint(), form })
    }

    /// The vector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scale in force.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Whether another operation is done than the card's, which is worth a warning.
    pub fn overridden(&self) -> Option<Overridden> {
        self.overridden
    }

    /// What is added where, scale included. Empty for a vector that is more than a constant addition.
    pub fn additions(&self) -> &[Addition] {
        match &self.form {
            Form::Additions(additions) => additions,
            Form::Program(_) => &[],
        }
    }

    /// Whether it is lowered to the runtime's fused additions, which cost next to nothing.
    pub fn is_lowered(&self) -> bool {
        matches!(self.form, Form::Additions(_))
    }
}

impl Form {
    fn fingerprint(&self) -> Fingerprint {
        match self {
            Form::Additions(additions) => {
                let start = Fingerprint::builder("trimtab.steer");
                additions.iter().fold(start, |all, one| all.nested(&one.fingerprint())).finish()
            }
            Form::Program(program) => program.fingerprint(),
        }
    }
}

fn usable(card: &Card, null: NullVectors) -> Result<()> {
    if card.role == Role::Read {
        return Err(Error::RoleRead { name: card.name.clone() });
    }
    if card.status == Status::Null && null == NullVectors::Refuse {
        return Err(Error::StatusNull { name: card.name.clone() });
    }
    Ok(())
}

/// The operation that is done, and whether that is another kind than the card's.
fn operation(card: &Card, asked: Option<Operation>) -> Result<(Operation, Option<Overridden>)> {
    let own = card.operation;
    let Some(asked) = asked else {
        return Ok((own, None));
    };
    let (from, to) = (own.kind(), asked.kind());
    if from == to {
        return Ok((asked, None));
    }
    let reason = match own {
        Operation::Add => return Ok((asked, Some(Overridden { from, to }))),
        Operation::Project if asked == Operation::Add => {
            "a direction made for removal has no magnitude, and adding it pushes the other way"
        }
        Operation::Project | Operation::Clamp { .. } | Operation::Rotate { .. } => {
            "only a vector that adds may be applied in another way"
        }
    };
    let reason = format!("{} is a {from} vector; {reason}", card.name);
    Err(Error::Refused { what: to, reason })
}

/// The directions that act, in forward order, at least one.
fn chosen<'a>(file: &'a VectorFile, options: &SteerOptions) -> Result<Vec<&'a Direction>> {
    let directions = file.directions().iter();
    let chosen: Vec<&Direction> = directions.filter(|d| options.acts_at(d.site())).collect();
    if chosen.is_empty() { Err(none_left(file, options)) } else { Ok(chosen) }
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

/// Refuses a scope of nothing but prompt under a schedule that leaves the prompt alone.
fn reachable(scope: &Scope, schedule: &Schedule) -> Result<()> {
    match (schedule.course(), scope.cover()) {
        (Course::WarmUp { .. }, Positions::Prompt) => {
            let reason = "a warm-up begins behind the prompt; include generated tokens";
            Err(Error::empty_selection(reason))
        }
        _ => Ok(()),
    }
}

/// The positions of a plain addition, if nothing asked for needs a hook.
fn lowered(order: &Order, scope: &Scope, options: &SteerOptions) -> Option<Positions> {
    let constant = order.operation == Operation::Add
        && options.unit == Unit::ClassGaps
        && options.rescale == Rescale::None
        && options.gate.is_none()
        && options.schedule.is_constant();
    scope.positions().filter(|_| constant)
}

fn additions(
    file: &VectorFile,
    chosen: &[&Direction],
    scale: f32,
    positions: &Positions,
) -> Result<Vec<Addition>> {
    let mut additions = Vec::with_capacity(chosen.len());
    for (site, offset) in file.offsets()? {
        if chosen.iter().any(|direction| direction.site() == site) {
            additions.push(Addition::new(site, offset, scale)?.at(positions.clone()));
        }
    }
    Ok(additions)
}

fn program(
    file: &VectorFile,
    chosen: &[&Direction],
    (order, scope): (Order, Scope),
    options: &SteerOptions,
) -> Result<Program> {
    let card = file.card();
    let mut acts = BTreeMap::new();
    for direction in chosen {
        let site = direction.site();
        // A file's card has an entry for each of its directions.
        if let Some(entry) = card.sites.get(&site) {
            acts.insert(site, order.at(&card.name, direction, entry)?);
        }
    }
    Ok(Program {
        acts,
        rescale: options.rescale,
        scope,
        gate: options.gate.clone(),
        schedule: options.schedule.clone(),
    })
}

impl Intervention for Steer {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn sites(&self) -> Vec<Site> {
        match &self.form {
            Form::Additions(additions) => additions.iter().map(Addition::site).collect(),
            Form::Program(program) => program.sites(),
        }
    }

    fn positions(&self) -> Positions {
        match &self.form {
            Form::Additions(additions) => {
                additions.first().map_or(Positions::All, Intervention::positions)
            }
            // A gate reads every token, and changes none outside the scope.
            Form::Program(program) => program.scope.cover(),
        }
    }

    fn bind(&self, spec: &ModelSpec) -> trimtab_runtime::Result<Bound> {
        let program = match &self.form {
            Form::Additions(additions) => return Ok(Bound::Additions(additions.clone())),
            Form::Program(program) => program,
        };
        match program.misfit(spec.d_model) {
            None => Ok(Bound::Hook(Box::new(Running::new(program.clone())))),
            Some((site, found)) => {
                let expected = spec.d_model;
                Err(trimtab_runtime::Error::Width { site, found, expected })
            }
        }
    }
}
