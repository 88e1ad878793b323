//! One vector of a specification, ready for a stack.

use super::fields::no_site;
use super::model::SteeredModel;
use super::origin::{LoadedVector, VectorLookup, not_registered};
use super::refusal::{Belonging, FieldError, strays, word};
use super::vector::{GateKind, GateSpec, VectorSpec};
use crate::compose::Error::NoStreamNorm;
use crate::compose::dose::Standing;
use crate::error::Error;
use crate::file::Apply;
use crate::file::card::{Operation, OperationKind};
use crate::gate::{Condition, Gate, Side};
use crate::monitor::policy::Policy;
use crate::schedule::{Course, Schedule, Span};
use crate::scope::Scope;
use crate::stack::{Lowered, Stack, StackError, StackVector};
use crate::steer::SteerOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Control;

/// What specifications are resolved against.
#[derive(Clone, Copy)]
pub struct SpecContext<'a> {
    /// The model.
    pub model: &'a SteeredModel,
    /// The vectors that may be named.
    pub vectors: &'a dyn VectorLookup,
    /// The policies that may be named.
    pub policies: &'a BTreeMap<String, Arc<Policy>>,
    /// The tokens of the prompt; `None` where a specification is only looked at.
    pub prompt: Option<&'a [u32]>,
}

impl SpecContext<'_> {
    /// Puts a vector on top of a stack. What is given back asks for the same again, but for the scale. Faults are at the
    /// vector's fields.
    pub fn push(
        &self,
        stack: &mut Stack,
        spec: &VectorSpec,
        standing: Standing,
    ) -> Result<VectorSpec, FieldError> {
        let (vector, settled) = self.vector(spec)?;
        stack.push(StackVector { standing, ..vector }).map_err(refused)?;
        Ok(settled)
    }

    /// The plan of a stack's vectors. A refusal comes with the index of the vector that has to change, and is at its fields;
    /// without an index it is about all of them together.
    pub fn lower(&self, stack: &Stack) -> Result<Lowered, (Option<usize>, FieldError)> {
        stack.lower(&self.model.norms, &self.model.spec).map_err(stack_refused)
    }

    fn vector(&self, spec: &VectorSpec) -> Result<(StackVector, VectorSpec), FieldError> {
        spec.check_labels()?;
        let loaded = self.vectors.find(spec.origin()?)?;
        let card = loaded.file.card();
        let sites = spec.sites(&loaded.file)?;
        let operation = spec.operation(card.operation)?;
        let scope = match &spec.apply {
            None => card.scope.clone(),
            Some(apply) => {
                Scope::try_from(apply.clone()).map_err(|e| FieldError::of(e, "apply"))?
            }
        };
        let (gate, course) = self.gate(spec.gate.as_ref()).map_err(|e| e.under("gate"))?;
        let pauses = self.pauses(spec.pause_in.as_deref(), &scope);
        let options = SteerOptions {
            operation,
            scale: spec.scale()?,
            rescale: spec.rescale.unwrap_or_default(),
            scope: Some(scope.clone()),
            gate,
            schedule: self.schedule(course, &pauses)?,
            sites: Some(sites.clone()),
            null: loaded.null,
            ..SteerOptions::default()
        };
        if let Some(prompt) = self.prompt {
            scope.admit(prompt).map_err(|e| FieldError::of(e, "apply"))?;
        }
        let mut settled = VectorSpec {
            id: spec.id.clone(),
            source: spec.source.clone(),
            inline: spec.inline.clone(),
            sites: Some(sites.iter().map(Site::to_string).collect()),
            apply: Some(Apply::from(&scope)),
            gate: Some(spec.gate.clone().unwrap_or_default()),
            rescale: Some(options.rescale),
            pause_in: Some(pauses),
            name: spec.name.clone(),
            ..VectorSpec::default()
        };
        settled.set_operation(operation.unwrap_or(card.operation));
        let LoadedVector { label, sha256, file, warnings, .. } = loaded.as_ref();
        let vector = StackVector {
            id: label.clone(),
            sha256: sha256.clone(),
            file: file.clone(),
            warnings: warnings.clone(),
            options,
            standing: Standing::Free,
        };
        Ok((vector, settled))
    }

    fn gate(&self, spec: Option<&GateSpec>) -> Result<(Option<Gate>, Course), FieldError> {
        use GateKind::{Above, Always, Below, Decay, Warmup};
        let Some(spec) = spec else { return Ok((None, Course::Constant)) };
        let fields: [Belonging<'_, GateKind>; 5] = [
            ("vector", spec.vector.is_some(), &[Above, Below]),
            ("site", spec.site.is_some(), &[Above, Below]),
            ("threshold", spec.threshold.is_some(), &[Above, Below]),
            ("half_life", spec.half_life.is_some(), &[Decay]),
            ("tokens", spec.tokens.is_some(), &[Warmup]),
        ];
        strays(&fields, spec.kind, "gate is of kind")?;
        let missing = |field: &'static str| {
            let problem = format!("is missing, and a gate of kind {} needs it", word(&spec.kind));
            move || FieldError::value(field, problem)
        };
        let side = match spec.kind {
            Always => return Ok((None, Course::Constant)),
            Decay => {
                let half_life = spec.half_life.ok_or_else(missing("half_life"))?;
                return Ok((None, Course::Decay { half_life }));
            }
            Warmup => {
                let tokens = spec.tokens.ok_or_else(missing("tokens"))?;
                let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
                return Ok((None, Course::WarmUp { tokens }));
            }
            Above => Side::Above,
            Below => Side::Below,
        };
        let vector = spec.vector.as_deref().ok_or_else(missing("vector"))?;
        let threshold = spec.threshold.ok_or_else(missing("threshold"))?;
        let condition = self.condition((vector, spec.site.as_deref()), side, threshold)?;
        Ok((Some(Gate::when(condition)), Course::Constant))
    }

    /// A condition on the class coordinate of a registered vector. Faults are at `vector`, `site` and `threshold`.
    pub(super) fn condition(
        &self,
        (vector, site): (&str, Option<&str>),
        side: Side,
        threshold: f32,
    ) -> Result<Condition, FieldError> {
        let found = self.vectors.registered(vector);
        let file = &found.ok_or_else(|| not_registered("vector", vector))?.file;
        let condition = match site.map(str::parse).transpose().map_err(no_site("site"))? {
            None => Condition::new(file, side, threshold),
            Some(site) => Condition::at(file, site, side, threshold),
        };
        condition.map_err(|error| {
            let field = match &error {
                Error::Setting { field, .. } => field.trim_start_matches("gate."),
                _ => "vector",
            };
            FieldError::at(error, field)
        })
    }

    /// The spans in which a vector is off.
    ///
    /// Unless a specification says otherwise that is a tool call. Such a rest makes a constant addition a hook, which costs
    /// time and keeps its prefix from being shared, so it is left out where no tool call can come: the vector does not
    /// touch the answer, or nothing has shown the model how to write one. That is shown by a marker that is a token of
    /// its own, by the template, or by the prompt. A rest that is asked for is always there.
    fn pauses(&self, asked: Option<&[Span]>, scope: &Scope) -> Vec<Span> {
        let mut pauses: Vec<Span> = Vec::new();
        match asked {
            Some(asked) => {
                for span in asked {
                    if !pauses.contains(span) {
                        pauses.push(*span);
                    }
                }
            }
            None if scope.touches_answer() && self.knows_tool_calls() => {
                pauses.push(Span::ToolCall);
            }
            None => {}
        }
        pauses
    }

    fn knows_tool_calls(&self) -> bool {
        let Some(tokenizer) = &self.model.tokenizer else {
            return false;
        };
        let mut markers = Span::ToolCall.markers().iter().map(|(begin, _)| *begin);
        let taught = |marker: &str| {
            tokenizer.id_of(marker).is_some() || self.model.template.contains(marker)
        };
        if markers.clone().any(taught) {
            return true;
        }
        let text = self.prompt.map(|prompt| tokenizer.decode(prompt, Control::Show));
        text.is_some_and(|text| markers.any(|marker| text.contains(marker)))
    }

    fn schedule(&self, course: Course, pauses: &[Span]) -> Result<Schedule, FieldError> {
        let schedule = Schedule::new(course).map_err(|e| FieldError::of(e, ""))?;
        match &self.model.tokenizer {
            _ if pauses.is_empty() => Ok(schedule),
            Some(tokenizer) => Ok(schedule.resting_in(pauses.iter().copied(), tokenizer.clone())),
            None => {
                let problem =
                    "needs the answer's text, and this model has no tokenizer; leave it empty";
                Err(FieldError::value("pause_in", problem))
            }
        }
    }
}

