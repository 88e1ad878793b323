//! What is wrong with a part of a steering object, with its place inside that part.
//!
//! Whoever finds a fault knows the field, whoever called it knows what is around, so the path grows outward as the fault
//! travels. At the top it becomes a refusal that names the whole path.

use crate::refusal::Refusal;
use crate::wire::error::Code;

/// Something that is refused, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    code: Code,
    /// From the part that is being read inward, such as `gate.site`; empty for the part itself.
    field: String,
    told: Told,
}

/// The words of a fault.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    /// What follows the name of the field.
    Problem(String),
    /// A sentence of its own.
    Sentence(String),
}

impl Fault {
    /// A field with a problem: the message is the field's path and the problem.
    pub(crate) fn new(code: Code, field: impl Into<String>, problem: impl Into<String>) -> Fault {
        Fault { code, field: field.into(), told: Told::Problem(problem.into()) }
    }

    /// A field with a value it cannot have.
    pub(crate) fn value(field: impl Into<String>, problem: impl Into<String>) -> Fault {
        Fault::new(Code::InvalidValue, field, problem)
    }

    /// What the core refuses about a field. A setting that the core names is looked for inside it.
    pub(crate) fn of(error: trimtab_steering::Error, field: &str) -> Fault {
        let named = match &error {
            trimtab_steering::Error::Setting { field, .. } => wire_name(field),
            _ => "",
        };
        let refusal = Refusal::from(error);
        let fault = Fault {
            code: refusal.code,
            field: named.to_owned(),
            told: Told::Sentence(refusal.message),
        };
        fault.under(field)
    }

    /// What the core refuses of a part whose fields have the core's names.
    pub(crate) fn setting(error: trimtab_steering::Error) -> Fault {
        match error {
            trimtab_steering::Error::Setting { field, problem } => Fault::value(field, problem),
            other => Fault::of(other, ""),
        }
    }

    /// What the core refuses, at this field whatever the core calls it.
    pub(crate) fn at(error: trimtab_steering::Error, field: &str) -> Fault {
        Fault { field: field.to_owned(), ..Fault::of(error, "") }
    }

    /// The same, seen from around a part of this name.
    pub(crate) fn under(self, part: &str) -> Fault {
        let field = match (part, self.field.as_str()) {
            (_, "") => part.to_owned(),
            ("", field) => field.to_owned(),
            (part, field) if field.starts_with('[') => format!("{part}{field}"),
            (part, field) => format!("{part}.{field}"),
        };
        Fault { field, ..self }
    }

    /// The refusal of a request whose object this is.
    pub(crate) fn refusal(self) -> Refusal {
        let message = match &self.told {
            Told::Problem(problem) => format!("{} {problem}", self.field),
            Told::Sentence(sentence) => format!("{}: {sentence}", self.field),
        };
        Refusal::new(self.code, message).at(self.field)
    }

    /// The refusal of a request that only names the object, at the field that names it.
    pub(crate) fn refusal_of(self, whose: &str, param: &str) -> Refusal {
        let Refusal { code, message, .. } = self.refusal();
        Refusal::new(code, format!("{whose}: {message}")).at(param)
    }
}

/// How the wire names a setting of the core.
fn wire_name(field: &'static str) -> &'static str {
    match field {
        "half_life" => "gate.half_life",
        "warmup" => "gate.tokens",
        other => other,
    }
}
