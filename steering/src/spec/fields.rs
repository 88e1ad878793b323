//! What a specification says about one vector, read field by field.

use super::refusal::{Belonging, FieldError, strays};
use super::vector::VectorSpec;
use crate::file::VectorFile;
use crate::file::card::{Operation, OperationKind as Op};
use trimtab_runtime::site::{Site, SiteError};

/// Letters in a label.
pub(super) const NAME_LIMIT: usize = 64;

/// A text that is no site.
pub(super) fn no_site(path: impl Into<String>) -> impl FnOnce(SiteError) -> FieldError {
    move |error| FieldError::new("site_unknown", path, format!("is no site: {error}"))
}

fn finite(field: &str, value: f32) -> Result<f32, FieldError> {
    let problem = "is no finite number of 32 bits";
    if value.is_finite() { Ok(value) } else { Err(FieldError::value(field, problem)) }
}

impl VectorSpec {
    /// Refuses fields that say nothing here.
    pub(super) fn check_labels(&self) -> Result<(), FieldError> {
        if self.normalize == Some(false) {
            let problem =
                "is false, expected true: rows are of unit length, and strength is in the scale";
            return Err(FieldError::value("normalize", problem));
        }
        let is_label = |name: &String| {
            name.chars().count() <= NAME_LIMIT && !name.chars().any(char::is_control)
        };
        if self.name.as_ref().is_none_or(is_label) {
            return Ok(());
        }
        let problem = format!("is no label of at most {NAME_LIMIT} characters on one line");
        Err(FieldError::value("name", problem))
    }

    /// The scale, under whichever of its names.
    pub(super) fn scale(&self) -> Result<Option<f32>, FieldError> {
        let spelled = [
            ("scale", self.scale),
            ("coeff", self.coeff),
            ("strength", self.strength),
            ("multiplier", self.multiplier),
        ];
        let mut given = spelled.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let Some((name, value)) = given.next() else { return Ok(None) };
        match given.next() {
            Some((second, _)) => {
                let problem = format!("says again what {name} says; give one of them");
                Err(FieldError::value(second, problem))
            }
            None => finite(name, value).map(Some),
        }
    }

    /// The operation, if one is asked for or its numbers are.
    pub fn operation(&self, own: Operation) -> Result<Option<Operation>, FieldError> {
        let op = self.named_operation()?;
        let effective = op.unwrap_or(Op::from(own));
        let fields: [Belonging<'_, Op>; 3] = [
            ("min", self.min.is_some(), &[Op::Clamp]),
            ("max", self.max.is_some(), &[Op::Clamp]),
            ("degrees", self.degrees.is_some(), &[Op::Rotate]),
        ];
        strays(&fields, effective, "operation is")?;
        for (field, value) in [("min", self.min), ("max", self.max), ("degrees", self.degrees)] {
            value.map(|value| finite(field, value)).transpose()?;
        }
        let (min, max) = (self.min, self.max);
        Ok(match (effective, own) {
            (Op::Clamp, Operation::Clamp { .. }) if min.is_none() && max.is_none() => None,
            (Op::Clamp, _) => Some(Operation::Clamp { min, max }),
            (Op::Rotate, Operation::Rotate { .. }) if self.degrees.is_none() => None,
            (Op::Rotate, _) => {
                let missing = || FieldError::value("degrees", "is missing, and rotate needs it");
                Some(Operation::Rotate { degrees: self.degrees.ok_or_else(missing)? })
            }
            (Op::Add, _) => op.map(|_| Operation::Add),
            (Op::Project, _) => op.map(|_| Operation::Project),
        })
    }

    fn named_operation(&self) -> Result<Option<Op>, FieldError> {
        match (self.op, self.algorithm.as_deref()) {
            (op, None) => Ok(op),
            (Some(_), Some(_)) => {
                Err(FieldError::value("algorithm", "says again what op says; give one of them"))
            }
            (None, Some("direct")) => Ok(Some(Op::Add)),
            (None, Some("erase")) => Ok(Some(Op::Project)),
            (None, Some(other)) => {
                let problem =
                    format!("{other} is not supported; direct (add) and erase (project) are");
                Err(FieldError::new("unsupported_field", "algorithm", problem))
            }
        }
    }

    /// The sites where a file is to act, in forward order.
    pub(super) fn sites(&self, file: &VectorFile) -> Result<Vec<Site>, FieldError> {
        let own: Vec<Site> = file.directions().iter().map(|direction| direction.site()).collect();
        let absent = |field: String, what: String| {
            let has: Vec<String> = own.iter().map(Site::to_string).collect();
            let (name, has) = (&file.card().name, has.join(", "));
            let problem = format!("is {what}, which vector {name} does not have; it has {has}");
            FieldError::new("site_not_in_vector", field, problem)
        };
        let mut chosen = Vec::new();
        let field = match (&self.layers, &self.sites) {
            (None, None) => return Ok(own),
            (Some(_), Some(_)) => {
                let problem = "and sites are both given; give one of them";
                return Err(FieldError::value("layers", problem));
            }
            (Some(layers), None) => {
                for (index, layer) in layers.iter().enumerate() {
                    let (block, before) = (usize::try_from(*layer).ok(), chosen.len());
                    let at_block = |site: &&Site| site.block().is_some() && site.block() == block;
                    chosen.extend(own.iter().filter(at_block));
                    if chosen.len() == before {
                        return Err(absent(format!("layers[{index}]"), format!("block {layer}")));
                    }
                }
                "layers"
            }
            (None, Some(sites)) => {
                for (index, text) in sites.iter().enumerate() {
                    let field = format!("sites[{index}]");
                    let site: Site = text.parse().map_err(no_site(&field))?;
                    if !own.contains(&site) {
                        return Err(absent(field, site.to_string()));
                    }
                    chosen.push(site);
                }
                "sites"
            }
        };
        if chosen.is_empty() {
            return Err(FieldError::value(field, "is empty; leave it out for all of the file"));
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}
