//! How a fetch reports what it is doing.
//!
//! The library draws nothing: a caller passes a sink, and the command line turns it into a bar.

/// Receives the stages of a fetch.
///
/// # Contract
///
/// Stages do not nest: every `begin` is followed by any number of `advance` and one `end`, also
/// when the stage fails. Calls come from the thread that called the resolver.
///
/// ```
/// use std::cell::Cell;
/// use trimtab_runtime::hub::Progress;
///
/// #[derive(Default)]
/// struct Count(Cell<u64>);
/// impl Progress for Count {
///     fn begin(&self, _stage: &str, _total_bytes: Option<u64>) {}
///     fn advance(&self, bytes: u64) {
///         self.0.set(self.0.get() + bytes);
///     }
///     fn end(&self) {}
/// }
/// let count = Count::default();
/// count.advance(3);
/// assert_eq!(count.0.get(), 3);
/// ```
pub trait Progress {
    /// A stage starts, with the bytes it will move where they are known.
    fn begin(&self, stage: &str, total_bytes: Option<u64>);
    /// That many bytes more are done.
    fn advance(&self, bytes: u64);
    /// The stage is over.
    fn end(&self);
}

/// A sink that shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total_bytes: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
}

/// One running stage; ends when dropped, so that an early return cannot leave a bar behind.
pub(super) struct Stage<'a> {
    sink: &'a dyn Progress,
    done: u64,
}

impl<'a> Stage<'a> {
    pub(super) fn begin(sink: &'a dyn Progress, stage: &str, total_bytes: Option<u64>) -> Self {
        sink.begin(stage, total_bytes);
        Self { sink, done: 0 }
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        self.sink.advance(bytes);
    }

    /// Reports a running total; one that shrinks (a restarted transfer) moves nothing.
    pub(super) fn reach(&mut self, total: u64) {
        if total > self.done {
            self.advance(total - self.done);
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.sink.end();
    }
}
