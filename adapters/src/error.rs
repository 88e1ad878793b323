//! The one error enum of this crate.
//!
//! What stops a server from opening its state says which file and what was found in it; nothing here repeats what a
//! row held. [`Error::code`] is the name on the wire and in `--json` output.

use std::path::PathBuf;
use trimtab_runtime::Kind;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a file or folder.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another server holds the folder.
    #[error("state folder {folder} is in use by another server")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A file in the place of the state file that SQLite did not write.
    #[error("{path} is not a database; it was left as it is")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database of another program in the place of the state file.
    #[error(
        "{path} is a database of another program (application id {found}); it was left as it is"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The application id in it; ours is in the first migration.
        found: i64,
    },
    /// A state file that a newer program has written.
    #[error("{path} has state version {found}, this program knows versions up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program writes.
        known: i64,
    },
    /// A step from one version of the file to the next that failed and was taken back.
    #[error("state version {version} cannot be reached: {source}")]
    Migration {
        /// The version that was not reached.
        version: i64,
        /// What the database said.
        source: sqlx::Error,
    },
    /// A state file whose content is broken.
    #[error("state file is damaged: {reason}")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// The database did not get its turn in time.
    #[error("state file is busy: {doing} had to wait too long")]
    Busy {
        /// What was to be done.
        doing: &'static str,
    },
    /// A text that was to be kept as a JSON document and is none.
    #[error("{field} is not a JSON document: {source}")]
    Document {
        /// The field of the row.
        field: &'static str,
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
    /// A row whose name is taken, where rows are never replaced.
    #[error("{what} {id} is stored already")]
    Exists {
        /// What was to be stored.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// A version of an adapter that does not exist.
    #[error("adapter {id} does not exist for this owner")]
    NoAdapter {
        /// The adapter.
        id: String,
    },
    /// An answer that is not kept any more, or never was.
    #[error(
        "answer {response} is not kept; it is for ten minutes, and only where it was to be learnt from"
    )]
    NoAnswer {
        /// The response it belongs to.
        response: String,
    },
    /// Something else was said about an answer before.
    #[error("feedback on {response} was given before, and said something else")]
    FeedbackExists {
        /// The response.
        response: String,
    },
    /// A duel that does not exist for this owner, or is not kept any more.
    #[error("duel {id} does not exist for this owner")]
    NoDuel {
        /// The duel.
        id: String,
    },
    /// A duel that was decided otherwise, or is too old to be decided.
    #[error("duel {id} is closed: {why}")]
    DuelClosed {
        /// The duel.
        id: String,
        /// What closed it.
        why: &'static str,
    },
    /// An adapter, or a file of one, that belongs to other weights.
    #[error("adapter {id} was made for other weights ({found}), the model has {expected}")]
    OtherWeights {
        /// The adapter.
        id: String,
        /// Digest of its weights.
        found: String,
        /// Digest of the model's.
        expected: String,
    },
    /// More lessons wait than the learner takes.
    #[error("{waiting} lessons wait already; try again later")]
    LearnerFull {
        /// How many wait.
        waiting: usize,
    },
    /// What is measured of the model failed.
    #[error(transparent)]
    Steering(#[from] trimtab_steering::Error),
    /// A learner of tastes refused.
    #[error(transparent)]
    Tpop(#[from] crate::tpop::TpopError),
    /// A value outside its range.
    #[error("{field} {problem}")]
    Invalid {
        /// The field as users write it.
        field: &'static str,
        /// What is wrong, with the value.
        problem: String,
    },
    /// The model's head failed.
    #[error(transparent)]
    Model(#[from] trimtab_runtime::Error),
    /// A stored state of a learner that cannot be taken.
    #[error("adapter state {problem}")]
    StateRefused {
        /// What is wrong with it.
        problem: String,
    },
    /// Anything else that the database says.
    #[error("{doing} failed: {source}")]
    Database {
        /// What was to be done.
        doing: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
}

/// SQLite's primary result codes that mean something of their own here.
const BUSY: [i32; 2] = [5, 6];
const DAMAGED: [i32; 2] = [11, 26];

impl Error {
    /// The name of the refusal on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Error::InUse { .. } => "state_in_use",
            Error::NotADatabase { .. } => "state_not_a_database",
            Error::Foreign { .. } => "state_foreign",
            Error::Newer { .. } => "state_newer",
            Error::Damaged { .. } => "state_damaged",
            Error::Busy { .. } => "busy",
            Error::Exists { .. } => "id_in_use",
            Error::NoAdapter { .. } => "adapter_not_found",
            Error::NoAnswer { .. } => "trace_not_found",
            Error::FeedbackExists { .. } => "feedback_exists",
            Error::NoDuel { .. } => "not_found",
            Error::DuelClosed { .. } => "duel_closed",
            Error::OtherWeights { .. } => "model_mismatch",
            Error::LearnerFull { .. } => "busy",
            Error::Steering(error) => error.code(),
            Error::Tpop(error) => error.code(),
            Error::Invalid { .. } => "value_invalid",
            Error::StateRefused { .. } => "adapter_state_refused",
            Error::Model(_) => "runtime",
            Error::Io { .. }
            | Error::Migration { .. }
            | Error::Document { .. }
            | Error::Database { .. } => "internal",
        }
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NotADatabase { .. }
            | Error::Foreign { .. }
            | Error::Newer { .. }
            | Error::NoAdapter { .. }
            | Error::NoAnswer { .. }
            | Error::NoDuel { .. }
            | Error::Invalid { .. } => Kind::Input,
            Error::Model(error) => error.kind(),
            Error::Steering(error) => error.kind(),
            Error::Exists { .. }
            | Error::StateRefused { .. }
            | Error::FeedbackExists { .. }
            | Error::DuelClosed { .. }
            | Error::OtherWeights { .. } => Kind::Refused,
            Error::InUse { .. } | Error::Busy { .. } | Error::LearnerFull { .. } => Kind::Busy,
            Error::Tpop(error) => error.kind(),
            Error::Io { .. }
            | Error::Migration { .. }
            | Error::Damaged { .. }
            | Error::Document { .. }
            | Error::Database { .. } => Kind::Internal,
        }
    }

    /// Sorts what the database said, with the act it said it to.
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
        move |source| {
            if matches!(source, sqlx::Error::PoolTimedOut) {
                return Error::Busy { doing };
            }
            let code = source.as_database_error().and_then(|error| error.code());
            // The low byte is the primary code, whatever the extended one says beyond it.
            match code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff) {
                Some(code) if BUSY.contains(&code) => Error::Busy { doing },
                Some(code) if DAMAGED.contains(&code) => {
                    Error::Damaged { reason: format!("{doing}: {source}") }
                }
                Some(_) | None => Error::Database { doing, source },
            }
        }
    }

    /// A value that is refused, and why.
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Error {
        Error::Invalid { field, problem: problem.into() }
    }

    /// The same; what is damaged is named.
    pub(crate) fn of(self, file: &std::path::Path) -> Error {
        match self {
            Error::Damaged { reason } => {
                Error::Damaged { reason: format!("{}: {reason}", file.display()) }
            }
            other => other,
        }
    }

    /// Wraps a refusal of the system with the path it is about.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}
