//! What comes out of a generation, while it runs and at its end.

use crate::hook::Readings;
use crate::sample::Step;

/// Something that happened to an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A part of the prompt was run; more of it follows.
    Prefilled {
        /// Tokens of the sequence that have been run.
        tokens: usize,
    },
    /// A token was chosen.
    Token(Step),
    /// A monitor appended these tokens to the answer.
    Inserted(Vec<u32>),
    /// Text that may be shown. Complete characters; concatenation gives the answer, less what is retracted.
    Text {
        /// The text.
        text: String,
        /// Tokens of the answer before those that begin in it.
        first: usize,
        /// The tokens that begin in it; none of a text that no token has made.
        tokens: Vec<ShownToken>,
    },
    /// Shown text from this byte on is taken back.
    Retracted {
        /// Bytes of shown text that stay.
        from: usize,
    },
    /// The answer was rewound.
    Rewound {
        /// Tokens of the answer that stay.
        from: usize,
        /// How often it has been rewound with this time.
        attempt: u32,
    },
    /// The answer has ended.
    Done(Finish),
}

/// A token of the answer, in the text that its first byte is in.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownToken {
    /// Bytes of that text before the character of its first byte.
    pub begin: usize,
    /// How it was chosen; inserted tokens have no step.
    pub step: Option<Step>,
}

/// Whether a generation should go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End it here; what was shown stays.
    Cancel,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The model ended it with this token.
    EndToken(u32),
    /// This stop string appeared.
    StopString(String),
    /// The limit on tokens was reached.
    Length,
    /// The context is full.
    ContextFull,
    /// A monitor ended it.
    Monitor(String),
    /// A monitor wanted to rewind and the budget was used up; unshown text is dropped.
    RetriesExhausted,
    /// The receiver of its events did not want more.
    Cancelled,
    /// Something went wrong, in words; the error itself comes out of `Generation::into_answer`.
    Failed(String),
}

impl Finish {
    /// The word OpenAI's API has for it: `stop`, `length`, or `content_filter`.
    pub fn openai_reason(&self) -> &'static str {
        match self {
            Finish::EndToken(_) | Finish::StopString(_) | Finish::Cancelled | Finish::Failed(_) => {
                "stop"
            }
            Finish::Length | Finish::ContextFull => "length",
            Finish::Monitor(_) | Finish::RetriesExhausted => "content_filter",
        }
    }
}

/// Token counts of one generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer, the end token included, those taken back left out.
    pub completion_tokens: usize,
    /// Prompt tokens whose keys and values were there already.
    pub cached_tokens: usize,
    /// Generated tokens that were taken back.
    pub discarded_tokens: usize,
    /// Tokens of guidance that were fed and not shown.
    pub hidden_tokens: usize,
    /// Tokens of this sequence that the model was run on.
    pub forward_tokens: usize,
    /// Tokens that the model read for monitors.
    pub monitor_tokens: usize,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Its tokens, without hidden guidance and without the end token.
    pub tokens: Vec<u32>,
    /// How each of them was chosen; inserted tokens have no step.
    pub steps: Vec<Option<Step>>,
    /// Why it ended.
    pub finish: Finish,
    /// Counts.
    pub usage: Usage,
    /// How often it was rewound.
    pub rewinds: u32,
    /// Positions each intervention of the plan in force at the end has changed.
    pub fired: Vec<u64>,
    /// What the hooks of that plan report at the end.
    pub readings: Readings,
}
