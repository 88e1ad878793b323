//! The random numbers of tests: SplitMix64 (Steele, Lea and Flood 2014).

/// A generator of numbers in [0, 1) that is a function of its seed and position, and can be cloned.
pub(crate) fn generator(seed: u64) -> impl FnMut() -> f64 + Clone {
    let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95);
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Whether two numbers agree to a share of the larger one, or both are tiny.
pub(crate) fn agree(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * found.abs().max(expected.abs()).max(1e-6)
}
