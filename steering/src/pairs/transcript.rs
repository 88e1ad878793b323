//! Anthropic's transcripts: one text with `Human:` and `Assistant:` turns.

use super::flaw::Flaw;
use trimtab_runtime::text::Message;

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Whether a text is a transcript.
pub(super) fn is_transcript(text: &str) -> bool {
    text.starts_with(HUMAN)
}

/// The conversation before the last turn, and that turn, which must be the assistant's.
pub(super) fn turns(text: &str, line: usize, field: &str) -> Result<(Vec<Message>, String), Flaw> {
    let refuse = |problem: &str| {
        let (field, problem) = (field.to_owned(), problem.to_owned());
        Err(Flaw::Field { line, field, problem })
    };
    let (mut messages, mut rest) = (Vec::new(), text);
    while let Some((role, after)) = turn(rest) {
        let end = [HUMAN, ASSISTANT].iter().filter_map(|mark| after.find(mark)).min();
        let (said, next) = after.split_at(end.unwrap_or(after.len()));
        messages.push(Message::new(role, said.trim()));
        rest = next;
    }
    if !rest.is_empty() {
        return refuse("does not begin with a Human: turn, as a transcript must");
    }
    match messages.pop() {
        Some(last) if last.role == "assistant" && !messages.is_empty() => {
            Ok((messages, last.content))
        }
        _ => refuse("does not end with an Assistant: turn, as a transcript must"),
    }
}

fn turn(text: &str) -> Option<(&'static str, &str)> {
    let human = text.strip_prefix(HUMAN).map(|rest| ("user", rest));
    human.or_else(|| text.strip_prefix(ASSISTANT).map(|rest| ("assistant", rest)))
}
