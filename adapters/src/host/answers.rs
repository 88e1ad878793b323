//! Answers that may be judged: kept in memory for some minutes, the oldest going first.

use super::feedback::AnswerRef;
use super::key::AdapterKey;
use super::pinned::AnswerRecord;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer of an owner.
type AnswerName = (String, AnswerRef);

struct KeptAnswer {
    record: Arc<AnswerRecord>,
    since: Instant,
    bytes: usize,
}

/// Kept answers, within limits.
pub(super) struct AnswerBook {
    by_name: HashMap<AnswerName, KeptAnswer>,
    /// Oldest first; names that are not kept any more may be in it.
    order: VecDeque<(AnswerName, Instant)>,
    bytes: usize,
    most_bytes: usize,
    most_age: Duration,
}

impl AnswerBook {
    pub(super) fn new(most_bytes: usize, most_age: Duration) -> AnswerBook {
        let (by_name, order) = Default::default();
        AnswerBook { by_name, order, bytes: 0, most_bytes, most_age }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps an answer; one of the same name is replaced.
    pub(super) fn keep(&mut self, record: AnswerRecord, now: Instant) {
        let name = (record.key.owner().to_owned(), record.answer.clone());
        let bytes = record.recording.bytes() + record.prompt.len() * size_of::<u32>();
        self.forget(&name);
        self.order.push_back((name.clone(), now));
        self.bytes += bytes;
        self.by_name.insert(name, KeptAnswer { record: Arc::new(record), since: now, bytes });
        self.trim(now);
    }

    /// An answer of this owner, if it is still kept.
    pub(super) fn find(
        &mut self,
        owner: &str,
        answer: &AnswerRef,
        now: Instant,
    ) -> Option<Arc<AnswerRecord>> {
        self.trim(now);
        let kept = self.by_name.get(&(owner.to_owned(), answer.clone()))?;
        Some(kept.record.clone())
    }

    /// Forgets the answers of an adapter.
    pub(super) fn forget_adapter(&mut self, key: &AdapterKey) {
        self.forget_where(|record| record.key == *key);
    }

    /// Forgets the answers of an owner.
    pub(super) fn forget_owner(&mut self, owner: &str) {
        self.forget_where(|record| record.key.owner() == owner);
    }

    fn forget_where(&mut self, is_meant: impl Fn(&AnswerRecord) -> bool) {
        let meant = self.by_name.iter().filter(|(_, kept)| is_meant(&kept.record));
        let names: Vec<AnswerName> = meant.map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.forget(name));
        self.order.retain(|(name, _)| self.by_name.contains_key(name));
    }

    fn forget(&mut self, name: &AnswerName) {
        if let Some(kept) = self.by_name.remove(name) {
            self.bytes -= kept.bytes;
        }
    }

    /// Drops what is too old, and the oldest beyond the limit.
    fn trim(&mut self, now: Instant) {
        while let Some((name, since)) = self.order.front().cloned() {
            let is_old = now.saturating_duration_since(since) > self.most_age;
            if !is_old && self.bytes <= self.most_bytes {
                return;
            }
            self.order.pop_front();
            // A name that was kept again has a later place in the order.
            if self.by_name.get(&name).is_some_and(|kept| kept.since == since) {
                self.forget(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::Recording;
    use super::*;
    use trimtab_runtime::plan::Plan;

    fn record(owner: &str, response: &str) -> AnswerRecord {
        AnswerRecord {
            answer: AnswerRef { response: response.into(), choice: 0 },
            key: AdapterKey::new(owner, "a").unwrap(),
            version: 0,
            prompt: vec![1; 10],
            recording: Recording { finals: vec![0.0; 90], ..Recording::default() },
            plan: Plan::empty(),
            took: Duration::ZERO,
            made_ms: 0,
        }
    }

    fn name(response: &str) -> AnswerRef {
        AnswerRef { response: response.into(), choice: 0 }
    }

    #[test]
    fn the_oldest_go_first_and_the_old_go() {
        let mut book = AnswerBook::new(1000, Duration::from_secs(10));
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        for (response, s) in [("a", 0), ("b", 1), ("c", 2)] {
            book.keep(record("o", response), at(s));
        }
        assert_eq!(book.bytes(), 800);
        assert!(book.find("o", &name("a"), at(2)).is_none());
        assert!(book.find("o", &name("b"), at(2)).is_some());
        // The same id of another owner is another answer.
        assert!(book.find("other", &name("b"), at(2)).is_none());
        assert!(book.find("o", &name("b"), at(12)).is_none());
        assert!(book.find("o", &name("c"), at(12)).is_some());
        assert_eq!(book.bytes(), 400);
    }

    #[test]
    fn an_answer_that_is_kept_again_stays_and_owners_go_alone() {
        let mut book = AnswerBook::new(1000, Duration::from_secs(10));
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        book.keep(record("o", "a"), at(0));
        book.keep(record("o", "a"), at(8));
        assert!(book.find("o", &name("a"), at(15)).is_some());
        book.keep(record("p", "a"), at(15));
        book.forget_owner("o");
        assert!(book.find("o", &name("a"), at(15)).is_none());
        assert!(book.find("p", &name("a"), at(15)).is_some());
        book.forget_adapter(&AdapterKey::new("p", "a").unwrap());
        assert_eq!((book.bytes(), book.order.len()), (0, 0));
    }
}
