//! The end: one sentence, a hint, and a number that scripts can act on.

use crate::console::Console;
use crate::document;
use crate::error::Error;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::ErrorKind::NotFound;
use std::io::Write;
use std::process::ExitCode;
use trimtab_runtime::hub::ErrorKind as Hub;
use trimtab_runtime::{Error as Runtime, Kind};
use trimtab_steering::Error as Steering;
use trimtab_steering::spec::FieldCause;

/// Exit number and wire code of an error.
fn verdict(error: &Error) -> (u8, &'static str) {
    match error {
        Error::Stdout(e) if e.kind() == std::io::ErrorKind::BrokenPipe => (0, "closed"),
        Error::Stdout(_) | Error::NotDone { .. } | Error::Write { .. } => (1, "internal"),
        Error::Interrupted | Error::Stopped => (130, "interrupted"),
        Error::Usage { .. } | Error::NoPrompt => (2, "invalid_value"),
        Error::Check { .. } => (4, "check_failed"),
        Error::Data { source, .. } => (3, source.code()),
        Error::Steering(error) => match (&**error, error.code(), error.kind()) {
            (Steering::Rule { .. } | Steering::NoRule | Steering::NoScale, code, _) => (2, code),
            (Steering::Io { source, .. }, ..) if source.kind() == NotFound => (3, "input_refused"),
            (_, code @ ("invalid_value" | "position_refused"), _) => (2, code),
            (_, _, Kind::Internal) => (1, "internal"),
            (_, code, _) => (3, code),
        },
        Error::Misfit(_) => (2, "invalid_value"),
        Error::Bind { .. } => (5, "unavailable"),
        Error::System { .. } => (1, "internal"),
        Error::Server(refusal) if refusal.status.is_server_error() => (1, "internal"),
        Error::Server(refusal) if is_malformed(&refusal.code.text()) => (2, "invalid_value"),
        Error::Server(_) => (3, "operation_refused"),
        Error::Field(fault) if is_malformed(fault.code()) => (2, "invalid_value"),
        Error::Field(fault) => match &fault.cause {
            FieldCause::Refused(error) if error.kind() == Kind::Internal => (1, "internal"),
            FieldCause::Problem { .. } | FieldCause::Refused(_) => (3, "operation_refused"),
        },
        Error::State(error) => match error.kind() {
            Kind::Busy => (5, error.code()),
            Kind::Input | Kind::Refused => (3, error.code()),
            Kind::Model | Kind::Outside | Kind::Internal => (1, error.code()),
        },
        Error::Read { .. } | Error::Line { .. } | Error::NotText { .. } => (3, "input_refused"),
        Error::Within { source, .. } => verdict(source),
        Error::Runtime(error) => match (&**error, error.kind()) {
            (Runtime::Hub(e), _) => match e.kind() {
                Hub::Refused => (3, "model_not_found"),
                Hub::Missing => (5, "unavailable"),
                Hub::Disk => (1, "internal"),
            },
            (Runtime::ContextFull { .. } | Runtime::PromptTooLong { .. }, _) => {
                (2, "context_length_exceeded")
            }
            (_, Kind::Input) => (2, "invalid_value"),
            (_, Kind::Refused) => (3, "operation_refused"),
            (_, Kind::Model) => (3, "model_refused"),
            (_, Kind::Outside) => (5, "unavailable"),
            (_, Kind::Busy) => (1, "busy"),
            (_, Kind::Internal) => (1, "internal"),
        },
    }
}

/// Whether a document says something that cannot be meant.
fn is_malformed(code: &str) -> bool {
    matches!(code, "invalid_json" | "invalid_value" | "unknown_field" | "unsupported_field")
}

/// Reports a failure and gives its number.
pub fn failed(error: &Error, console: &Console) -> ExitCode {
    let (number, code) = verdict(error);
    // A reader that has seen enough is no failure; who stopped an answer has it, and its one document.
    if number != 0 && !matches!(error, Error::Stopped) {
        let message = with_sources(error);
        // A failed check has its document: the result.
        let has_document = console.is_json() && !matches!(error, Error::Check { .. });
        if has_document {
            // A closed stdout cannot be told; stderr and the number still can.
            console.print(&document::failure(&message, code)).ok();
        }
        console.fail(&message, error.hint().as_deref());
    }
    ExitCode::from(number)
}

/// The message and those of its causes that say something new.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = source.source();
    }
    message
}

/// Reports what clap says: help on stdout, refusals as any other failure.
pub fn refused(refusal: &clap::Error, argv: &[OsString]) -> ExitCode {
    let asked_for_json = refusal.use_stderr() && argv.iter().any(|word| word == "--json");
    if asked_for_json {
        let code = match refusal.kind() {
            ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => "unknown_field",
            _ => "invalid_value",
        };
        let text = refusal.to_string();
        let message = text.lines().next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let document = serde_json::to_string(&document::failure(message, code)).unwrap_or_default();
        // As above: the number still tells.
        writeln!(std::io::stdout(), "{document}").ok();
    }
    // A closed stream has no reader to miss the text.
    refusal.print().ok();
    ExitCode::from(if refusal.use_stderr() { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn each_kind_of_failure_has_its_number() {
        let io = |kind| io::Error::from(kind);
        let hub = |text| {
            Error::from(Runtime::from(trimtab_runtime::hub::ModelRef::parse(text).unwrap_err()))
        };
        let table = [
            (Error::Stdout(io(io::ErrorKind::BrokenPipe)), 0),
            (Error::Stdout(io(io::ErrorKind::StorageFull)), 1),
            (Runtime::Misuse("x").into(), 1),
            (Runtime::PoolFull { blocks: 1, block_len: 16 }.into(), 1),
            (Error::usage("--seed", "x"), 2),
            (Error::NoPrompt, 2),
            (Runtime::ContextFull { needed: 2, limit: 1 }.into(), 2),
            (Error::Read { path: "x".into(), source: io(io::ErrorKind::NotFound) }, 3),
            (Error::Write { path: "x".into(), source: io(io::ErrorKind::NotFound) }, 1),
            (Runtime::NoTokenizer.into(), 3),
            (hub("nothing.gguf"), 3),
            (Runtime::from(trimtab_runtime::hub::Error::Offline).into(), 5),
            (Error::Check { failed: "gain".to_owned() }, 4),
            (Steering::NoRule.into(), 2),
            (Steering::StatusNull { name: "calm".to_owned() }.into(), 3),
            (Steering::Cancelled.into(), 130),
            (Error::Interrupted, 130),
            (Error::Stopped, 130),
        ];
        for (error, number) in table {
            assert_eq!(verdict(&error).0, number, "{error}");
        }
    }

    #[test]
    fn causes_are_said_once() {
        let source = io::Error::other("disk on fire");
        let read = Error::Read { path: "a.txt".into(), source };
        assert_eq!(with_sources(&read), "a.txt cannot be read: disk on fire");
        let source = io::Error::other("disk on fire");
        let inside = Error::from(Runtime::Io { path: "a".into(), source });
        assert_eq!(with_sources(&inside), "a: disk on fire");
    }
}
