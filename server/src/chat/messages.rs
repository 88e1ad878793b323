//! A conversation of the wire as messages for the template.

use super::Ignored;
use crate::app::App;
use crate::error::ApiError;
use crate::wire::chat::ChatMessage;
use crate::wire::rest::names;
use crate::wire::union::{Content, Part};
use trimtab_runtime::text::{Message, ROLES};

/// Fields of a message that say what a template would have to write, and no template is asked to.
const REFUSED: [&str; 4] = ["tool_calls", "tool_call_id", "function_call", "audio"];

/// Kinds of parts that are text.
const TEXTS: [&str; 3] = ["text", "input_text", "output_text"];
/// Roles that some clients write, and what they are where the model's template does not know them.
const STAND_INS: [(&str, &str); 2] = [("developer", "system"), ("model", "assistant")];
/// Roles whose turns may say nothing: clients send back what had no text.
const SILENT: [&str; 6] = ["assistant", "model", "tool", "function", "ipython", "observation"];

/// The messages of a conversation.
pub(crate) fn conversation(
    app: &App,
    messages: &[ChatMessage],
    ignored: &mut Ignored,
) -> Result<Vec<Message>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "is empty, at least one is needed"));
    }
    let template = app.model.template().map(|template| template.source()).unwrap_or_default();
    let numbered = messages.iter().enumerate();
    let converted = numbered.map(|(index, message)| converted(index, message, ignored));
    let understood = |message: Message| Message { role: known(&message.role, template), ..message };
    converted.map(|message| message.map(understood)).collect()
}

/// A role as the template calls it. Written out under a name that the model does not know, a turn would be none.
fn known(role: &str, template: &str) -> String {
    let quoted = [format!("'{role}'"), format!("\"{role}\"")];
    let stand_in = STAND_INS.iter().find(|(name, _)| *name == role);
    match stand_in.filter(|_| !quoted.iter().any(|quoted| template.contains(quoted))) {
        Some((_, stand_in)) => (*stand_in).to_owned(),
        None => role.to_owned(),
    }
}

fn converted(
    index: usize,
    message: &ChatMessage,
    ignored: &mut Ignored,
) -> Result<Message, ApiError> {
    let at = |field: &str| format!("messages[{index}].{field}");
    if !ROLES.contains(&message.role.as_str()) {
        let known = ROLES.join(", ");
        let problem = format!("is {:?}, not one of {known}", message.role);
        return Err(ApiError::invalid(at("role"), problem));
    }
    if let Some(name) = names(&message.rest).find(|name| REFUSED.contains(name)) {
        return Err(ApiError::unsupported(at(name), "only what messages say is read"));
    }
    ignored.note("messages", &message.rest);
    let content = match &message.content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => joined(parts, &at("content"), ignored)?,
        None if SILENT.contains(&message.role.as_str()) => String::new(),
        None => {
            let problem =
                format!("is missing or null, and a turn of {} says something", message.role);
            return Err(ApiError::invalid(at("content"), problem));
        }
    };
    Ok(Message::new(message.role.clone(), content))
}

/// The texts of parts, one behind the other.
fn joined(parts: &[Part], at: &str, ignored: &mut Ignored) -> Result<String, ApiError> {
    parts.iter().for_each(|part| ignored.note("messages.content", &part.rest));
    let text = |(index, part): (usize, &Part)| match (part.kind.as_str(), &part.text) {
        (kind, Some(text)) if TEXTS.contains(&kind) => Ok(text.clone()),
        (kind, None) if TEXTS.contains(&kind) => {
            Err(ApiError::invalid(format!("{at}[{index}].text"), "is missing"))
        }
        (kind, _) => {
            let why = format!("it is {kind:?}, only text is read");
            Err(ApiError::unsupported(format!("{at}[{index}]"), why))
        }
    };
    parts.iter().enumerate().map(text).collect()
}
