//! Whether an answer is the expected one.

/// Whether a reply says what is expected: the same words, or, where a number is expected, that number last.
///
/// Case, punctuation at the ends of words and white space do not count. A number may stand behind working, because
/// that is how models answer sums; thousands may be separated by commas.
pub(super) fn matches(reply: &str, expected: &str) -> bool {
    match number(expected) {
        Some(wanted) => last_number(reply).is_some_and(|found| found == wanted),
        None => {
            let expected = plain(expected);
            !expected.is_empty() && plain(reply) == expected
        }
    }
}

fn plain(text: &str) -> Vec<String> {
    super::reply::words(text).map(str::to_lowercase).collect()
}

/// A text that is a number and nothing else, a currency sign in front and a full stop behind aside.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().trim_start_matches('$').trim_end_matches(['.', '%']).replace(',', "");
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    text.parse().ok().filter(|_| starts)
}

fn last_number(text: &str) -> Option<f64> {
    let pieces = text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '.' | ',')));
    // A dash behind a digit divides: "3-4" ends with 4, and "10-ish" with 10.
    let tails =
        pieces.map(|piece| piece.trim_end_matches('-')).map(|piece| match piece.rfind('-') {
            Some(at) if at > 0 => piece.get(at + 1..).unwrap_or_default(),
            _ => piece,
        });
    tails.rev().find_map(|piece| number(piece.trim_matches(',')))
}
