//! One vector of a request, ready for a plan.

use super::asked::{self, Gating, Origin};
use super::fault::Fault;
use super::registry::{self, Loaded, State};
use super::scope::touches_answer;
use super::shelf::Lock;
use super::{Frame, Setup};
use crate::wire::steering::{Apply, Gate, GateKind, Op, Pause, Rescale, Vector};
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Control;
use trimtab_steering::compose::dose::Standing;
use trimtab_steering::file::card::Operation;
use trimtab_steering::gate::{self, Condition};
use trimtab_steering::schedule::{Course, Schedule, Span};
use trimtab_steering::scope::Scope;
use trimtab_steering::stack::StackVector;
use trimtab_steering::{Error, SteerOptions};

/// A vector of a request, as it goes on a stack.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) vector: StackVector,
    /// What would be asked to get the same again, but for the scale.
    pub(crate) written: Vector,
}

/// What pieces are made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) setup: &'a Setup,
    pub(crate) state: &'a State,
    /// `None` where a request is only looked at.
    pub(crate) prompt: Option<&'a [u32]>,
}

impl Bench<'_> {
    /// Reads one vector of a request, or of what a lock keeps. Faults are at its fields.
    pub(crate) fn piece(&self, asked: &Vector, lock: Lock) -> Result<Piece, Fault> {
        asked::plain_fields(asked)?;
        let around = (self.frame, self.setup, self.state);
        let loaded = registry::find(Origin::try_from(asked)?, around)?;
        let card = loaded.file.card();
        let sites = asked::sites(asked, &loaded.file)?;
        let operation = asked::operation(asked, card.operation)?;
        let scope = match &asked.apply {
            None => card.scope.clone(),
            Some(apply) => {
                Scope::try_from(apply.clone()).map_err(|e| Fault::setting(e).under("apply"))?
            }
        };
        let (gate, course) = self.gate(asked.gate.as_ref())?;
        // A prompt can talk a model into a tool call, and a locked vector must not rest because of that.
        let usual = if lock == Lock::Locked { Some([].as_slice()) } else { None };
        let pauses = self.pauses(asked.pause_in.as_deref().or(usual), &scope);
        let schedule = self.schedule(course, &pauses)?;
        let options = SteerOptions {
            operation,
            scale: asked::scale(asked)?,
            rescale: asked.rescale.unwrap_or_default().into(),
            scope: Some(scope.clone()),
            gate,
            schedule,
            sites: Some(sites.clone()),
            null: loaded.null,
            ..SteerOptions::default()
        };
        if let Some(prompt) = self.prompt {
            scope.admit(prompt).map_err(|e| Fault::of(e, "apply"))?;
        }
        let mut written = Vector {
            sites: Some(sites.iter().map(Site::to_string).collect()),
            apply: Some(Apply::from(&scope)),
            pause_in: Some(pauses),
            ..written(asked)
        };
        write_operation(&mut written, operation.unwrap_or(card.operation));
        let Loaded { label, sha256, file, warnings, .. } = loaded.as_ref();
        let vector = StackVector {
            id: label.clone(),
            sha256: sha256.clone(),
            file: file.clone(),
            warnings: warnings.clone(),
            options,
            standing: Standing::Free,
        };
        Ok(Piece { vector, written })
    }

    fn gate(&self, asked: Option<&Gate>) -> Result<(Option<gate::Gate>, Course), Fault> {
        let Some(asked) = asked else {
            return Ok((None, Course::Constant));
        };
        match Gating::try_from(asked).map_err(|e| e.under("gate"))? {
            Gating::Course(course) => Ok((None, course)),
            Gating::Condition { side, vector, site, threshold } => {
                let found = self.state.vectors.get(vector);
                let file = &found.ok_or_else(|| registry::unknown("gate.vector", vector))?.file;
                let condition = match site {
                    None => Condition::new(file, side, threshold),
                    Some(site) => Condition::at(file, site, side, threshold),
                };
                let told = |e: Error| match e {
                    Error::Setting { .. } => Fault::of(e, ""),
                    other => Fault::of(other, "gate.vector"),
                };
                Ok((Some(gate::Gate::when(condition.map_err(told)?)), Course::Constant))
            }
        }
    }

    /// The spans in which a vector is off.
    ///
    /// Unless a request says otherwise that is a tool call. Such a rest makes a constant addition a hook, which costs
    /// time and keeps its prefix from being shared, so it is left out where no tool call can come: the vector does not
    /// touch the answer, or nothing has shown the model how to write one. That is shown by a marker that is a token of
    /// its own, by the template, or by the prompt. A rest that is asked for is always there.
    fn pauses(&self, asked: Option<&[Pause]>, scope: &Scope) -> Vec<Pause> {
        match asked {
            Some(asked) => {
                let mut pauses: Vec<Pause> = Vec::with_capacity(asked.len());
                for pause in asked {
                    if !pauses.contains(pause) {
                        pauses.push(*pause);
                    }
                }
                pauses
            }
            None if touches_answer(scope) && self.knows_tool_calls() => vec![Pause::ToolCall],
            None => Vec::new(),
        }
    }

    fn knows_tool_calls(&self) -> bool {
        let Some(tokenizer) = &self.frame.tokenizer else {
            return false;
        };
        let mut markers = Span::ToolCall.markers().iter().map(|(begin, _)| *begin);
        let taught = |marker: &str| {
            tokenizer.id_of(marker).is_some() || self.frame.template.contains(marker)
        };
        if markers.clone().any(taught) {
            return true;
        }
        let text = self.prompt.map(|prompt| tokenizer.decode(prompt, Control::Show));
        text.is_some_and(|text| markers.any(|marker| text.contains(marker)))
    }

    fn schedule(&self, course: Course, pauses: &[Pause]) -> Result<Schedule, Fault> {
        let schedule = Schedule::new(course).map_err(|e| Fault::of(e, ""))?;
        if pauses.is_empty() {
            return Ok(schedule);
        }
        let Some(tokenizer) = &self.frame.tokenizer else {
            let problem =
                "needs the answer's text, and this model has no tokenizer; leave it empty";
            return Err(Fault::value("pause_in", problem));
        };
        let spans = pauses.iter().map(|pause| Span::from(*pause));
        Ok(schedule.resting_in(spans, tokenizer.clone()))
    }
}

