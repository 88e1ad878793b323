//! Threads that wait for kernels.
//!
//! A decode step is some 150 products of microseconds each, so starting work must cost less than a microsecond:
//! workers spin for a while before they sleep, tasks are claimed by one compare-and-swap, and the caller works too.
//! It never waits for a worker that has claimed nothing, so a worker the system has not scheduled costs nothing.
//! A second caller while the pool is busy does its tasks alone.
#![allow(unsafe_code)] // a borrowed closure crosses threads; the argument is at `Job`

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;

/// How often a worker looks for work before it sleeps: some 50 µs.
const SPINS: u32 = if cfg!(miri) { 50 } else { 20_000 };
/// Bits of a claim word for the number of tasks and for the next one; the rest count jobs.
const COUNT_BITS: u32 = 16;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// The most threads that are started. Thousands that spin leave the machine none to work on.
pub(crate) const MOST_THREADS: usize = 1024;

/// The most tasks of one job.
pub(crate) const MOST_TASKS: usize = COUNT_MASK as usize;

static WANTED: AtomicUsize = AtomicUsize::new(0);
static POOL: OnceLock<Pool> = OnceLock::new();

/// Sets the number of threads, the caller's included; `false` if kernels have already run with another number.
pub(crate) fn set_threads(n: usize) -> bool {
    WANTED.store(n, Ordering::Relaxed);
    global().threads() == n
}

/// The pool every kernel uses.
pub(crate) fn global() -> &'static Pool {
    POOL.get_or_init(|| {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = WANTED.load(Ordering::Relaxed);
        Pool::new(if wanted == 0 { cores() } else { wanted })
    })
}

/// Persistent workers for one job at a time.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Thread>,
    /// Held by the caller whose job runs.
    busy: Mutex<()>,
}

struct Shared {
    /// Job number, number of tasks and next task in one word: a claim is valid only for the job it was made for.
    claim: AtomicU64,
    /// A [`Job`].
    job: AtomicPtr<()>,
    finished: AtomicUsize,
    sleepers: AtomicUsize,
    panicked: AtomicBool,
}

/// The closure of the running job.
///
/// SAFETY: the address is of a `Job` on the stack of `run`, which returns only when `finished` counts every task. A
/// worker reads it only after it has claimed a task of this job, and the task is counted after its last use.
struct Job<'a>(&'a (dyn Fn(usize) + Sync));

impl Pool {
    fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            claim: AtomicU64::new(0),
            job: AtomicPtr::default(),
            finished: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        });
        let spawn = |i: usize| {
            let shared = shared.clone();
            let name = format!("trimtab-kernel-{i}");
            let started = std::thread::Builder::new().name(name).spawn(move || shared.work());
            // A machine that gives no more threads still computes, with fewer.
            started.ok().map(|handle| handle.thread().clone())
        };
        let workers = (1..threads.max(1)).filter_map(spawn).collect();
        Pool { shared, workers, busy: Mutex::new(()) }
    }

    /// Threads that work on a job, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` for 0..`tasks`, in any order and on any thread; returns when all are done.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let alone = tasks <= 1 || tasks > MOST_TASKS || self.workers.is_empty();
        let Some(guard) = self.busy.try_lock().ok().filter(|_| !alone) else {
            (0..tasks).for_each(task);
            return;
        };
        let job = Job(task);
        let shared = &self.shared;
        shared.job.store(std::ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
        shared.finished.store(0, Ordering::Relaxed);
        let number = (shared.claim.load(Ordering::Relaxed) >> (2 * COUNT_BITS)).wrapping_add(1);
        let claim = number << (2 * COUNT_BITS) | (tasks as u64) << COUNT_BITS;
        shared.claim.store(claim, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            self.workers.iter().for_each(Thread::unpark);
        }
        while shared.claim_and_run() {}
        let mut spins = 0u32;
        while shared.finished.load(Ordering::Acquire) < tasks {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        // Before unwinding: a poisoned lock would leave every later job to its caller alone.
        drop(guard);
        if panicked {
            resume_unwind(Box::new("a kernel task panicked"));
        }
    }
}

