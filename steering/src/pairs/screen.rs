//! What is taken out before anything is computed: duplicates, and items that teach nothing.

use super::error::PairError;
use super::{BadPairs, Class, Finding, Item, Sides};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use trimtab_runtime::text::Message;

type Key = [u8; 32];

/// Collects items and what was found among them.
pub(super) struct Screen {
    bad: BadPairs,
    /// `None` for what turned out to contradict a later one.
    items: Vec<Option<Item>>,
    findings: Vec<Finding>,
    /// What was seen: on which line, and which of the items it is.
    seen: HashMap<Key, (usize, usize)>,
}

impl Screen {
    pub(super) fn new(bad: BadPairs) -> Screen {
        Screen { bad, items: Vec::new(), findings: Vec::new(), seen: HashMap::new() }
    }

    /// Takes an item, or the reason why there is none.
    pub(super) fn take(&mut self, read: Result<Item, PairError>) -> Result<(), PairError> {
        let item = match read.and_then(|item| differs(&item).map(|()| item)) {
            Ok(item) => item,
            Err(flaw) => return self.skip(flaw),
        };
        let (own, swapped) = (key(&item.sides, Order::AsIs), key(&item.sides, Order::Swapped));
        if let Some((of, _)) = self.seen.get(&own) {
            self.findings.push(Finding::Duplicate { line: item.line, of: *of });
            return Ok(());
        }
        let line = item.line;
        self.seen.insert(own, (line, self.items.len()));
        let Some((other, index)) = self.seen.get(&swapped).copied() else {
            self.items.push(Some(item));
            return Ok(());
        };
        // Of two that contradict each other neither is kept: nothing says which is right.
        let taken = self.items.get_mut(index).and_then(Option::take);
        self.items.push(None);
        self.skip(PairError::Contradictory { line, other })?;
        taken.map_or(Ok(()), |_| self.skip(PairError::Contradictory { line: other, other: line }))
    }

    fn skip(&mut self, flaw: PairError) -> Result<(), PairError> {
        let skips = match self.bad {
            BadPairs::Skip => flaw.can_be_skipped(),
            BadPairs::Refuse => flaw.is_harmless(),
        };
        match flaw.line().filter(|_| skips) {
            Some(line) => {
                self.findings.push(Finding::Skipped { line, reason: flaw.when_skipped() });
                Ok(())
            }
            None => Err(flaw),
        }
    }

    /// The items that are left, and what was found.
    pub(super) fn finish(self) -> (Vec<Item>, Vec<Finding>) {
        (self.items.into_iter().flatten().collect(), self.findings)
    }
}

fn differs(item: &Item) -> Result<(), PairError> {
    let equal = match &item.sides {
        Sides::Answers { chosen, rejected, .. } => chosen == rejected,
        Sides::Prompts { positive, negative } => positive == negative,
        Sides::Labelled { .. } => false,
    };
    if equal { Err(PairError::EqualSides { line: item.line }) } else { Ok(()) }
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    AsIs,
    Swapped,
}

/// What two items share exactly if one repeats the other, or, swapped, contradicts it.
fn key(sides: &Sides, order: Order) -> Key {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    match sides {
        Sides::Answers { prompt, chosen, rejected } => {
            talk(prompt, &mut text);
            let (first, second) = ordered(chosen, rejected, order);
            text(first);
            text(second);
        }
        Sides::Prompts { positive, negative } => {
            let (first, second) = ordered(positive, negative, order);
            talk(first, &mut text);
            talk(second, &mut text);
        }
        Sides::Labelled { label, text: said } => {
            let positive = (*label == Class::Positive) == (order == Order::AsIs);
            text(if positive { "positive" } else { "negative" });
            text(said);
        }
    }
    hash.finalize().into()
}

fn ordered<T>(first: T, second: T, order: Order) -> (T, T) {
    match order {
        Order::AsIs => (first, second),
        Order::Swapped => (second, first),
    }
}

fn talk(messages: &[Message], text: &mut impl FnMut(&str)) {
    text(&messages.len().to_string());
    for message in messages {
        text(&message.role);
        text(&message.content);
    }
}
