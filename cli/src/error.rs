//! What can go wrong at the command line, besides what the runtime says.

use std::path::{Path, PathBuf};
use trimtab_runtime::filetype::{self, FileType, NotText, Unreadable};
use trimtab_steering::spec::FieldError;

/// Result of this program.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime refused or failed.
    #[error(transparent)]
    Runtime(Box<trimtab_runtime::Error>),
    /// Something about vectors, pairs or evaluations is refused or failed.
    #[error(transparent)]
    Steering(Box<trimtab_steering::Error>),
    /// A line of a data file, or the file as a whole, with the file it is in.
    #[error("{}: {source}", path.display())]
    Data { path: PathBuf, source: Box<trimtab_steering::Error> },
    /// What was measured does not hold; the result was printed.
    #[error("check failed: {failed}")]
    Check {
        /// What does not hold.
        failed: String,
    },
    /// A flag with a value that makes no sense.
    #[error("{flag} {problem}")]
    Usage {
        flag: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An input file that cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// An input file that is read and is not what it should be.
    #[error("{}: {source}", path.display())]
    NotText {
        path: PathBuf,
        /// What is wrong with it.
        source: Unreadable,
    },
    /// Something that another crate refuses, with the file it is in.
    #[error("{}: {source}", path.display())]
    Within {
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Error>,
    },
    /// An output file that cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A line of an input file that is not what it should be.
    #[error("{} line {line} {problem}", path.display())]
    Line {
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        problem: String,
    },
    /// A measured run that did not do what it was measured for.
    #[error("{run} run acted at {found:?} positions of sequence {row}, not at {expected:?}")]
    NotDone {
        run: &'static str,
        /// The sequence, from 0.
        row: usize,
        /// Positions of each intervention, then of each captured site.
        found: Vec<u64>,
        /// What they should have been.
        expected: Vec<u64>,
    },
    /// Standard input holds nothing, or is a terminal.
    #[error("prompt is missing")]
    NoPrompt,
    /// Standard output takes no more.
    #[error("standard output cannot be written")]
    Stdout(#[source] std::io::Error),
    #[error("{}", .0.message)]
    Server(Box<trimtab_server::ApiError>),
    /// A field of a specification is refused.
    #[error(transparent)]
    Field(Box<FieldError>),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(Box<trimtab_adapters::Error>),
    /// Settings that do not fit together.
    #[error("--{0}")]
    Misfit(trimtab_server::settings::Misfit),
    /// The address cannot be listened at.
    #[error("address {address} cannot be listened at")]
    Bind {
        address: std::net::SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The system refused something that needs no name.
    #[error("{what} cannot be had")]
    System {
        what: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Ctrl-C ended it before there was a result.
    #[error("interrupted")]
    Interrupted,
    /// Ctrl-C ended an answer, and what there is of it was printed.
    #[error("answer was stopped")]
    Stopped,
}

impl Error {
    /// A flag and what is wrong with it.
    pub fn usage(flag: &'static str, problem: impl Into<String>) -> Error {
        Error::Usage { flag, problem: problem.into() }
    }

    /// What is wrong with an output, in whose folder the system may not find what it writes first.
    pub fn writing(path: &Path) -> impl FnOnce(trimtab_steering::Error) -> Error {
        let path = path.to_owned();
        move |error| match error {
            trimtab_steering::Error::Io { source, .. } => Error::Write { path, source },
            error => error.into(),
        }
    }

    /// What is wrong with an input that is to be a text.
    fn unreadable(path: &Path) -> impl FnOnce(Unreadable) -> Error {
        let path = path.to_owned();
        move |error| match error {
            Unreadable::System(source) => Error::Read { path, source },
            source => Error::NotText { path, source },
        }
    }

    /// The same error with the file it was found in.
    pub fn within(path: &Path) -> impl FnOnce(Error) -> Error {
        let path = path.to_owned();
        move |error| Error::Within { path, source: Box::new(error) }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Runtime(error) => hint(error),
            Error::Steering(error) => steering_hint(error),
            Error::Within { source, .. } => source.hint(),
            Error::State(error) if matches!(**error, trimtab_adapters::Error::InUse { .. }) => {
                Some("stop the server that holds it, or ask it over HTTP".to_owned())
            }
            Error::NoPrompt => {
                Some("give --prompt or --file, or write to standard input".to_owned())
            }
            _ => None,
        }
    }
}

impl From<trimtab_adapters::Error> for Error {
    fn from(error: trimtab_adapters::Error) -> Self {
        Error::State(Box::new(error))
    }
}

impl From<trimtab_server::ApiError> for Error {
    fn from(refusal: trimtab_server::ApiError) -> Self {
        Error::Server(Box::new(refusal))
    }
}

impl From<FieldError> for Error {
    fn from(fault: FieldError) -> Self {
        Error::Field(Box::new(fault))
    }
}

impl From<trimtab_runtime::Error> for Error {
    fn from(error: trimtab_runtime::Error) -> Self {
        Error::Runtime(Box::new(error))
    }
}

impl From<trimtab_steering::Error> for Error {
    fn from(error: trimtab_steering::Error) -> Self {
        match error {
            trimtab_steering::Error::Runtime(error) => error.into(),
            trimtab_steering::Error::Cancelled => Error::Interrupted,
            other => Error::Steering(Box::new(other)),
        }
    }
}

/// What the user can do about a vector that is refused.
fn steering_hint(error: &trimtab_steering::Error) -> Option<String> {
    use trimtab_steering::Error;
    let hint = match error {
        Error::In { source, .. } => return steering_hint(source),
        Error::ModelMismatch { accept, .. } => {
            return Some(format!("--accept-model {accept} uses it all the same"));
        }
        Error::StatusNull { .. } => "--allow-null uses it all the same",
        Error::NotAVectorFile { reason } if reason.contains("GGUF control vector") => {
            "--control-vector FILE reads it; `trimtab import` makes a vector file of it"
        }
        Error::NotAVectorFile { reason } if reason.contains("bare file must be imported") => {
            "`trimtab import FILE --op add -o OUT` makes a vector file of it"
        }
        _ if error.code() == "dose_exceeded" => {
            "--dose-policy clamp lowers the scales until they fit; --dose-limit F allows more"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What the user can do about an error of the runtime.
fn hint(error: &trimtab_runtime::Error) -> Option<String> {
    use trimtab_runtime::{Error, text};
    const NAMES: &str = "--chat-template takes one of these names, chatml, or Jinja text; --chat-template-file a file";
    let hint = match error {
        Error::Hub(e) => return e.hint(),
        Error::ContextFull { .. } | Error::PromptTooLong { .. } => {
            "--ctx-size N allows longer sequences, up to what the model was made for"
        }
        Error::PoolFull { .. } => "--kv-memory BYTES makes room for more keys and values",
        Error::Text(e) if matches!(**e, text::Error::NoTemplate) => {
            "generate --raw continues a text without a template; --chat-template chatml is a common one, \
             --chat-template-file FILE gives another"
        }
        Error::Text(e) if matches!(**e, text::Error::NoSuchTemplate { .. }) => NAMES,
        Error::Template(e) if matches!(**e, text::Error::NoSuchTemplate { .. }) => NAMES,
        Error::Template(_) => {
            "--chat-template-file FILE gives another template; generate --raw needs none"
        }
        Error::Tokenizer(e) if matches!(**e, text::Error::OtherTokenizer { .. }) => {
            "transformers writes tokenizer.json: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER); \
             capture --token-ids and bench need no tokenizer"
        }
        Error::Tokenizer(_) => "capture --token-ids and bench need no tokenizer",
        Error::NoTokenizer => {
            "put the model's tokenizer.json into its folder; capture --token-ids and bench need none"
        }
        Error::Device { .. } => "--list-devices shows what this build has; --cpu always works",
        Error::NoSuchSite { .. } => {
            "`models info` shows how many blocks the model has; they count from 0"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The longest text that is read.
const TEXT_LIMIT: u64 = 1 << 30;

/// The whole of a text file or a pipe, without a byte order mark.
pub fn read_text(path: &Path) -> Result<String> {
    filetype::read_text(path, TEXT_LIMIT).map_err(Error::unreadable(path))
}

/// The same of a file with data in it, which is no web page.
pub fn read_data(path: &Path) -> Result<String> {
    let text = read_text(path)?;
    match FileType::of(text.as_bytes()) {
        Some(kind) => Err(Error::unreadable(path)(NotText::Type(kind).into())),
        None => Ok(text),
    }
}

/// One text of standard input, which may hold what is no text.
pub fn input_text(bytes: Vec<u8>) -> Result<String> {
    filetype::text(bytes).map_err(|e| Error::unreadable(Path::new("standard input"))(e.into()))
}