impl Shared {
    /// Runs one task if there is one.
    fn claim_and_run(&self) -> bool {
        let word = self.claim.load(Ordering::Acquire);
        let (tasks, next) = (word >> COUNT_BITS & COUNT_MASK, word & COUNT_MASK);
        if next >= tasks {
            return false;
        }
        let claimed =
            self.claim.compare_exchange(word, word + 1, Ordering::AcqRel, Ordering::Relaxed);
        if claimed.is_ok() {
            let job = self.job.load(Ordering::Relaxed).cast::<Job<'_>>();
            // SAFETY: a task of this job is claimed and not yet counted, so its `Job` is alive (see there).
            let task = unsafe { (*job).0 };
            if catch_unwind(AssertUnwindSafe(|| task(next as usize))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.finished.fetch_add(1, Ordering::Release);
        }
        true
    }

    fn work(&self) {
        loop {
            let mut spins = 0;
            while spins < SPINS {
                if self.claim_and_run() {
                    spins = 0
                } else {
                    spins += 1
                }
                std::hint::spin_loop();
            }
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let word = self.claim.load(Ordering::SeqCst);
            // A job that came between the last look and this line has not seen this sleeper.
            if word & COUNT_MASK >= word >> COUNT_BITS & COUNT_MASK {
                std::thread::park();
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A slice that several tasks write, each its own part.
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `part`, whose callers promise that parts do not overlap.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn of(slice: &'a mut [T]) -> Self {
        Parts { start: slice.as_mut_ptr(), len: slice.len(), slice: std::marker::PhantomData }
    }

    /// `len` values from `from` on.
    ///
    /// # Panics
    /// If they are not all inside the slice.
    ///
    /// # Safety
    /// No two parts that are alive at the same time may overlap.
    #[allow(clippy::mut_from_ref)] // the point of the type: the caller promises that parts are disjoint
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &mut [T] {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.len), "part outside its slice");
        // SAFETY: the range was just checked to lie in the slice, which is borrowed mutably for 'a; that no other
        // part overlaps it is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether every task of many jobs of many sizes ran exactly once.
    fn each_once(pool: &Pool, caller: usize) -> bool {
        (0..if cfg!(miri) { 5 } else { 500 }).all(|round| {
            let tasks = (caller * 7 + round) % 50;
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(tasks, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            counts.iter().all(|c| c.load(Ordering::Relaxed) == 1)
        })
    }

    #[test]
    fn every_task_runs_once_from_many_callers() {
        let pool = &Pool::new(4);
        std::thread::scope(|scope| {
            let callers: Vec<_> =
                (0..4).map(|caller| scope.spawn(move || each_once(pool, caller))).collect();
            assert!(callers.into_iter().all(|c| c.join().unwrap()));
        });
    }

    #[test]
    fn a_sleeping_pool_wakes_and_a_panic_comes_back() {
        let pool = Pool::new(2);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut values = vec![0u32; 100];
        let parts = Parts::of(&mut values);
        // SAFETY: every task has its own element.
        pool.run(100, &|i| unsafe { parts.part(i, 1)[0] = i as u32 });
        assert!(values.iter().enumerate().all(|(i, v)| *v == i as u32));
        let caught = catch_unwind(AssertUnwindSafe(|| pool.run(3, &|i| assert!(i != 1))));
        assert!(caught.is_err());
        let parts = Parts::of(&mut values);
        for (from, len) in [(100, 1), (1, 100), (usize::MAX, 2)] {
            // SAFETY: no other part is alive.
            let outside = || unsafe { parts.part(from, len).len() };
            assert!(catch_unwind(AssertUnwindSafe(outside)).is_err());
        }
        assert!(pool.busy.try_lock().is_ok(), "a panic must not leave the pool locked");
    }
}
