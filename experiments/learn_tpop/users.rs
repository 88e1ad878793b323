//! Simulated users: what is measured of an answer, and how much each user likes it.

/// Counts of an answer's text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    pub words: f64,
    /// Lines that begin as items of a list do.
    pub items: f64,
    pub exclaims: f64,
    /// Mean letters of a word.
    pub letters: f64,
}

impl Counts {
    pub fn of(text: &str) -> Counts {
        let words = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
        let words = words.count() as f64;
        let letters = text.chars().filter(|c| c.is_alphabetic()).count() as f64;
        Counts {
            words,
            items: text.lines().filter(|line| is_item(line)).count() as f64,
            exclaims: text.matches('!').count() as f64,
            letters: letters / words.max(1.0),
        }
    }
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let after = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = after.len() < line.len() && (after.starts_with(". ") || after.starts_with(") "));
    numbered || ["- ", "* ", "• ", "+ "].iter().any(|mark| line.starts_with(mark))
}

/// A user with a known utility between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// `exp(−words/30)`.
    Short,
    /// `min(1, items/4)`.
    List,
    /// `min(1, exclamation marks/3)`.
    Exclaim,
    /// Mean letters of a word over 8: no setting is made for it.
    Letters,
}

impl User {
    pub const ALL: [User; 4] = [User::Short, User::List, User::Exclaim, User::Letters];

    pub fn name(self) -> &'static str {
        match self {
            User::Short => "short",
            User::List => "list",
            User::Exclaim => "exclaim",
            User::Letters => "letters",
        }
    }

    pub fn utility(self, counts: &Counts) -> f64 {
        match self {
            User::Short => (-counts.words / 30.0).exp(),
            User::List => (counts.items / 4.0).min(1.0),
            User::Exclaim => (counts.exclaims / 3.0).min(1.0),
            User::Letters => (counts.letters / 8.0).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_text() {
        let counts = Counts::of("Yes!\n1. one\n2) two\n - three\n* four\n2024 was - a year\n");
        assert_eq!((counts.words, counts.items, counts.exclaims), (11.0, 4.0, 1.0));
        assert_eq!(User::List.utility(&counts), 1.0);
        assert!((User::Exclaim.utility(&counts) - 1.0 / 3.0).abs() < 1e-12);
        let empty = Counts::of("");
        assert_eq!((empty.words, empty.letters, User::Short.utility(&empty)), (0.0, 0.0, 1.0));
    }
}
