//! What can be wrong with a file of examples.

use trimtab_runtime::filetype::NotText;

/// What is wrong with a file of examples, on which line, and what to do.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairError {
    /// No record at all.
    #[error("file holds no record; write one JSON object per line")]
    Empty,
    /// Records, of which none is left.
    #[error("file holds no pair, {taken_out} records were taken out; add pairs whose sides differ")]
    NoPairs {
        /// How many were taken out.
        taken_out: usize,
    },
    /// Bytes that are no text, or another kind of file.
    #[error(transparent)]
    NotText(NotText),
    /// Two files of prompts that do not go together.
    #[error(
        "files have {positive} positive and {negative} negative prompts, expected as many of each, line by line"
    )]
    Uneven {
        /// Lines of the positive ones.
        positive: usize,
        /// Lines of the negative ones.
        negative: usize,
    },
    /// A line that is no JSON.
    #[error("line {line} is not JSON: {problem}; write one object per line, or one array")]
    NotJson {
        /// The line.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// JSON that is no object.
    #[error("line {line} is {found}, expected an object with named fields")]
    NotObject {
        /// The line.
        line: usize,
        /// What stands there.
        found: &'static str,
    },
    /// A table that cannot be read.
    #[error("line {line} of the table {problem}")]
    Csv {
        /// The line.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Fields of no known shape.
    #[error("line {line} has the fields {found}, expected those of a known shape: {known}")]
    UnknownShape {
        /// The line.
        line: usize,
        /// The fields.
        found: String,
        /// The shapes.
        known: String,
    },
    /// A record without a field of its shape.
    #[error(
        "line {line} has no field {field}, which the file's other records have ({shape}); add it, or put records of \
         another shape into a file of their own"
    )]
    Missing {
        /// The line.
        line: usize,
        /// The field.
        field: String,
        /// The shape the first record decided.
        shape: &'static str,
    },
    /// A field of another type.
    #[error("line {line} field {field} is {found}, expected {expected}")]
    WrongType {
        /// The line.
        line: usize,
        /// The field.
        field: String,
        /// What stands there.
        found: &'static str,
        /// What should.
        expected: &'static str,
    },
    /// A field of the right type that says nothing usable.
    #[error("line {line} field {field} {problem}")]
    Field {
        /// The line.
        line: usize,
        /// The field.
        field: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// A text without a letter in it.
    #[error("line {line} field {field} is empty; fill it in, or leave the record out")]
    EmptyText {
        /// The line.
        line: usize,
        /// The field.
        field: String,
    },
    /// Two equal examples.
    #[error("line {line} has equal sides, so it has no difference to learn; leave it out")]
    EqualSides {
        /// The line.
        line: usize,
    },
    /// Two answers that belong to different conversations.
    #[error(
        "line {line} answers two different conversations with {first} and {second}; both must begin the same way"
    )]
    PromptsDiffer {
        /// The line.
        line: usize,
        /// One field.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Scores of which none is below the best.
    #[error("line {line} has an example without a worse answer")]
    NoWorse {
        /// The line.
        line: usize,
    },
    /// Two items that say the opposite.
    #[error(
        "line {line} contradicts line {other}: the same examples with the classes swapped; keep one of them"
    )]
    Contradictory {
        /// The line.
        line: usize,
        /// The line of the first.
        other: usize,
    },
}

impl PairError {
    /// Whether the record may be left out of noisy data, the others being sound.
    pub(super) fn can_be_skipped(&self) -> bool {
        use PairError::{Empty, NoPairs, NotText, Uneven, UnknownShape};
        !matches!(self, Empty | NoPairs { .. } | NotText(_) | Uneven { .. } | UnknownShape { .. })
    }

    /// Whether the record is sound and only says nothing, so that it is left out and reported whatever the data.
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, PairError::NoWorse { .. })
    }

    /// The flaw of a record that is left out, without the advice to leave it out.
    pub(super) fn when_skipped(&self) -> String {
        let text = self.to_string();
        text.split_once("; ").map_or(text.clone(), |(found, _)| found.to_owned())
    }

    /// The line it is about, if it is about one.
    pub fn line(&self) -> Option<usize> {
        use PairError::*;
        match self {
            Empty | NoPairs { .. } | NotText(_) | Uneven { .. } => None,
            NotJson { line, .. }
            | NotObject { line, .. }
            | Csv { line, .. }
            | UnknownShape { line, .. }
            | Missing { line, .. }
            | WrongType { line, .. }
            | Field { line, .. }
            | EmptyText { line, .. }
            | EqualSides { line }
            | PromptsDiffer { line, .. }
            | NoWorse { line }
            | Contradictory { line, .. } => Some(*line),
        }
    }
}
