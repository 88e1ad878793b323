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
pub(crate) struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Connection>,
}

/// One open connection, as the accept loop sees it.
struct Connection {
    waits: Waits,
    leave: Arc<Notify>,
}

/// A connection's own entry, until it is dropped.
pub(crate) struct Entry {
    connections: Arc<Connections>,
    number: u64,
    leave: Arc<Notify>,
}

impl Connections {
    /// Enters a connection.
    pub(crate) fn enter(self: &Arc<Connections>, waits: Waits) -> Entry {
        let leave = Arc::new(Notify::new());
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Connection { waits, leave: leave.clone() });
        Entry { connections: self.clone(), number, leave }
    }

    /// Asks the oldest connection that waits for no answer to close; says whether there is one.
    pub(crate) fn make_room(&self) -> bool {
        let mut open = self.lock();
        let idle = open
            .by_number
            .iter()
            .find(|(_, connection)| connection.waits.is_idle())
            .map(|(number, _)| *number);
        let Some(connection) = idle.and_then(|number| open.by_number.remove(&number)) else {
            return false;
        };
        connection.leave.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
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
        self.connections.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_that_waits_for_nothing_leaves() {
        let connections = Arc::new(Connections::default());
        let waits = [Waits::default(), Waits::default(), Waits::default()];
        let entries: Vec<Entry> =
            waits.iter().map(|waits| connections.enter(waits.clone())).collect();
        let waiting = waits[0].begin();
        assert!(connections.make_room());
        entries[1].asked_to_leave().await;
        assert!(connections.make_room() && !connections.make_room());
        entries[2].asked_to_leave().await;
        let writing = waits[0].work();
        drop(waiting);
        assert!(!connections.make_room());
        drop(writing);
        assert!(connections.make_room() && !connections.make_room());
    }
}
