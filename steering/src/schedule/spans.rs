//! Where in an answer's text one is: in a tool call, a think span, a code fence, a JSON value.
//!
//! A scanner takes the answer's bytes one by one and remembers a few words. Markers are ASCII, so half a character
//! cannot be mistaken for one, and a marker may come in any number of tokens.

use serde::{Deserialize, Serialize};

/// A kind of span of an answer in which a vector can be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Pause))]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// `<tool_call>` to `</tool_call>`, or from `[TOOL_CALLS]` or `<|python_tag|>` to the end of the answer.
    ToolCall,
    /// A code fence: from three backticks at the beginning of a line to the next such line.
    Code,
    /// `<think>` to `</think>`.
    Think,
    /// A JSON object or list that begins a line, to its last bracket.
    Json,
}

impl Span {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Span::ToolCall => "tool_call",
            Span::Code => "code",
            Span::Think => "think",
            Span::Json => "json",
        }
    }

    /// How it begins, and how it ends if it does.
    pub fn markers(self) -> &'static [(&'static str, Option<&'static str>)] {
        match self {
            Span::ToolCall => &[
                ("<tool_call>", Some("</tool_call>")),
                ("[TOOL_CALLS]", None),
                ("<|python_tag|>", None),
            ],
            Span::Think => &[("<think>", Some("</think>"))],
            Span::Code | Span::Json => &[],
        }
    }
}

/// Bytes of the longest marker.
const TAIL: usize = 14;
/// Backticks of a fence.
const FENCE: usize = 3;

/// Follows one kind of span through an answer.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    span: Span,
    state: State,
    /// The newest bytes, oldest first.
    tail: [u8; TAIL],
    line: Line,
}

/// Where the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    /// In a marked span, with the marker that ends it.
    Until(Option<&'static str>),
    Fenced,
    /// Behind a bracket that may begin a value.
    Perhaps(u8),
    /// In a value: open brackets, and whether in a string.
    Value(usize, Quote),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Open,
    /// Behind a backslash in a string.
    Escaped,
}

/// What the line has had so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Blank,
    /// Blanks and some backticks.
    Ticks(usize),
    Begun,
}

impl Scanner {
    pub(crate) fn new(span: Span) -> Scanner {
        Scanner { span, state: State::Outside, tail: [0; TAIL], line: Line::Blank }
    }

    /// Whether what comes next is in a span.
    pub(crate) fn is_inside(&self) -> bool {
        match self.state {
            State::Outside | State::Perhaps(_) => false,
            State::Until(_) | State::Fenced | State::Value(..) => true,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.tail.rotate_left(1);
            if let Some(newest) = self.tail.last_mut() {
                *newest = *byte;
            }
            match self.span {
                Span::ToolCall | Span::Think => self.mark(),
                Span::Code => self.fence(*byte),
                Span::Json => self.json(*byte),
            }
            self.line = self.line.after(*byte);
        }
    }

    fn mark(&mut self) {
        let ends = |marker: &str| self.tail.ends_with(marker.as_bytes());
        self.state = match self.state {
            State::Until(Some(end)) if ends(end) => State::Outside,
            State::Outside => {
                let begun = self.span.markers().iter().find(|(begin, _)| ends(begin));
                begun.map_or(State::Outside, |(_, end)| State::Until(*end))
            }
            other => other,
        };
    }

    fn fence(&mut self, byte: u8) {
        if byte == b'`' && self.line == Line::Ticks(FENCE - 1) {
            let outside = self.state == State::Outside;
            self.state = if outside { State::Fenced } else { State::Outside };
        }
    }

    fn json(&mut self, byte: u8) {
        self.state = match self.state {
            State::Outside if matches!(byte, b'{' | b'[') && self.line == Line::Blank => {
                State::Perhaps(byte)
            }
            State::Perhaps(_) if byte.is_ascii_whitespace() => self.state,
            State::Perhaps(bracket) if begins_value(bracket, byte) => {
                value(State::Value(1, Quote::None), byte)
            }
            State::Perhaps(_) => State::Outside,
            other => value(other, byte),
        };
    }
}

impl Line {
    fn after(self, byte: u8) -> Line {
        match (self, byte) {
            (_, b'\n') => Line::Blank,
            (Line::Blank, b' ' | b'\t' | b'\r') => Line::Blank,
            (Line::Blank, b'`') => Line::Ticks(1),
            (Line::Ticks(n), b'`') => Line::Ticks(n + 1),
            _ => Line::Begun,
        }
    }
}

/// Whether a byte can follow a bracket in JSON. Prose in brackets, as a link in Markdown, begins with a letter.
fn begins_value(bracket: u8, byte: u8) -> bool {
    match bracket {
        b'{' => matches!(byte, b'"' | b'}'),
        _ => matches!(byte, b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9'),
    }
}

/// The next state in a value.
fn value(state: State, byte: u8) -> State {
    let State::Value(depth, quote) = state else {
        return state;
    };
    match (quote, byte) {
        (Quote::Escaped, _) => State::Value(depth, Quote::Open),
        (Quote::Open, b'\\') => State::Value(depth, Quote::Escaped),
        (Quote::Open, b'"') => State::Value(depth, Quote::None),
        (Quote::Open, _) => state,
        (Quote::None, b'"') => State::Value(depth, Quote::Open),
        (Quote::None, b'{' | b'[') => State::Value(depth + 1, quote),
        (Quote::None, b'}' | b']') if depth == 1 => State::Outside,
        (Quote::None, b'}' | b']') => State::Value(depth - 1, quote),
        (Quote::None, _) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with every byte after which one is inside replaced by `#`.
    fn inside(span: Span, text: &str) -> String {
        let mut scanner = Scanner::new(span);
        let mut mark = |byte: u8| {
            scanner.push(&[byte]);
            if scanner.is_inside() { '#' } else { char::from(byte) }
        };
        text.bytes().map(&mut mark).collect()
    }

    #[test]
    fn a_span_begins_behind_its_marker_and_ends_behind_the_other() {
        for (span, text, expected) in [
            (Span::Think, "<think>ab</think>c", "<think##########>c"),
            (Span::Think, "<thinking>", "<thinking>"),
            (Span::ToolCall, "a<tool_call>{}</tool_call>b", "a<tool_call##############>b"),
            (Span::ToolCall, "[TOOL_CALLS]f()", "[TOOL_CALLS####"),
            (Span::ToolCall, "<|python_tag|>x", "<|python_tag|##"),
            (Span::Code, "a ``` b", "a ``` b"),
            (Span::Code, "a\n  ```rs\nx\n```\ny", "a\n  ``########`\ny"),
            (Span::Code, "````\nx\n````\ny", "``#######``\ny"),
            (Span::Json, "{\"a\": [1, \"}\\\"\"]} b", "{###############} b"),
            (Span::Json, "[\n 1]\nx", "[\n #]\nx"),
            (Span::Json, "[link](url) {x}", "[link](url) {x}"),
            (Span::Json, "see {\"a\":1}", "see {\"a\":1}"),
            (Span::Json, "{}", "{}"),
        ] {
            assert_eq!(inside(span, text), expected, "{span:?}");
        }
    }

    #[test]
    fn every_marker_fits_the_tail() {
        for span in [Span::ToolCall, Span::Code, Span::Think, Span::Json] {
            for (begin, end) in span.markers() {
                assert!(begin.len() <= TAIL && end.is_none_or(|end| end.len() <= TAIL));
            }
        }
    }
}
