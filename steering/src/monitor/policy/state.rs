//! A judged state: one value per principle.

/// Safety, altruism, egoism: each 1 satisfied, 0 undecided, −1 violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State(pub [i8; 3]);
