//! A conversation of the wire as messages for the template.

use super::Ignored;
use crate::refusal::Refusal;
use crate::wire::chat::ChatMessage;
use crate::wire::union::{Content, Part, names};
use trimtab_runtime::text::{Message, ROLES};

/// Fields of a message that say what a template would have to write, and no template is asked to.
const REFUSED: [&str; 4] = ["tool_calls", "tool_call_id", "function_call", "audio"];

/// The messages of a conversation.
pub(crate) fn conversation(
    messages: &[ChatMessage],
    ignored: &mut Ignored,
) -> Result<Vec<Message>, Refusal> {
    if messages.is_empty() {
        return Err(Refusal::invalid("messages", "is empty, at least one is needed"));
    }
    let numbered = messages.iter().enumerate();
    numbered.map(|(index, message)| converted(index, message, ignored)).collect()
}

fn converted(
    index: usize,
    message: &ChatMessage,
    ignored: &mut Ignored,
) -> Result<Message, Refusal> {
    let at = |field: &str| format!("messages[{index}].{field}");
    if !ROLES.contains(&message.role.as_str()) {
        let known = ROLES.join(", ");
        let problem = format!("is {:?}, not one of {known}", message.role);
        return Err(Refusal::invalid(at("role"), problem));
    }
    if let Some(name) = names(&message.rest).find(|name| REFUSED.contains(name)) {
        return Err(Refusal::unsupported(at(name), "only what messages say is read"));
    }
    ignored.note("messages", &message.rest);
    let content = match &message.content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => joined(parts, &at("content"))?,
        None => return Err(Refusal::invalid(at("content"), "is missing")),
    };
    Ok(Message::new(message.role.clone(), content))
}

/// The texts of parts, one behind the other.
fn joined(parts: &[Part], at: &str) -> Result<String, Refusal> {
    let text = |(index, part): (usize, &Part)| match (part.kind.as_str(), &part.text) {
        ("text", Some(text)) => Ok(text.clone()),
        ("text", None) => Err(Refusal::invalid(format!("{at}[{index}].text"), "is missing")),
        (kind, _) => {
            let why = format!("it is {kind:?}, only text is read");
            Err(Refusal::unsupported(format!("{at}[{index}]"), why))
        }
    };
    parts.iter().enumerate().map(text).collect()
}
