//! An allocator that remembers the largest request of each thread.

#![allow(unsafe_code)] // the trait is unsafe; every call goes to the system's allocator unchanged

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// The largest allocation of this thread since it was last set to zero.
    pub(crate) static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator with a counter in front.
pub(crate) struct Counting;

impl Counting {
    fn count(size: usize) {
        // An error means that the thread is ending, when there is nothing left to count.
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    }
}

// SAFETY: each method passes its arguments on to `System`, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as for `alloc`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: as for `alloc`; `old` came from `System`, because every block does.
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size);
        unsafe { System.realloc(old, layout, size) }
    }

    // SAFETY: as for `realloc`.
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}
