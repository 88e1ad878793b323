//! The rival in words: a line behind the question that says what is measured of the winners of duels against the losers.
//!
//! Its numbers are rounded to a few steps, so that few different lines occur and each is answered once.

use super::duels::Held;
use super::users::Counts;

/// Lengths that a line can name.
const LENGTHS: [f64; 5] = [10.0, 20.0, 40.0, 60.0, 80.0];
/// Below this share of the longer length two lengths are alike.
const LENGTH_DIFFERS: f64 = 0.2;
/// A difference in items or exclamation marks from here on is named.
const COUNT_DIFFERS: f64 = 0.5;

/// The line after some duels; `None` where winners and losers do not differ.
// counts [arms][prompts]
pub fn line(held: &[Held], counts: &[Vec<Counts>]) -> Option<String> {
    let mean = |of: fn(&Counts) -> f64| {
        let side = |at: usize| {
            let found = held.iter().filter_map(|duel| {
                let arm = counts.get(*duel.arms.get(at)?)?;
                arm.get(duel.prompt).map(of)
            });
            found.sum::<f64>() / held.len().max(1) as f64
        };
        [side(0), side(1)]
    };
    let [words, other_words] = mean(|counts| counts.words);
    let length = LENGTHS.into_iter().min_by(|a, b| far(*a, words).total_cmp(&far(*b, words)))?;
    let differs = (words - other_words).abs() > LENGTH_DIFFERS * words.max(other_words);
    let said = |[won, lost]: [f64; 2], with: &'static str, without: &'static str| match won - lost {
        gap if gap >= COUNT_DIFFERS => Some(with.to_owned()),
        gap if gap <= -COUNT_DIFFERS => Some(without.to_owned()),
        _ => None,
    };
    let clauses = [
        differs.then(|| format!("of about {length} words")),
        said(mean(|counts| counts.items), "written as a list", "without lists"),
        said(mean(|counts| counts.exclaims), "with exclamation marks", "without exclamation marks"),
    ];
    let clauses: Vec<String> = clauses.into_iter().flatten().collect();
    (!clauses.is_empty()).then(|| format!("The user prefers answers {}.", clauses.join(", ")))
}

fn far(length: f64, words: f64) -> f64 {
    (length.ln() - words.max(1.0).ln()).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_what_winners_have_and_losers_have_not() {
        let of = |words, items| vec![Counts { words, items, ..Counts::default() }];
        let counts = [of(18.0, 0.0), of(70.0, 4.0)];
        let short = line(&[Held { arms: [0, 1], prompt: 0 }], &counts).unwrap();
        assert!(short.ends_with("answers of about 20 words, without lists."), "{short}");
        let long = line(&[Held { arms: [1, 0], prompt: 0 }], &counts).unwrap();
        assert!(long.ends_with("answers of about 80 words, written as a list."), "{long}");
        assert_eq!(line(&[Held { arms: [0, 0], prompt: 0 }], &counts), None);
        assert_eq!(line(&[], &counts), None);
    }
}
