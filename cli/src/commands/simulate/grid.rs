//! Settings in all combinations of the lists that were asked for.

use serde::Serialize;
use serde_json::{Value, json};

/// The values of the keys that vary, by name.
pub type Varied = Vec<(&'static str, Value)>;

/// One combination.
#[derive(Debug, Clone)]
pub struct Setting<S> {
    pub value: S,
    pub varied: Varied,
}

/// Combinations, of one at first.
#[derive(Debug, Clone)]
pub struct Grid<S>(pub Vec<Setting<S>>);

impl<S: Clone> Grid<S> {
    pub fn of(value: S) -> Grid<S> {
        Grid(vec![Setting { value, varied: Vec::new() }])
    }

    /// Every combination so far with each of these values. A key with one value is not said to vary.
    pub fn by<V: Copy + Serialize>(
        self,
        name: &'static str,
        values: &[V],
        set: impl Fn(&mut S, V),
    ) -> Grid<S> {
        let with = |setting: &Setting<S>, value: V| {
            let mut setting = setting.clone();
            set(&mut setting.value, value);
            if values.len() > 1 {
                setting.varied.push((name, json!(value)));
            }
            setting
        };
        let all =
            self.0.iter().flat_map(|setting| values.iter().map(|value| with(setting, *value)));
        Grid(all.collect())
    }
}

/// Combinations in words, such as `flips 0.1, head mlp`.
pub fn label(varied: &Varied) -> String {
    let word = |(name, value): &(&str, Value)| match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    };
    varied.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_combined_and_single_values_have_no_name() {
        let grid = Grid::of((0.0, 0, ""))
            .by("flips", &[0.1, 0.2], |s, v| s.0 = v)
            .by("rounds", &[7], |s, v| s.1 = v)
            .by("head", &["linear", "mlp"], |s, v| s.2 = v);
        let found: Vec<_> = grid.0.iter().map(|s| (s.value, label(&s.varied))).collect();
        let expected = [
            ((0.1, 7, "linear"), "flips 0.1, head linear"),
            ((0.1, 7, "mlp"), "flips 0.1, head mlp"),
            ((0.2, 7, "linear"), "flips 0.2, head linear"),
            ((0.2, 7, "mlp"), "flips 0.2, head mlp"),
        ];
        assert_eq!(found, expected.map(|(value, text)| (value, text.to_owned())));
    }
}
