//! The line in front of the learner: first come, first served, so many in all and so many of one owner.

use super::key::AdapterKey;
use crate::error::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

struct Line<T> {
    waiting: VecDeque<(AdapterKey, T)>,
    /// Lessons of each adapter that wait or run.
    open: HashMap<AdapterKey, usize>,
    is_closed: bool,
}

/// What waits to be taught.
pub(super) struct LessonQueue<T> {
    line: Mutex<Line<T>>,
    came: Condvar,
    ended: Notify,
    limits: [usize; 2],
}

impl<T> LessonQueue<T> {
    /// At most so many wait in all, and of one owner.
    pub(super) fn new(limits: [usize; 2]) -> LessonQueue<T> {
        let line = Line { waiting: VecDeque::new(), open: HashMap::new(), is_closed: false };
        LessonQueue { line: Mutex::new(line), came: Condvar::new(), ended: Notify::new(), limits }
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait or run.
    pub(super) fn open(&self) -> usize {
        self.line().open.values().sum()
    }

    pub(super) fn push(&self, key: AdapterKey, lesson: T) -> Result<()> {
        let [in_all, of_owner] = self.limits;
        let mut line = self.line();
        let same = line.waiting.iter().filter(|(other, _)| other.owner() == key.owner()).count();
        let waiting = line.waiting.len();
        if waiting >= in_all || same >= of_owner {
            return Err(Error::LearnerFull { waiting });
        }
        *line.open.entry(key.clone()).or_default() += 1;
        line.waiting.push_back((key, lesson));
        self.came.notify_one();
        Ok(())
    }

    /// The next lesson, waited for; `None` once the queue is closed and empty.
    pub(super) fn next(&self) -> Option<(AdapterKey, T)> {
        let mut line = self.line();
        loop {
            if let Some(next) = line.waiting.pop_front() {
                return Some(next);
            }
            if line.is_closed {
                return None;
            }
            line = self.came.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A lesson of this adapter has been taught.
    pub(super) fn end(&self, key: &AdapterKey) {
        let mut line = self.line();
        let left = line.open.get_mut(key).map(|open| {
            *open -= 1;
            *open
        });
        if left == Some(0) {
            line.open.remove(key);
        }
        drop(line);
        self.ended.notify_waiters();
    }

    /// Nothing comes any more; what waits is taught.
    pub(super) fn close(&self) {
        self.line().is_closed = true;
        self.came.notify_all();
    }

    fn is_open(&self, key: &AdapterKey) -> bool {
        self.line().open.contains_key(key)
    }

    /// Waits until no lesson of an adapter waits or runs, at most so long, and says whether that is so.
    pub(super) async fn settled(&self, key: &AdapterKey, patience: Duration) -> bool {
        let settled = async {
            loop {
                let ended = self.ended.notified();
                if !self.is_open(key) {
                    return;
                }
                ended.await;
            }
        };
        !self.is_open(key) || tokio::time::timeout(patience, settled).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(owner: &str) -> AdapterKey {
        AdapterKey::new(owner, "a").unwrap()
    }

    #[test]
    fn a_flood_of_one_owner_leaves_room_for_others() {
        let queue = LessonQueue::new([5, 3]);
        let push = |owner| queue.push(key(owner), ()).is_ok();
        assert_eq!((0..10).filter(|_| push("flood")).count(), 3);
        assert!(push("other") && push("third"));
        assert!(!push("fourth"));
        assert_eq!(queue.next().map(|(key, ())| key), Some(key("flood")));
        assert!(push("fourth"));
        queue.close();
        assert_eq!(std::iter::from_fn(|| queue.next()).count(), 5);
    }

    #[tokio::test]
    async fn what_is_taught_is_waited_for_a_while() {
        let queue = LessonQueue::new([5, 3]);
        let moment = Duration::from_millis(1);
        assert!(queue.settled(&key("a"), moment).await);
        queue.push(key("a"), ()).unwrap();
        assert!(queue.settled(&key("b"), moment).await);
        queue.next().unwrap();
        assert!(!queue.settled(&key("a"), moment).await);
        let later = async {
            tokio::task::yield_now().await;
            queue.end(&key("a"));
        };
        let long = Duration::from_secs(30);
        let key = key("a");
        assert!(tokio::join!(queue.settled(&key, long), later).0);
    }
}
