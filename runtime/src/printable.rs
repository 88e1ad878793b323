//! Foreign text as a terminal or a log may show it.
//!
//! Names, cards, metadata and bodies come from files and clients. Shown as they are, an escape sequence could clear the
//! screen, a line break could forge a log line, and a bidirectional override could turn a name round. Answers of
//! a model that go to a file or a pipe are not changed: this is for people's eyes.

use std::fmt::{Display, Formatter, Result, Write};

/// A text on one line: control characters, line breaks and invisible marks that reorder text are written as escapes.
///
/// ```
/// use trimtab_runtime::printable::Line;
/// assert_eq!(Line("a\u{1b}[2J\r\nb").to_string(), "a\\u{1b}[2J\\r\\nb");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Line<'a>(pub &'a str);

/// A text of several lines: as [`Line`], but `\n` and tabs stay.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a>(pub &'a str);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0.chars().try_for_each(|c| put(c, f))
    }
}

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0
            .chars()
            .try_for_each(|c| if matches!(c, '\n' | '\t') { f.write_char(c) } else { put(c, f) })
    }
}

fn put(c: char, f: &mut Formatter<'_>) -> Result {
    if is_hidden(c) { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
}

/// Whether a terminal acts on a character or orders its neighbours anew, instead of showing it.
pub fn is_hidden(c: char) -> bool {
    // C0, C1 and DEL; line and paragraph separators; marks, embeddings, overrides and isolates of Unicode's
    // bidirectional algorithm (UAX #9); the byte order mark.
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        let forged = "x\u{1b}]0;owned\u{7}\r\nINFO forged\u{202e}gpj\u{9b}31m";
        let shown = "x\\u{1b}]0;owned\\u{7}\\r\\nINFO forged\\u{202e}gpj\\u{9b}31m";
        assert_eq!(Line(forged).to_string(), shown);
        assert_eq!(Lines("a\tb\nc\r\u{1b}").to_string(), "a\tb\nc\\r\\u{1b}");
    }

    #[test]
    fn words_of_every_script_stay() {
        let words = "größe 日本語 עברית \u{1f469}\u{200d}\u{1f680} a\u{301} \\n \"q\"";
        assert_eq!(Line(words).to_string(), words);
    }
}
