//! What can be typed in a conversation besides messages.

/// What `/help` prints.
pub const HELP: &str = "\
/undo   take the last exchange back
/reset  forget the conversation
/exit   end (also Ctrl-D)
/help   show this
Ctrl-C stops an answer; at the prompt it ends the program";

/// A typed line.
#[derive(Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// An empty line.
    Nothing,
    /// For the model.
    Message(&'a str),
    /// `/exit`
    Exit,
    /// `/help`
    Help,
    /// `/reset`
    Reset,
    /// `/undo`
    Undo,
    /// Begins with a slash and is none of these.
    Unknown(&'a str),
}

impl<'a> Word<'a> {
    /// Understands a line without its line break.
    pub fn parse(line: &'a str) -> Word<'a> {
        match line {
            "" => Word::Nothing,
            "/exit" | "/quit" => Word::Exit,
            "/help" => Word::Help,
            "/reset" => Word::Reset,
            "/undo" => Word::Undo,
            _ if is_command(line) => Word::Unknown(line),
            _ => Word::Message(line),
        }
    }
}

/// Whether a line looks like a command and not like a path or a fraction.
fn is_command(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    word.strip_prefix('/').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_messages_are_told_apart() {
        assert_eq!(Word::parse("/undo"), Word::Undo);
        assert_eq!(Word::parse("/steer calm 1"), Word::Unknown("/steer calm 1"));
        for message in ["hello", "/usr/bin is a folder", "/2 of it", "say /exit"] {
            assert_eq!(Word::parse(message), Word::Message(message));
        }
    }
}
