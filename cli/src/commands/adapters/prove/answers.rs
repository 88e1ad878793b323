//! Answers under a version, and how likely a version finds an answer.

use crate::commands::opened::Opened;
use crate::error::Result;
use trimtab_adapters::host::PinnedAdapter;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::{Message, Special};

/// What is asked where an answer is to be judged.
const JUDGED: [&str; 3] = [
    "Name a colour and say why you like it.",
    "Give me a tip for better sleep.",
    "Write a sentence about the sea.",
];

/// What is asked where no answer is judged.
const HELD_OUT: [&str; 8] = [
    "What is the capital of France?",
    "How many legs does a spider have?",
    "Name three rivers in Europe.",
    "What do bees make?",
    "Write a short greeting to a friend.",
    "Explain in one sentence why the sky is blue.",
    "How do I boil an egg?",
    "Translate good morning into Spanish.",
];

/// An answer, down to the bits of its log-probabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub(super) tokens: Vec<u32>,
    pub(super) log_p: Vec<u64>,
}

/// How many answers differ between two rounds.
pub fn differing(a: &[Told], b: &[Told]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}

/// How many answers differ in a token.
pub fn reworded(a: &[Told], b: &[Told]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a.tokens != b.tokens).count()
}

/// A message as the model is asked it; bare text where it has no template.
fn asked(opened: &Opened, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
    let one = |text: &&str| {
        let model = &opened.model;
        Ok(match model.template() {
            Ok(_) => model.chat_prompt(&[Message::new("user", *text)])?,
            Err(_) => model.raw_prompt(text, Special::Plain)?,
        })
    };
    texts.iter().map(one).collect()
}

/// Prompts whose answers are judged.
pub fn judged(opened: &Opened) -> Result<Vec<Vec<u32>>> {
    asked(opened, &JUDGED)
}

/// Prompts whose answers are not.
pub fn held_out(opened: &Opened) -> Result<Vec<Vec<u32>>> {
    asked(opened, &HELD_OUT)
}

/// The plan of an answer under a version; an empty one without.
pub fn in_force(pinned: Option<&PinnedAdapter>) -> Result<Plan> {
    Ok(match pinned {
        None => Plan::empty(),
        Some(pinned) => pinned.plan(&Plan::empty())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tokens: &[u32], log_p: f64) -> Told {
        Told { tokens: tokens.to_vec(), log_p: vec![log_p.to_bits()] }
    }

    #[test]
    fn answers_differ_in_a_token_or_in_a_bit() {
        let a = [told(&[1, 2], -0.5), told(&[3], -0.5)];
        assert_eq!((differing(&a, &a), reworded(&a, &a)), (0, 0));
        let bit = [told(&[1, 2], -0.500_000_000_000_000_1), told(&[3], -0.5)];
        assert_eq!((differing(&a, &bit), reworded(&a, &bit)), (1, 0));
        let other = [told(&[1, 4], -0.5)];
        assert_eq!((differing(&a, &other), reworded(&a, &other)), (2, 1));
    }
}
