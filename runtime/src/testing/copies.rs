//! Counts device-to-host copies of the current thread, because a step may make one.

use std::cell::Cell;

thread_local! {
    static COPIES: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn count_one() {
    COPIES.set(COPIES.get() + 1);
}

/// Copies made by this thread so far.
pub fn so_far() -> u64 {
    COPIES.get()
}
