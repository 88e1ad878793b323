//! Which tokens of an example are read.

use super::Refusal;
use super::position::Position;
use crate::file::card::Reading;
use crate::pairs::Sides;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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

impl FromStr for Position {
    type Err = Refusal;

    /// Understands the names of both pages.
    fn from_str(text: &str) -> Result<Position, Refusal> {
        match Position::named(text) {
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
