//! States in memory: those that were used last, within a number of bytes.

use super::key::AdapterKey;
use super::pinned::AdapterState;
use std::collections::HashMap;

/// A version of an adapter. When the adapter was made is part of it: one of the same name may have been deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StateName {
    pub(super) key: AdapterKey,
    pub(super) created_ms: i64,
    pub(super) version: u32,
}

struct ResidentState {
    state: AdapterState,
    bytes: usize,
    used: u64,
}

/// Decoded states. What is not here is read again.
pub(super) struct ResidentStates {
    by_name: HashMap<StateName, ResidentState>,
    bytes: usize,
    most_bytes: usize,
    clock: u64,
}

impl ResidentStates {
    pub(super) fn new(most_bytes: usize) -> ResidentStates {
        ResidentStates { by_name: HashMap::new(), bytes: 0, most_bytes, clock: 0 }
    }

    /// How many there are, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.by_name.len(), self.bytes)
    }

    pub(super) fn find(&mut self, name: &StateName) -> Option<AdapterState> {
        self.clock += 1;
        let resident = self.by_name.get_mut(name)?;
        resident.used = self.clock;
        Some(resident.state.clone())
    }

    /// Takes a state in, whose bytes are those of its encoded form.
    pub(super) fn keep(&mut self, name: StateName, state: AdapterState, bytes: usize) {
        self.clock += 1;
        let used = self.clock;
        if let Some(before) = self.by_name.insert(name, ResidentState { state, bytes, used }) {
            self.bytes -= before.bytes;
        }
        self.bytes += bytes;
        self.trim();
    }

    /// Drops the states that were not used for longest, half of the room at a time, so that looking for them is rare.
    fn trim(&mut self) {
        if self.bytes <= self.most_bytes {
            return;
        }
        let mut used: Vec<(u64, usize)> =
            self.by_name.values().map(|resident| (resident.used, resident.bytes)).collect();
        used.sort_unstable_by(|a, b| b.cmp(a));
        let (mut room, mut oldest) = (self.most_bytes / 2, u64::MAX);
        for (used, bytes) in used {
            let Some(left) = room.checked_sub(bytes) else { break };
            (room, oldest) = (left, used);
        }
        self.by_name.retain(|_, resident| resident.used >= oldest);
        self.bytes = self.by_name.values().map(|resident| resident.bytes).sum();
    }

    pub(super) fn forget_where(&mut self, is_meant: impl Fn(&AdapterKey) -> bool) {
        self.by_name.retain(|name, _| !is_meant(&name.key));
        self.bytes = self.by_name.values().map(|resident| resident.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rosa::{RosaParams, RosaState};
    use std::sync::Arc;

    #[test]
    fn what_was_used_last_stays() {
        let state = RosaState::untaught(&RosaParams::default(), 4, [0; 32], 0).unwrap();
        let state = AdapterState::Rosa(Arc::new(state));
        let key = AdapterKey::new("o", "a").unwrap();
        let name = |version| StateName { key: key.clone(), created_ms: 0, version };
        let mut resident = ResidentStates::new(100);
        for version in 0..10 {
            resident.keep(name(version), state.clone(), 10);
        }
        assert_eq!(resident.size(), (10, 100));
        assert!(resident.find(&name(0)).is_some());
        resident.keep(name(10), state.clone(), 10);
        assert_eq!(resident.size(), (5, 50));
        assert!(resident.find(&name(0)).is_some() && resident.find(&name(10)).is_some());
        assert!(resident.find(&name(1)).is_none());
        // One that is larger than the room is not kept.
        resident.keep(name(11), state, 101);
        assert_eq!(resident.size(), (0, 0));
        resident.forget_where(|_| true);
        assert_eq!(resident.size(), (0, 0));
    }
}
