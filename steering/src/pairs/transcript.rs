//! Anthropic's transcripts: one text with `Human:` and `Assistant:` turns.

use super::error::PairError;
use trimtab_runtime::text::Message;

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Whether a text is a transcript.
pub(super) fn is_transcript(text: &str) -> bool {
    text.starts_with(HUMAN)
}

/// The conversation before the last turn, and that turn, which must be the assistant's.
pub(super) fn turns(
    text: &str,
    line: usize,
    field: &str,
) -> Result<(Vec<Message>, String), PairError> {
    let mut messages = messages(text, line, field)?;
    match messages.pop() {
        Some(last) if last.role == "assistant" && !messages.is_empty() => {
            Ok((messages, last.content))
        }
        _ => refuse(line, field, "does not end with an Assistant: turn, as a transcript must"),
    }
}

/// A conversation that is to be answered: it ends with an empty turn of the assistant's, or with the question.
pub(super) fn prompt(text: &str, line: usize, field: &str) -> Result<Vec<Message>, PairError> {
    let mut messages = messages(text, line, field)?;
    messages.pop_if(|last| last.role == "assistant" && last.content.is_empty());
    match messages.last() {
        Some(last) if last.role == "user" => Ok(messages),
        _ => refuse(
            line,
            field,
            "ends with an answer, and another one follows in a field of its own",
        ),
    }
}

fn refuse<T>(line: usize, field: &str, problem: &str) -> Result<T, PairError> {
    let (field, problem) = (field.to_owned(), problem.to_owned());
    Err(PairError::Field { line, field, problem })
}

fn messages(text: &str, line: usize, field: &str) -> Result<Vec<Message>, PairError> {
    let (mut messages, mut rest) = (Vec::new(), text);
    while let Some((role, after)) = turn(rest) {
        let end = [HUMAN, ASSISTANT].iter().filter_map(|mark| after.find(mark)).min();
        let (said, next) = after.split_at(end.unwrap_or(after.len()));
        messages.push(Message::new(role, said.trim()));
        rest = next;
    }
    if !rest.is_empty() {
        return refuse(line, field, "does not begin with a Human: turn, as a transcript must");
    }
    Ok(messages)
}

fn turn(text: &str) -> Option<(&'static str, &str)> {
    let human = text.strip_prefix(HUMAN).map(|rest| ("user", rest));
    human.or_else(|| text.strip_prefix(ASSISTANT).map(|rest| ("assistant", rest)))
}
