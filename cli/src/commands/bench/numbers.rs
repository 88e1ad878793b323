//! Numbers in no order, the same in every run: what they are does not matter to the clock.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Numbers {
    state: u64,
}

impl Numbers {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Numbers {
        // Small seeds must not give streams that begin alike.
        Numbers { state: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// The next one, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX congruence; its high bits are the good ones.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let take = |seed| {
            let mut numbers = Numbers::new(seed);
            (0..8).map(|_| numbers.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        assert!(take(0).iter().collect::<std::collections::HashSet<_>>().len() > 6);
    }
}
