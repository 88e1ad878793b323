//! An answer that the user rewrote, as a positive target: the tokens that were written in place of others.
//!
//! Published ("The Era of Real-World Human Interaction", RLHI, arXiv 2509.25137): an answer rewritten after what the user said is
//! the better of a pair. Ours: the rewrite is the user's own, and only the words that are new in it are credited. It is
//! run once for its activations; its trace has the origin [`Written`](super::TokenOrigin::Written).

use super::judgement::{Judgement, JudgementSource};
use std::ops::Range;

/// Most cells of the table that aligns two answers.
const MOST_CELLS: usize = 1 << 22;

/// The tokens of a rewritten answer that are not the old one's, as ranges: everything outside a longest common
/// subsequence. Of very long answers everything between the equal beginning and the equal end.
pub fn written_in_place(old: &[u32], new: &[u32]) -> Vec<Range<usize>> {
    let first = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - first;
    let backwards = old.iter().rev().zip(new.iter().rev());
    let last = backwards.take(rest).take_while(|(a, b)| a == b).count();
    let middle = |tokens: &[u32]| -> Vec<u32> {
        tokens.get(first..tokens.len() - last).unwrap_or_default().to_vec()
    };
    let (old, new) = (middle(old), middle(new));
    let kept = match old.len().saturating_mul(new.len()) > MOST_CELLS {
        true => vec![false; new.len()],
        false => common(&old, &new),
    };
    ranges(&kept, first)
}

/// Which tokens of the new answer are of a longest common subsequence.
fn common(old: &[u32], new: &[u32]) -> Vec<bool> {
    // Row i, column j: the length of what old[i..] and new[j..] have in common.
    let width = new.len() + 1;
    let mut lengths = vec![0u32; (old.len() + 1) * width];
    let at = |lengths: &[u32], i: usize, j: usize| {
        lengths.get(i * width + j).copied().unwrap_or_default()
    };
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let longest = match a == b {
                true => at(&lengths, i + 1, j + 1) + 1,
                false => at(&lengths, i + 1, j).max(at(&lengths, i, j + 1)),
            };
            lengths.iter_mut().skip(i * width + j).take(1).for_each(|cell| *cell = longest);
        }
    }
    let mut kept = vec![false; new.len()];
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        if a == b {
            kept.iter_mut().skip(j).take(1).for_each(|kept| *kept = true);
            (i, j) = (i + 1, j + 1);
        } else if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    kept
}

/// The runs that are not kept.
fn ranges(kept: &[bool], first: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in kept.iter().enumerate().filter(|(_, kept)| !**kept) {
        match found.last_mut() {
            Some(range) if range.end == first + at => range.end += 1,
            Some(_) | None => found.push(first + at..first + at + 1),
        }
    }
    found
}

impl Judgement {
    /// What a rewritten answer teaches: a reward of 1 for the tokens that the user wrote in place of others; `None` if
    /// only something was left out, or nothing was changed.
    pub fn edited(old: &[u32], new: &[u32]) -> Option<Judgement> {
        let span = written_in_place(old, new);
        let judgement = Judgement { source: JudgementSource::Edit, ..Judgement::value(1.0) };
        (!span.is_empty()).then(|| judgement.about(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_in_place_is_credited() {
        let old = [1, 2, 3, 4, 5, 6];
        assert_eq!(written_in_place(&old, &[1, 2, 9, 8, 4, 5, 7, 6]), [2..4, 6..7]);
        assert_eq!(written_in_place(&old, &[9, 2, 3, 4, 5, 8]), [0..1, 5..6]);
        assert!(written_in_place(&old, &old).is_empty());
        assert_eq!(written_in_place(&[7, 7], &[7, 7, 7]).first(), Some(&(2..3)));
        assert_eq!(written_in_place(&[], &[1, 2]).first(), Some(&(0..2)));
    }

    #[test]
    fn an_edit_is_a_reward_for_its_words_and_an_omission_is_none() {
        let edited = Judgement::edited(&[1, 2, 3], &[1, 9, 3]).unwrap();
        assert_eq!(edited.reward, 1.0);
        assert_eq!(edited.span.unwrap().first(), Some(&(1..2)));
        assert_eq!(Judgement::edited(&[1, 2, 3], &[1, 3]), None);
        assert_eq!(Judgement::edited(&[1, 2], &[1, 2]), None);
    }

    #[test]
    fn long_answers_are_compared_at_their_ends() {
        let old: Vec<u32> = (0..5000).collect();
        let new: Vec<u32> = (0..10).chain((10..4990).map(|x| x + 9000)).chain(4990..5000).collect();
        assert_eq!(written_in_place(&old, &new).first(), Some(&(10..4990)));
    }
}
