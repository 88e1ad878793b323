//! Gate: whether a vector acts at all, decided by what the stream says.
//!
//! A condition reads the class coordinate of a token on a direction: 0 is the mean of the direction's negatives, 1 that
//! of its positives, so that a threshold means the same at every layer. Conditions are joined as in CAST (arXiv
//! 2409.05907) by all, any or none. They are decided token by token, or once for each prompt and held for its answer.
//!
//! A decision on the prompt is there from the prompt's last token on: earlier tokens stay as they are, because their pass
//! may be over before the prompt is. CAST steers them too, in one pass over the whole prompt; that would make an answer
//! depend on how its prompt was cut into passes.
//!
//! A gate never looks ahead: its sites come before what it gates, or are the same site, which it reads first.

use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::ops::rows::dot;
use std::sync::Arc;
use trimtab_runtime::fingerprint::FingerprintBuilder;
use trimtab_runtime::hook::Pass;
use trimtab_runtime::site::Site;

/// On which side of the threshold a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The coordinate is above it.
    Above,
    /// The coordinate is below it.
    Below,
}

/// A threshold for the class coordinate on one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    name: String,
    site: Site,
    row: Arc<[f32]>,
    magnitude: f64,
    anchor: f64,
    side: Side,
    threshold: f32,
}

impl Condition {
    /// A condition on the only direction of a file, whether its role is to steer or to read.
    pub fn new(file: &VectorFile, side: Side, threshold: f32) -> Result<Condition> {
        match file.directions() {
            [only] => Condition::at(file, only.site(), side, threshold),
            several => {
                let problem = format!(
                    "is missing, expected one of the {} sites of vector {}",
                    several.len(),
                    file.card().name
                );
                Err(Error::setting("gate.site", problem))
            }
        }
    }

    /// A condition on the direction of a file at one site.
    pub fn at(file: &VectorFile, site: Site, side: Side, threshold: f32) -> Result<Condition> {
        let name = file.card().name.clone();
        if !threshold.is_finite() {
            let problem = format!("is {threshold}, expected a finite class coordinate");
            return Err(Error::setting("gate.threshold", problem));
        }
        let direction = file.directions().iter().find(|d| d.site() == site);
        let entry = file.card().sites.get(&site);
        let (Some(direction), Some(entry)) = (direction, entry) else {
            let sites: Vec<String> =
                file.directions().iter().map(|d| d.site().to_string()).collect();
            let problem = format!("is {site}, vector {name} has {}", sites.join(", "));
            return Err(Error::setting("gate.site", problem));
        };
        if direction.rank() > 1 {
            let problem = format!("{name} has {} rows at {site}, expected one", direction.rank());
            return Err(Error::setting("gate.vector", problem));
        }
        let known = |field, value: Option<f32>| {
            let missing = || Error::AnchorMissing { name: name.clone(), site, field };
            value.map(f64::from).ok_or_else(missing)
        };
        Ok(Condition {
            site,
            row: direction.values().into(),
            magnitude: known("magnitude", entry.magnitude)?,
            anchor: known("anchor", entry.anchor)?,
            name,
            side,
            threshold,
        })
    }

    /// Where it is read.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The width of the stream it was made on.
    pub(crate) fn width(&self) -> usize {
        self.row.len()
    }

    /// The class coordinate of a token.
    // x [d_model] -> []
    pub(crate) fn coordinate(&self, x: &[f32]) -> f64 {
        (dot(x, &self.row) - self.anchor) / self.magnitude
    }

    /// How far a coordinate is on the side where the condition holds.
    pub(crate) fn margin(&self, coordinate: f64) -> f64 {
        match self.side {
            Side::Above => coordinate - f64::from(self.threshold),
            Side::Below => f64::from(self.threshold) - coordinate,
        }
    }

    fn holds(&self, coordinate: f64) -> bool {
        self.margin(coordinate) > 0.0
    }
}

/// How conditions are joined.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Open where every condition holds.
    All(Vec<Condition>),
    /// Open where at least one holds.
    Any(Vec<Condition>),
    /// Open where none holds.
    None(Vec<Condition>),
}

impl Rule {
    fn conditions(&self) -> &[Condition] {
        match self {
            Rule::All(conditions) | Rule::Any(conditions) | Rule::None(conditions) => conditions,
        }
    }

    /// What the rule says of the conditions' coordinates, given in their order.
    fn decide(&self, mut coordinates: impl Iterator<Item = f64>) -> bool {
        let mut holds = |c: &Condition| coordinates.next().is_some_and(|found| c.holds(found));
        match self {
            Rule::All(conditions) => conditions.iter().all(&mut holds),
            Rule::Any(conditions) => conditions.iter().any(&mut holds),
            Rule::None(conditions) => !conditions.iter().any(&mut holds),
        }
    }
}

/// When a rule is decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deciding {
    /// For every token by itself.
    #[default]
    EachToken,
    /// Once for a prompt, on the mean coordinate of its tokens, and held until the next prompt. The sequence's first
    /// token is left out of the mean: its length says nothing about the text.
    PromptMean,
    /// Once for a prompt, on its last token, and held until the next prompt.
    PromptLast,
}

/// Conditions and when they are decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    rule: Rule,
    deciding: Deciding,
    last: Site,
}

