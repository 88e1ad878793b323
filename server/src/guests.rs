//! The open connections, and which of them is closed when all slots are taken and another client connects: the oldest
//! that waits for no answer and has none left to read.
//!
//! Without this, one peer with many idle connections would keep every other client out. There is no limit per address:
//! behind a proxy all clients have the same one.

use crate::presence::Waits;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Open connections by number; they are numbered as they come.
#[derive(Default)]
pub(crate) struct Guests(Mutex<Book>);

#[derive(Default)]
struct Book {
    next: u64,
    open: BTreeMap<u64, Guest>,
}

/// One open connection, as the accept loop sees it.
struct Guest {
    waits: Waits,
    leave: Arc<Notify>,
}

/// A connection's own entry, until it is dropped.
pub(crate) struct Entry {
    guests: Arc<Guests>,
    number: u64,
    leave: Arc<Notify>,
}

impl Guests {
    /// Enters a connection.
    pub(crate) fn enter(self: &Arc<Guests>, waits: Waits) -> Entry {
        let leave = Arc::new(Notify::new());
        let mut book = self.book();
        let number = book.next;
        book.next += 1;
        book.open.insert(number, Guest { waits, leave: leave.clone() });
        Entry { guests: self.clone(), number, leave }
    }

    /// Asks the oldest connection that waits for no answer to close; says whether there is one.
    pub(crate) fn make_room(&self) -> bool {
        let mut book = self.book();
        let idle =
            book.open.iter().find(|(_, guest)| guest.waits.is_idle()).map(|(number, _)| *number);
        let Some(guest) = idle.and_then(|number| book.open.remove(&number)) else { return false };
        guest.leave.notify_one();
        true
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Until another connection needs the slot.
    pub(crate) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.guests.book().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_that_waits_for_nothing_leaves() {
        let guests = Arc::new(Guests::default());
        let waits = [Waits::default(), Waits::default(), Waits::default()];
        let entries: Vec<Entry> = waits.iter().map(|waits| guests.enter(waits.clone())).collect();
        let waiting = waits[0].begin();
        assert!(guests.make_room());
        entries[1].asked_to_leave().await;
        assert!(guests.make_room() && !guests.make_room());
        entries[2].asked_to_leave().await;
        let writing = waits[0].work();
        drop(waiting);
        assert!(!guests.make_room());
        drop(writing);
        assert!(guests.make_room() && !guests.make_room());
    }
}
