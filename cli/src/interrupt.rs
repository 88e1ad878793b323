//! Ctrl-C: the first stops what is running, the second, or the first while nothing is, ends the program.

use std::sync::atomic::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const STOPPING: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(IDLE);

/// Takes Ctrl-C over. Where the system does not allow it, Ctrl-C ends the program as it always did.
pub fn install() {
    // A second handler is the only other failure, and this is called once.
    ctrlc::set_handler(|| {
        let first = STATE.compare_exchange(RUNNING, STOPPING, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_err() {
            std::process::exit(130);
        }
    })
    .ok();
}

/// Something that the first Ctrl-C stops, for as long as this lives.
pub struct Stoppable;

impl Stoppable {
    pub fn begin() -> Stoppable {
        STATE.store(RUNNING, Ordering::SeqCst);
        Stoppable
    }

    /// Stops it from here, as the first Ctrl-C does; says whether that had been said before.
    pub fn stop() -> bool {
        STATE.swap(STOPPING, Ordering::SeqCst) == STOPPING
    }

    /// Whether it should stop.
    pub fn is_stopping(&self) -> bool {
        STATE.load(Ordering::SeqCst) == STOPPING
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        STATE.store(IDLE, Ordering::SeqCst);
    }
}