impl Gate {
    /// A gate of at least one condition.
    pub fn new(rule: Rule, deciding: Deciding) -> Result<Gate> {
        match rule.conditions().iter().map(Condition::site).max() {
            Some(last) => Ok(Gate { rule, deciding, last }),
            None => Err(Error::setting("gate", "has no condition; leave it out to act always")),
        }
    }

    /// Open at every token where one condition holds.
    pub fn when(condition: Condition) -> Gate {
        let last = condition.site;
        Gate { rule: Rule::All(vec![condition]), deciding: Deciding::EachToken, last }
    }

    /// The sites it reads.
    pub fn sites(&self) -> impl Iterator<Item = Site> {
        self.rule.conditions().iter().map(Condition::site)
    }

    /// Refuses to gate what a pass reaches before the conditions are known.
    pub(crate) fn before(&self, first: Site) -> Result<()> {
        if self.last <= first {
            return Ok(());
        }
        Err(Error::GateTooLate { gate: self.last, acts: first })
    }

    /// A condition's site and width that do not fit a stream of this width.
    pub(crate) fn misfit(&self, width: usize) -> Option<(Site, usize)> {
        let other = self.rule.conditions().iter().find(|c| c.row.len() != width)?;
        Some((other.site, other.row.len()))
    }

    pub(crate) fn digest(&self, digest: FingerprintBuilder) -> FingerprintBuilder {
        let kind = match self.rule {
            Rule::All(_) => "all",
            Rule::Any(_) => "any",
            Rule::None(_) => "none",
        };
        let digest = digest.text(kind).text(&format!("{:?}", self.deciding));
        let one = |digest: FingerprintBuilder, c: &Condition| {
            let place = format!("{} {:?}", c.site, c.side);
            let numbers = digest.text(&place).floats(&c.row).floats(&[c.threshold]);
            numbers.number(c.magnitude.to_bits()).number(c.anchor.to_bits())
        };
        self.rule.conditions().iter().fold(digest, one)
    }
}

/// What a gate remembers of earlier passes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Sum of each condition's coordinates over the positions behind the first.
    sums: Vec<f64>,
    /// How many positions the sums have.
    seen: usize,
    decision: Option<bool>,
}

/// What a gate reads in one pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    /// Coordinates by condition and token.
    by_condition: Vec<Vec<f64>>,
}

impl Readings {
    /// Reads the conditions of a site. Says whether every condition has been read.
    // values [time · width]
    pub(crate) fn read(&mut self, gate: &Gate, site: Site, values: &[f32], width: usize) -> bool {
        let conditions = gate.rule.conditions();
        self.by_condition.resize(conditions.len(), Vec::new());
        for (condition, found) in conditions.iter().zip(&mut self.by_condition) {
            if condition.site == site {
                found.clear();
                found.extend(values.chunks_exact(width).map(|x| condition.coordinate(x)));
            }
        }
        site == gate.last
    }

    fn of_token(&self, index: usize) -> impl Iterator<Item = f64> {
        self.by_condition.iter().map(move |c| c.get(index).copied().unwrap_or(f64::NAN))
    }
}

impl Held {
    /// Closes the gate at tokens of a pass: their forces become 0. The readings must be complete.
    pub(crate) fn close(
        &mut self,
        gate: &Gate,
        readings: &Readings,
        pass: &Pass,
        forces: &mut [f64],
    ) -> trimtab_runtime::Result<()> {
        for (index, (position, force)) in pass.positions().zip(forces).enumerate() {
            let is_open = match gate.deciding {
                Deciding::EachToken => gate.rule.decide(readings.of_token(index)),
                Deciding::PromptMean | Deciding::PromptLast => {
                    self.sum(position, readings, index);
                    if position + 1 == pass.prompt_len {
                        let decision = self.on_prompt(gate, readings, (position, index))?;
                        self.decision = Some(decision);
                    }
                    self.at(position, pass.prompt_len)?
                }
            };
            if !is_open {
                *force = 0.0;
            }
        }
        Ok(())
    }

    fn sum(&mut self, position: usize, readings: &Readings, index: usize) {
        if position == 0 {
            return;
        }
        self.sums.resize(readings.by_condition.len(), 0.0);
        self.sums.iter_mut().zip(readings.of_token(index)).for_each(|(sum, c)| *sum += c);
        self.seen += 1;
    }

    /// The decision at the prompt's last token.
    fn on_prompt(
        &self,
        gate: &Gate,
        readings: &Readings,
        (position, index): (usize, usize),
    ) -> trimtab_runtime::Result<bool> {
        if gate.deciding == Deciding::PromptLast || position == 0 {
            return Ok(gate.rule.decide(readings.of_token(index)));
        }
        // Every position behind the first has been summed, unless the plan came when some had been run already.
        if self.seen != position {
            return Err(UNSEEN);
        }
        Ok(gate.rule.decide(self.sums.iter().map(|sum| sum / self.seen as f64)))
    }

    fn at(&self, position: usize, prompt_len: usize) -> trimtab_runtime::Result<bool> {
        if position + 1 < prompt_len {
            return Ok(false);
        }
        self.decision.ok_or(UNSEEN)
    }
}

/// A plan that replaced another in the middle of an answer has not seen its prompt.
const UNSEEN: trimtab_runtime::Error = trimtab_runtime::Error::Misuse(
    "a gate decided on the prompt needs a pass over it; replan with the history recomputed",
);
