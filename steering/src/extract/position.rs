//! The names of the tokens that extraction can read.

use serde::{Deserialize, Serialize};
use std::fmt;

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

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(position, _)| position == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl Position {
    /// The position of a name. `template_suffix` is what files call `response_as_user`.
    pub(super) fn named(text: &str) -> Option<Position> {
        let text = if text == "template_suffix" { "response_as_user" } else { text };
        NAMES.iter().find(|(_, name)| *name == text).map(|(position, _)| *position)
    }
}
