//! How much a host keeps, and what goes on in it.

use crate::tpop::FASTEST_CHOICE_MS;

/// Limits of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Adapters of one owner.
    pub adapters: usize,
    /// Bytes of states that are kept in memory; others are read when they are needed.
    pub resident_bytes: usize,
    /// Bytes of recordings that are kept until answers are judged; the oldest go first.
    pub recorded_bytes: usize,
    /// How long a recording is kept.
    pub recorded_ms: u64,
    /// Lessons that may wait, and of one owner.
    pub waiting: [usize; 2],
    /// How long a duel may be decided.
    pub duel_ms: u64,
    /// A choice that comes sooner after its duel was shown teaches nothing; 0 where programs choose.
    pub fastest_choice_ms: u64,
}

impl Default for HostLimits {
    fn default() -> Self {
        HostLimits {
            adapters: 1000,
            resident_bytes: 256 << 20,
            recorded_bytes: 256 << 20,
            recorded_ms: 600_000,
            waiting: [256, 16],
            duel_ms: 86_400_000,
            fastest_choice_ms: FASTEST_CHOICE_MS,
        }
    }
}

/// What is going on in a host, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostLoad {
    /// Lessons that wait or are being taught.
    pub waiting: usize,
    /// States in memory.
    pub resident: usize,
    /// Their bytes.
    pub resident_bytes: usize,
    /// Bytes of recordings.
    pub recorded_bytes: usize,
}
