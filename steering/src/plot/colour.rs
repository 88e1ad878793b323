//! Colours of values: lightness rises or falls evenly, so that a print without hue still reads.

use plotters::prelude::RGBColor;
use std::ops::Range;

/// Values of one sign: from dark blue over green to yellow, lightness rising (five colours of viridis).
const RISING: [RGBColor; 5] = [
    RGBColor(68, 1, 84),
    RGBColor(59, 82, 139),
    RGBColor(33, 145, 140),
    RGBColor(94, 201, 98),
    RGBColor(253, 231, 37),
];
/// Values of both signs: orange below 0, white at 0, blue above (five colours of PuOr's kind, safe for the colour-blind).
const DIVIDED: [RGBColor; 5] = [
    RGBColor(179, 88, 6),
    RGBColor(241, 182, 110),
    RGBColor(247, 247, 247),
    RGBColor(128, 166, 210),
    RGBColor(33, 74, 140),
];

/// From values to colours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    colours: [RGBColor; 5],
    /// The values of the first and the last colour.
    pub(super) range: Range<f64>,
}

impl Scale {
    /// A scale for values from `low` to `high`; around 0 where they have both signs.
    pub(super) fn of(low: f64, high: f64) -> Scale {
        if low < 0.0 && high > 0.0 {
            let most = high.max(-low);
            return Scale { colours: DIVIDED, range: -most..most };
        }
        let high = if high > low { high } else { low + 1.0 };
        Scale { colours: RISING, range: low..high }
    }

    pub(super) fn colour(&self, value: f64) -> RGBColor {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        let place = share.clamp(0.0, 1.0) * (self.colours.len() - 1) as f64;
        let at = |i: f64| self.colours.get(i as usize).copied().unwrap_or(RGBColor(0, 0, 0));
        let (below, above) = (at(place.floor()), at(place.ceil()));
        let mix = |a: u8, b: u8| {
            (f64::from(a) + (f64::from(b) - f64::from(a)) * place.fract()).round() as u8
        };
        RGBColor(mix(below.0, above.0), mix(below.1, above.1), mix(below.2, above.2))
    }
}

/// How light a colour is, from 0 to 255 (ITU-R BT.601).
pub(super) fn lightness(colour: RGBColor) -> f64 {
    0.299 * f64::from(colour.0) + 0.587 * f64::from(colour.1) + 0.114 * f64::from(colour.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightness_rises_with_values_of_one_sign_and_with_the_nearness_of_0() {
        let one = Scale::of(2.0, 6.0);
        let steps: Vec<f64> =
            (0..=40).map(|i| lightness(one.colour(2.0 + 0.1 * f64::from(i)))).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        let both = Scale::of(-1.0, 4.0);
        assert_eq!(both.range, -4.0..4.0);
        let far = |value: f64| lightness(both.colour(value));
        assert!(far(0.0) > far(1.0) && far(1.0) > far(4.0));
        assert!(far(0.0) > far(-1.0) && far(-1.0) > far(-4.0));
        assert_eq!(both.colour(99.0), both.colour(4.0));
        // A single value has a colour too.
        assert_eq!(Scale::of(3.0, 3.0).colour(3.0), RISING[0]);
    }
}
