//! [`Rendered`]: a prompt that remembers which parts a message wrote.

use std::ops::Range;

/// Who wrote a part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The template: control tokens are recognised here.
    Template,
    /// A message: ordinary text, whatever it spells.
    Content,
}

/// A part of a prompt with one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Who wrote it.
    pub origin: Origin,
}

/// A conversation as the template wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The parts in order; neighbours have different origins.
    pub segments: Vec<Segment>,
}

impl Rendered {
    /// The prompt as plain text.
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect()
    }

    pub(crate) fn push(&mut self, text: &str, origin: Origin) {
        match self.segments.last_mut() {
            Some(last) if last.origin == origin => last.text.push_str(text),
            _ => self.segments.push(Segment { text: text.to_owned(), origin }),
        }
    }

    /// The byte ranges of [`Rendered::text`] that messages wrote, in order.
    pub(crate) fn content_ranges(&self) -> Vec<Range<usize>> {
        let mut at = 0;
        let mut ranges = Vec::new();
        for segment in &self.segments {
            let range = at..at + segment.text.len();
            at = range.end;
            if segment.origin == Origin::Content {
                ranges.push(range);
            }
        }
        ranges
    }
}