/// What of a request stays as it is.
fn written(asked: &Vector) -> Vector {
    Vector {
        id: asked.id.clone(),
        source: asked.source.clone(),
        inline: asked.inline.clone(),
        gate: Some(
            asked.gate.clone().unwrap_or(Gate { kind: GateKind::Always, ..Gate::default() }),
        ),
        rescale: Some(asked.rescale.unwrap_or(Rescale::None)),
        name: asked.name.clone(),
        ..Vector::default()
    }
}

fn write_operation(written: &mut Vector, operation: Operation) {
    written.op = Some(Op::from(operation));
    match operation {
        Operation::Add | Operation::Project => {}
        Operation::Clamp { min, max } => (written.min, written.max) = (min, max),
        Operation::Rotate { degrees } => written.degrees = Some(degrees),
    }
}

/// The core's refusal of a vector, at the field that has to change.
pub(crate) fn refused(error: Error) -> Fault {
    let field = match &error {
        Error::Refused { .. } | Error::AnchorMissing { .. } => "op",
        Error::StatusNull { .. } | Error::RoleRead { .. } => "id",
        Error::GateTooLate { .. } => "gate",
        Error::EmptySelection { .. } => "apply",
        Error::NotFinite { .. } | Error::Runtime(trimtab_runtime::Error::Invalid { .. }) => "scale",
        _ => "",
    };
    Fault::of(error, field)
}