impl VectorSpec {
    fn set_operation(&mut self, operation: Operation) {
        self.op = Some(OperationKind::from(operation));
        match operation {
            Operation::Add | Operation::Project => {}
            Operation::Clamp { min, max } => (self.min, self.max) = (min, max),
            Operation::Rotate { degrees } => self.degrees = Some(degrees),
        }
    }
}

/// The refusal of a vector by a stack, at the field that has to change.
fn refused(error: Error) -> FieldError {
    let field = match &error {
        Error::Refused { .. } | Error::AnchorMissing { .. } => "op",
        Error::StatusNull { .. } | Error::RoleRead { .. } => "id",
        Error::GateTooLate { .. } => "gate",
        Error::EmptySelection { .. } => "apply",
        Error::NotFinite { .. } | Error::Runtime(trimtab_runtime::Error::Invalid { .. }) => "scale",
        _ => "",
    };
    FieldError::of(error, field)
}

/// The refusal of a stack, at the field that has to change.
fn stack_refused(error: StackError) -> (Option<usize>, FieldError) {
    let StackError { vector, source } = error;
    let fault = match *source {
        Error::Runtime(trimtab_runtime::Error::CannotAct { reason, .. }) if vector.is_some() => {
            FieldError::new("empty_selection", "apply", format!("selects nothing: {reason}"))
        }
        Error::Compose(inner) => {
            let field = match (inner.as_ref(), vector) {
                (NoStreamNorm { .. }, _) => "id",
                (_, Some(_)) => "scale",
                (_, None) => "",
            };
            FieldError::of(Error::Compose(inner), field)
        }
        source => refused(source),
    };
    (vector, fault)
}
