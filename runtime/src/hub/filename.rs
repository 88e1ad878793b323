//! What the name of a GGUF file says: whether it is a model, and which part of a split set it is.

use std::path::{Path, PathBuf};

/// What a GGUF file's name ends with, in any case.
const EXTENSION: &str = ".gguf";

/// Whether a file name is a GGUF's.
pub(super) fn is_gguf_name(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// A GGUF one can open: no later part of a split one, no projector, no calibration matrix.
pub(super) fn is_model(name: &str) -> bool {
    let lower = name.to_lowercase();
    is_gguf_name(name)
        && !lower.contains("mmproj")
        && !lower.contains("imatrix")
        && SplitName::of(name).is_none_or(|split| split.part == 1)
}

/// The name of a file of a split set: `STEM-00002-of-00005.gguf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SplitName<'a> {
    stem: &'a str,
    extension: &'a str,
    /// The number of the file, from 1.
    pub(crate) part: u32,
    /// How many files there are.
    pub(crate) parts: u32,
}

impl<'a> SplitName<'a> {
    /// The parts of a name, if it is one of a split set.
    pub(crate) fn of(name: &'a str) -> Option<SplitName<'a>> {
        let (body, extension) = name.split_at_checked(name.len().checked_sub(EXTENSION.len())?)?;
        let (rest, parts) = body.rsplit_once("-of-")?;
        let (stem, part) = rest.rsplit_once('-')?;
        let (part, parts) = (number(part)?, number(parts)?);
        let is_one = is_gguf_name(name) && (1..=parts).contains(&part);
        is_one.then_some(SplitName { stem, extension, part, parts })
    }

    /// The name of another part.
    pub(crate) fn sibling(&self, part: u32) -> String {
        format!("{}-{part:05}-of-{:05}{}", self.stem, self.parts, self.extension)
    }
}

/// Exactly five digits, as every writer of split sets prints them.
fn number(digits: &str) -> Option<u32> {
    let plain = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// The names of all parts of a split GGUF, or the name itself.
pub(super) fn parts_of(name: &str) -> Vec<String> {
    match SplitName::of(name) {
        Some(split) => (1..=split.parts).map(|part| split.sibling(part)).collect(),
        None => vec![name.to_owned()],
    }
}

/// The files of a GGUF model: the file, or every part of the split set that its name is one of.
pub fn parts(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match SplitName::of(name) {
        Some(_) => parts_of(name).iter().map(|part| path.with_file_name(part)).collect(),
        None => vec![path.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_set_have_numbers_of_five_digits() {
        let split = SplitName::of("a/m-00002-of-00003.GGUF").unwrap();
        assert_eq!((split.part, split.parts), (2, 3));
        assert_eq!(split.sibling(1), "a/m-00001-of-00003.GGUF");
        let whole = ["a-of-b.gguf", "a-00003-of-00002.gguf", "a-1-of-2.gguf", "-of-.gguf", ".gguf"];
        for name in whole.into_iter().chain(["a-00000-of-00002.gguf", "a-00001-of-00002.bin", "ä"])
        {
            assert_eq!(parts_of(name), [name]);
        }
    }

    #[test]
    fn every_part_of_a_split_file_is_one_of_its_files() {
        let set = ["d/m-00001-of-00002.gguf", "d/m-00002-of-00002.gguf"].map(PathBuf::from);
        assert_eq!(parts(&set[0]), set);
        assert_eq!(parts(&set[1]), set);
        assert_eq!(parts(Path::new("d/other.gguf")), [PathBuf::from("d/other.gguf")]);
    }
}
