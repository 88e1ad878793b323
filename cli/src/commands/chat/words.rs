//! What can be typed in a conversation besides messages.

use trimtab_runtime::session::History;

/// What `/help` prints.
pub const HELP: &str = "\
/steer  show the vectors
/steer NAME SCALE         steer with another scale; the conversation is read again
/steer NAME SCALE --keep  the same, but what was read stays as it was read
/undo   take the last exchange back
/reset  forget the conversation
/exit   end (also Ctrl-D)
/help   show this
Ctrl-C stops an answer; at the prompt it ends the program";

/// What makes room in a full context.
pub const ROOM: &str = "/undo takes the last exchange back, /reset forgets the conversation; a start with a larger \
    --ctx-size makes more room";

/// A typed line.
#[derive(Debug, PartialEq)]
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
    /// `/steer`
    Vectors,
    /// `/steer NAME SCALE`, and what happens to what was read.
    Steer(&'a str, f32, History),
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
            "/steer" => Word::Vectors,
            _ if line.starts_with("/steer ") => steer(line).unwrap_or(Word::Unknown(line)),
            _ if is_command(line) => Word::Unknown(line),
            _ => Word::Message(line),
        }
    }
}

/// `/steer NAME SCALE [--keep]`; a name may have spaces.
fn steer(line: &str) -> Option<Word<'_>> {
    let rest = line.strip_prefix("/steer ")?.trim();
    let (rest, history) = match rest.strip_suffix("--keep") {
        Some(rest) => (rest.trim_end(), History::Keep),
        None => (rest, History::Recompute),
    };
    let (name, scale) = rest.rsplit_once(char::is_whitespace)?;
    let scale = scale.parse::<f32>().ok()?;
    Some(Word::Steer(name.trim_end(), scale, history))
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
        assert_eq!(Word::parse("/steer"), Word::Vectors);
        let again = History::Recompute;
        assert_eq!(Word::parse("/steer calm 1"), Word::Steer("calm", 1.0, again));
        assert_eq!(Word::parse("/steer very calm -0.5"), Word::Steer("very calm", -0.5, again));
        assert_eq!(Word::parse("/steer calm 2 --keep"), Word::Steer("calm", 2.0, History::Keep));
        for unknown in
            ["/steer calm", "/steer calm much", "/steer 1", "/steer calm 1 --kept", "/sing"]
        {
            assert_eq!(Word::parse(unknown), Word::Unknown(unknown));
        }
        for message in ["hello", "/usr/bin is a folder", "/2 of it", "say /exit"] {
            assert_eq!(Word::parse(message), Word::Message(message));
        }
    }
}
