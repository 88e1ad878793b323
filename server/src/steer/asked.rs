//! What a request says about one vector, read field by field.

use super::fault::Fault;
use crate::wire::error::Code;
use crate::wire::steering::{Gate, GateKind, Op, Pause, Rescale, Vector};
use trimtab_runtime::site::Site;
use trimtab_steering::VectorFile;
use trimtab_steering::file::card::Operation;
use trimtab_steering::gate::Side;
use trimtab_steering::ops;
use trimtab_steering::schedule::{Course, Span};

/// Letters in a label.
const NAME_LIMIT: usize = 64;

/// Where a vector's file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    Id(&'a str),
    Source(&'a str),
    Inline(&'a crate::wire::steering::Inline),
}

impl<'a> TryFrom<&'a Vector> for Origin<'a> {
    type Error = Fault;

    fn try_from(asked: &'a Vector) -> Result<Origin<'a>, Fault> {
        match (&asked.id, &asked.source, &asked.inline) {
            (Some(id), None, None) => Ok(Origin::Id(id)),
            (None, Some(source), None) => Ok(Origin::Source(source)),
            (None, None, Some(inline)) => Ok(Origin::Inline(inline)),
            (None, None, None) => {
                Err(Fault::value("", "names no vector; give id, source or inline"))
            }
            _ => Err(Fault::value("", "names its vector twice; give one of id, source and inline")),
        }
    }
}

/// Refuses fields that say nothing here.
pub(crate) fn plain_fields(asked: &Vector) -> Result<(), Fault> {
    if asked.normalize == Some(false) {
        let problem =
            "is false, expected true: rows are of unit length, and strength is in the scale";
        return Err(Fault::value("normalize", problem));
    }
    match &asked.name {
        Some(name) if name.chars().count() > NAME_LIMIT || name.chars().any(char::is_control) => {
            let problem = format!("is no label of at most {NAME_LIMIT} characters on one line");
            Err(Fault::value("name", problem))
        }
        _ => Ok(()),
    }
}

/// The scale, under whichever of its names.
pub(crate) fn scale(asked: &Vector) -> Result<Option<f32>, Fault> {
    let spelled = [
        ("scale", asked.scale),
        ("coeff", asked.coeff),
        ("strength", asked.strength),
        ("multiplier", asked.multiplier),
    ];
    let mut given = spelled.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let Some((name, value)) = given.next() else {
        return Ok(None);
    };
    if let Some((second, _)) = given.next() {
        return Err(Fault::value(second, format!("says again what {name} says; give one of them")));
    }
    if value.is_finite() {
        return Ok(Some(value));
    }
    Err(Fault::value(name, "is no finite number of 32 bits"))
}

/// The operation, if one is asked for or its numbers are.
pub(crate) fn operation(asked: &Vector, own: Operation) -> Result<Option<Operation>, Fault> {
    let op = named(asked)?;
    let effective = op.unwrap_or(Op::from(own));
    let foreign = [
        ("min", asked.min, Op::Clamp),
        ("max", asked.max, Op::Clamp),
        ("degrees", asked.degrees, Op::Rotate),
    ];
    for (field, value, of) in foreign {
        let Some(value) = value else { continue };
        if of != effective {
            let (of, is) = (of.as_str(), effective.as_str());
            return Err(Fault::value(field, format!("belongs to {of}, and the operation is {is}")));
        }
        if !value.is_finite() {
            return Err(Fault::value(field, "is no finite number of 32 bits"));
        }
    }
    Ok(match (effective, own) {
        (Op::Clamp, Operation::Clamp { .. }) if asked.min.is_none() && asked.max.is_none() => None,
        (Op::Clamp, _) => Some(Operation::Clamp { min: asked.min, max: asked.max }),
        (Op::Rotate, Operation::Rotate { .. }) if asked.degrees.is_none() => None,
        (Op::Rotate, _) => {
            let missing = || Fault::value("degrees", "is missing, and rotate needs it");
            Some(Operation::Rotate { degrees: asked.degrees.ok_or_else(missing)? })
        }
        (Op::Add, _) => op.map(|_| Operation::Add),
        (Op::Project, _) => op.map(|_| Operation::Project),
    })
}

fn named(asked: &Vector) -> Result<Option<Op>, Fault> {
    match (asked.op, asked.algorithm.as_deref()) {
        (op, None) => Ok(op),
        (Some(_), Some(_)) => {
            Err(Fault::value("algorithm", "says again what op says; give one of them"))
        }
        (None, Some("direct")) => Ok(Some(Op::Add)),
        (None, Some("erase")) => Ok(Some(Op::Project)),
        (None, Some(other)) => {
            let problem = format!("{other} is not supported; direct (add) and erase (project) are");
            Err(Fault::new(Code::UnsupportedField, "algorithm", problem))
        }
    }
}

impl From<Rescale> for ops::Rescale {
    fn from(rescale: Rescale) -> ops::Rescale {
        match rescale {
            Rescale::None => ops::Rescale::None,
            Rescale::KeepNorm => ops::Rescale::KeepNorm,
        }
    }
}

impl From<Pause> for Span {
    fn from(pause: Pause) -> Span {
        match pause {
            Pause::ToolCall => Span::ToolCall,
            Pause::Code => Span::Code,
            Pause::Think => Span::Think,
            Pause::Json => Span::Json,
        }
    }
}

/// The sites where a file is to act, in forward order.
pub(crate) fn sites(asked: &Vector, file: &VectorFile) -> Result<Vec<Site>, Fault> {
    let own: Vec<Site> = file.directions().iter().map(|direction| direction.site()).collect();
    let absent = |field: String, what: String| {
        let has: Vec<String> = own.iter().map(Site::to_string).collect();
        let (name, has) = (&file.card().name, has.join(", "));
        let problem = format!("is {what}, which vector {name} does not have; it has {has}");
        Fault::new(Code::SiteNotInVector, field, problem)
    };
    let mut chosen = Vec::new();
    match (&asked.layers, &asked.sites) {
        (None, None) => return Ok(own),
        (Some(_), Some(_)) => {
            return Err(Fault::value("layers", "and sites are both given; give one of them"));
        }
        (Some(layers), None) => {
            for (index, layer) in layers.iter().enumerate() {
                let block = usize::try_from(*layer).unwrap_or(usize::MAX);
                let before = chosen.len();
                chosen.extend(own.iter().filter(|site| site.block() == Some(block)));
                if chosen.len() == before {
                    return Err(absent(format!("layers[{index}]"), format!("block {layer}")));
                }
            }
        }
        (None, Some(sites)) => {
            for (index, text) in sites.iter().enumerate() {
                let field = format!("sites[{index}]");
                let unknown = |e: trimtab_runtime::site::SiteError| {
                    Fault::new(Code::SiteUnknown, field.clone(), format!("is no site: {e}"))
                };
                let site: Site = text.parse().map_err(unknown)?;
                if !own.contains(&site) {
                    return Err(absent(field, site.to_string()));
                }
                chosen.push(site);
            }
        }
    }
    if chosen.is_empty() {
        let field = if asked.layers.is_some() { "layers" } else { "sites" };
        return Err(Fault::value(field, "is empty; leave it out for all of the file"));
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// A gate, read: a condition on a class coordinate, or a course along the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Gating<'a> {
    Course(Course),
    Condition { side: Side, vector: &'a str, site: Option<Site>, threshold: f32 },
}

impl<'a> TryFrom<&'a Gate> for Gating<'a> {
    type Error = Fault;

    fn try_from(gate: &'a Gate) -> Result<Gating<'a>, Fault> {
        use GateKind::{Above, Always, Below, Decay, Warmup};
        let fields = [
            ("vector", gate.vector.is_some(), [Above, Below]),
            ("site", gate.site.is_some(), [Above, Below]),
            ("threshold", gate.threshold.is_some(), [Above, Below]),
            ("half_life", gate.half_life.is_some(), [Decay, Decay]),
            ("tokens", gate.tokens.is_some(), [Warmup, Warmup]),
        ];
        let stray = fields.iter().find(|(_, given, kinds)| *given && !kinds.contains(&gate.kind));
        if let Some((name, ..)) = stray {
            let kind = kind(gate.kind);
            return Err(Fault::value(*name, format!("does not belong to a gate of kind {kind}")));
        }
        let missing = |name: &'static str| {
            let kind = kind(gate.kind);
            Fault::value(name, format!("is missing, and a gate of kind {kind} needs it"))
        };
        match gate.kind {
            Always => Ok(Gating::Course(Course::Constant)),
            Decay => {
                let half_life = gate.half_life.ok_or_else(|| missing("half_life"))?;
                Ok(Gating::Course(Course::Decay { half_life }))
            }
            Warmup => {
                let tokens = gate.tokens.ok_or_else(|| missing("tokens"))?;
                let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
                Ok(Gating::Course(Course::WarmUp { tokens }))
            }
            Above | Below => {
                let side = if gate.kind == Above { Side::Above } else { Side::Below };
                let vector = gate.vector.as_deref().ok_or_else(|| missing("vector"))?;
                let threshold = gate.threshold.ok_or_else(|| missing("threshold"))?;
                let site = gate.site.as_deref().map(str::parse).transpose();
                let site = site.map_err(|e: trimtab_runtime::site::SiteError| {
                    Fault::new(Code::SiteUnknown, "site", format!("is no site: {e}"))
                })?;
                Ok(Gating::Condition { side, vector, site, threshold })
            }
        }
    }
}

fn kind(kind: GateKind) -> &'static str {
    match kind {
        GateKind::Always => "always",
        GateKind::Above => "above",
        GateKind::Below => "below",
        GateKind::Decay => "decay",
        GateKind::Warmup => "warmup",
    }
}
