//! The quantile that turns a mean of few windows into an interval.

/// Exact values for the first degrees of freedom, where the expansion is too short.
const FEW: [f64; 9] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004,
    2.262_157,
];

/// The 97.5 % quantile of Student's t: half the width of a 95 % interval, in standard errors.
///
/// Beyond nine degrees of freedom by the Cornish–Fisher expansion around the normal quantile (Abramowitz and Stegun,
/// 26.7.5). Infinite without a degree of freedom.
pub(crate) fn half_width(freedom: usize) -> f64 {
    let Some(before) = freedom.checked_sub(1) else {
        return f64::INFINITY;
    };
    if let Some(exact) = FEW.get(before) {
        return *exact;
    }
    let (z, n) = (1.959_963_984_540_054_f64, freedom as f64);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / n + second / n.powi(2) + third / n.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // scipy.stats.t.ppf(0.975, n)
        let table = [
            (1, 12.7062047),
            (4, 2.7764451),
            (9, 2.2621572),
            (10, 2.2281389),
            (22, 2.0738731),
            (30, 2.0422725),
            (1000, 1.9623391),
        ];
        for (freedom, expected) in table {
            assert!((half_width(freedom) - expected).abs() < 5e-4, "{freedom}");
        }
        assert!(half_width(0).is_infinite());
    }
}
