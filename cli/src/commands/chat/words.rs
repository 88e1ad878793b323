//! What can be typed in a conversation besides messages.

use trimtab_runtime::session::History;

/// What `/help` prints.
pub const HELP: &str = "\
/steer  show the vectors
/steer NAME SCALE         steer with another scale; the conversation is read again
/steer NAME SCALE --keep  the same, but what was read stays as it was read
/again  answer the last message anew
/undo   take the last exchange back
/reset  forget the conversation
/exit   end (also Ctrl-D)
/help   show this
with --adapt:
/good, /bad               the last answer was right, or wrong
/edit TEXT                the last answer as it should have been; \\ at the end of a line goes on in the next
/duel                     answer the next message twice, to choose from
/versions                 show what was learnt, step by step
/revert N                 go back to version N; 0 forgets all
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
    /// `/again`
    Again,
    /// `/steer`
    Vectors,
    /// `/steer NAME SCALE`, and what happens to what was read.
    Steer(&'a str, f32, History),
    /// For the adapter.
    Teach(TeachWord<'a>),
    /// Begins with a slash and is none of these.
    Unknown(&'a str),
}

/// A word about what is learnt.
#[derive(Debug, PartialEq)]
pub enum TeachWord<'a> {
    /// `/good`
    Good,
    /// `/bad`
    Bad,
    /// `/edit TEXT`
    Edit(&'a str),
    /// `/duel`
    Duel,
    /// `/versions`
    Versions,
    /// `/revert N`
    Revert(u32),
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
            "/again" => Word::Again,
            "/steer" => Word::Vectors,
            _ if line.starts_with("/steer ") => steer(line).unwrap_or(Word::Unknown(line)),
            _ if is_command(line) => {
                TeachWord::parse(line).map_or(Word::Unknown(line), Word::Teach)
            }
            _ => Word::Message(line),
        }
    }
}

impl<'a> TeachWord<'a> {
    fn parse(line: &'a str) -> Option<TeachWord<'a>> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (word, rest.trim()) {
            ("/good", "") => Some(TeachWord::Good),
            ("/bad", "") => Some(TeachWord::Bad),
            ("/duel", "") => Some(TeachWord::Duel),
            ("/versions", "") => Some(TeachWord::Versions),
            ("/edit", text) if !text.is_empty() => Some(TeachWord::Edit(text)),
            ("/revert", number) => number.parse().ok().map(TeachWord::Revert),
            _ => None,
        }
    }
}

/// Whether a line is an edit that goes on in the next.
pub fn goes_on(line: &str) -> bool {
    line.starts_with("/edit") && line.ends_with('\\')
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

    #[test]
    fn words_about_learning_have_what_they_need() {
        let teach = |line| match Word::parse(line) {
            Word::Teach(word) => Some(word),
            _ => None,
        };
        assert_eq!(teach("/bad"), Some(TeachWord::Bad));
        assert_eq!(teach("/edit  It is 56.\nReally."), Some(TeachWord::Edit("It is 56.\nReally.")));
        assert_eq!(teach("/revert 2"), Some(TeachWord::Revert(2)));
        for unknown in ["/edit", "/revert", "/revert two", "/revert -1", "/bad answer", "/goods"] {
            assert_eq!(Word::parse(unknown), Word::Unknown(unknown));
        }
        assert!(goes_on("/edit one \\") && !goes_on("one \\") && !goes_on("/edit one"));
    }
}
