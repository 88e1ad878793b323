//! Why an extraction is refused.

use super::position::Position;
use trimtab_runtime::site::Site;

/// Why an extraction is refused, and what to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The one position at which two answers cannot differ.
    #[error(
        "position header_after_question reads the same tokens on both sides: attention is causal, so nothing of an \
         answer has reached them and the difference is exactly 0; read dialogue_tail or response_as_user"
    )]
    HeaderAfterQuestion,
    /// No such position.
    #[error(
        "position {found:?} is unknown, expected response_as_user, dialogue_tail, last, mean_response, last_prompt, all or text"
    )]
    UnknownPosition {
        /// What was written.
        found: String,
    },
    /// A position the examples do not have.
    #[error("position {position} is not in {what}, expected {expected}")]
    Position {
        /// What was asked for.
        position: Position,
        /// What the examples are.
        what: &'static str,
        /// What they have.
        expected: String,
    },
    /// Too few pairs to fit on, or to choose by.
    #[error(
        "{found} {what} are too few, at least {least} are needed; add data, change the shares with --split, or say \
         --min-pairs"
    )]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// A row that does not end as every row must.
    #[error(
        "line {line} does not end with the template's tokens {expected:?} but with {found:?}; the text runs into the \
         template, so change its last characters or leave it out"
    )]
    Suffix {
        /// The item's line.
        line: usize,
        /// The ids every row ends with.
        expected: Vec<u32>,
        /// The ids it ends with.
        found: Vec<u32>,
    },
    /// A template without a token behind an answer.
    #[error(
        "position {position} reads the template's tokens behind an answer, and this template writes none; read \
         mean_response"
    )]
    NoSuffix {
        /// What was asked for.
        position: Position,
    },
    /// The token that begins a text, twice.
    #[error(
        "line {line} begins with token {token} twice: the template writes it, so the text must not"
    )]
    DoubleFirst {
        /// The item's line.
        line: usize,
        /// The token.
        token: u32,
    },
    /// Nothing to read at a row's place, or only its first token.
    #[error(
        "line {line} has no token at {place} behind its first, which is never read; leave it out"
    )]
    NothingToRead {
        /// The item's line.
        line: usize,
        /// The place.
        place: String,
    },
    /// Rows that are longer than the model's context.
    #[error(
        "{} the context, which holds {context} tokens; leave them out (--long skip) or raise --ctx-size",
        longer(lines)
    )]
    TooLong {
        /// The items' lines, each with its longest side's tokens.
        lines: Vec<(usize, usize)>,
        /// Tokens a sequence may have.
        context: usize,
    },
    /// A conversation where a text is to be read as it is written.
    #[error(
        "line {line} holds messages, and --raw reads a text as it is written; give one text a side"
    )]
    RawTalk {
        /// The item's line.
        line: usize,
    },
    /// NaN or an infinity in the stream.
    #[error(
        "state at {site} of line {line} ({place}) is not finite; nothing was written, leave the line out or use f32 weights"
    )]
    NotFinite {
        /// The site.
        site: Site,
        /// The item's line.
        line: usize,
        /// The place.
        place: String,
    },
    /// States that do not fit the memory they may have.
    #[error(
        "states of {rows} rows at {candidates} candidates take {bytes} bytes, {budget} are allowed; raise --state-memory, or read fewer --sites, one --position, or less data"
    )]
    Budget {
        /// Rows.
        rows: usize,
        /// Candidates of each.
        candidates: usize,
        /// What they take.
        bytes: usize,
        /// What they may take.
        budget: usize,
    },
    /// States that are summed while they are read, where not even the sums of one site fit.
    #[error(
        "what is kept of one site at {places} positions takes {bytes} bytes, {budget} are allowed; raise --state-memory, or read one --position"
    )]
    OneSite {
        /// Positions at the site.
        places: usize,
        /// What they take.
        bytes: usize,
        /// What they may take.
        budget: usize,
    },
    /// A setting with a value it cannot have.
    #[error("{field} {problem}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// Shards, or an unfinished run, of another extraction.
    #[error("{what} belongs to another extraction: its data, model or settings differ; {advice}")]
    AnotherRun {
        /// Which file.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Shards that are not the whole.
    #[error("shards hold blocks {found} of {blocks}; give each block once, and all of them")]
    Incomplete {
        /// What they hold.
        found: String,
        /// How many there are.
        blocks: usize,
    },
    /// A file that holds no states.
    #[error("not a file of states: {reason}")]
    NotStates {
        /// What was found and what was expected.
        reason: String,
    },
}

impl Refusal {
    /// The name of the refusal on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::HeaderAfterQuestion
            | Refusal::UnknownPosition { .. }
            | Refusal::Position { .. }
            | Refusal::NoSuffix { .. } => "position_refused",
            Refusal::TooFew { .. } => "too_few_pairs",
            Refusal::Suffix { .. } => "suffix_mismatch",
            Refusal::DoubleFirst { .. } => "double_first_token",
            Refusal::NothingToRead { .. } => "nothing_to_read",
            Refusal::TooLong { .. } => "context_length_exceeded",
            Refusal::RawTalk { .. } => "text_expected",
            Refusal::NotFinite { .. } => "not_finite",
            Refusal::Budget { .. } | Refusal::OneSite { .. } => "states_too_large",
            Refusal::Setting { .. } => "invalid_value",
            Refusal::AnotherRun { .. } => "states_differ",
            Refusal::Incomplete { .. } => "shards_incomplete",
            Refusal::NotStates { .. } => "not_a_states_file",
        }
    }
}

/// How many lines a message names.
const NAMED: usize = 20;

/// Which lines are longer than something, as the beginning of a sentence.
fn longer(lines: &[(usize, usize)]) -> String {
    let named = lines.iter().take(NAMED).map(|(line, tokens)| format!("{line} ({tokens} tokens)"));
    let named = named.collect::<Vec<String>>().join(", ");
    match lines.len() {
        1 => format!("line {named} is longer than"),
        count if count > NAMED => {
            format!("lines {named} and {} more are longer than", count - NAMED)
        }
        _ => format!("lines {named} are longer than"),
    }
}
