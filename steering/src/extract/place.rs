//! Which tokens of an example are read.

use super::Refusal;
use crate::file::card::Reading;
use crate::pairs::Sides;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which tokens are read. All positions are counted from a row's true end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Each answer is a user's message of its own; the template's tokens after it are read, the beginning of the
    /// model's answer included (PaLRS).
    ResponseAsUser,
    /// Each answer stands behind its prompt; the end-of-turn tokens are read, and the mean over the answer.
    DialogueTail,
    /// The same rendering, and only the end-of-turn tokens. Of a labelled text its last token.
    Last,
    /// The same rendering, and only the mean over the answer.
    MeanResponse,
    /// The same rendering, and the mean over the tokens in which both answers end: the same words, read after another
    /// beginning. What differs there is what the model takes up from the beginning, not the words that show it.
    SharedTail,
    /// The template's tokens between the prompt and the answer. Attention is causal, so both sides are the same there:
    /// refused, and here only so that a test can show it.
    HeaderAfterQuestion,
    /// The last token of a prompt that asks for an answer, or of an answer begun.
    LastPrompt,
    /// The mean over every token of a labelled text but its first.
    All,
    /// The last token of a labelled text, and the mean over it.
    Text,
}

const NAMES: [(Position, &str); 9] = [
    (Position::ResponseAsUser, "response_as_user"),
    (Position::DialogueTail, "dialogue_tail"),
    (Position::Last, "last"),
    (Position::MeanResponse, "mean_response"),
    (Position::SharedTail, "shared_tail"),
    (Position::HeaderAfterQuestion, "header_after_question"),
    (Position::LastPrompt, "last_prompt"),
    (Position::All, "all"),
    (Position::Text, "text"),
];

impl Position {
    /// Whether examples of this kind have such tokens; otherwise which positions they have.
    pub(super) fn check(self, sides: &Sides) -> Result<(), Refusal> {
        use Position::*;
        if self == HeaderAfterQuestion {
            return Err(Refusal::HeaderAfterQuestion);
        }
        let (fitting, what): (&[Position], _) = match sides {
            Sides::Answers { .. } => (
                &[ResponseAsUser, DialogueTail, Last, MeanResponse, SharedTail],
                "pairs of answers",
            ),
            Sides::Prompts { .. } => (&[LastPrompt], "pairs of prompts"),
            Sides::Labelled { .. } => (&[Text, Last, All], "labelled texts"),
        };
        if fitting.contains(&self) {
            return Ok(());
        }
        let expected: Vec<String> = fitting.iter().map(ToString::to_string).collect();
        Err(Refusal::Position { position: self, what, expected: expected.join(", ") })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(position, _)| position == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl FromStr for Position {
    type Err = Refusal;

    /// Understands the names of both pages: `template_suffix` is what files call `response_as_user`.
    fn from_str(text: &str) -> Result<Position, Refusal> {
        let text = if text == "template_suffix" { "response_as_user" } else { text };
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(position, _)| *position);
        match found {
            Some(Position::HeaderAfterQuestion) => Err(Refusal::HeaderAfterQuestion),
            Some(position) => Ok(position),
            None => Err(Refusal::UnknownPosition { found: text.to_owned() }),
        }
    }
}

/// One of the places a position names: a token counted from the end, or a mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// As files name it.
    pub reading: Reading,
    /// −1 is the row's last token; 0 is a mean over several.
    pub index: i32,
}

impl Place {
    pub(super) fn token(reading: Reading, index: i32) -> Place {
        Place { reading, index }
    }

    pub(super) fn mean(reading: Reading) -> Place {
        Place { reading, index: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.reading {
            Reading::LastPrompt => "last_prompt",
            Reading::Last => "last",
            Reading::MeanResponse => "mean_response",
            Reading::TemplateSuffix => "template_suffix",
            Reading::All => "all",
        };
        match self.index {
            0 => f.write_str(name),
            index => write!(f, "{name}[{index}]"),
        }
    }
}
