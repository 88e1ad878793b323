//! Groups of flags that several commands share, each written once: the clap struct, and what its flags come to together.

pub mod adapt;
pub mod answer;
pub mod model;
pub mod monitor;
pub mod sampling;
pub mod sites;
pub mod vectors;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// A parser of a closed list of words, which help and completions show.
pub fn words<W, T, const N: usize>(list: [(W, T); N]) -> impl TypedValueParser<Value = T>
where
    W: Into<PossibleValue>,
    T: Clone + Send + Sync + 'static,
{
    let list = list.map(|(word, value)| (word.into(), value));
    PossibleValuesParser::new(list.each_ref().map(|(word, _)| word.clone())).try_map(move |text| {
        let found = list.iter().find(|(word, _): &&(PossibleValue, T)| word.get_name() == text);
        found.map(|(_, value)| value.clone()).ok_or("no word of the list")
    })
}

/// What a word of the command line is, or what is wrong with it.
pub type Parsed<T> = Result<T, String>;

/// A vector and the name it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub id: String,
    pub path: PathBuf,
}

pub fn named(text: &str) -> Parsed<Named> {
    match text.split_once('=') {
        Some((id, path)) if !id.is_empty() && !path.is_empty() => {
            Ok(Named { id: id.to_owned(), path: PathBuf::from(path) })
        }
        _ => Err(format!("is {text:?}, expected ID=FILE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_names() {
        let Named { id, path } = named("calm=a/b=c.safetensors").unwrap();
        assert_eq!((id.as_str(), path), ("calm", PathBuf::from("a/b=c.safetensors")));
        for bad in ["calm", "=x", "calm=", ""] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
