//! Where caches lie: the only file of the library that reads the environment.
//!
//! The Hugging Face variables keep their ordinary meaning, so files that other programs fetched
//! are found. Address and token of the hub are read here too.

use std::ffi::OsString;
use std::path::PathBuf;

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Sources on the network are tried after the caches.
    #[default]
    Online,
    /// Only the caches are looked into.
    Offline,
}

/// The folders a resolver works in, and whether the environment asks to stay offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Our own cache of models, one folder per sha256.
    pub models: PathBuf,
    /// The Hugging Face hub cache.
    pub hub: PathBuf,
    /// `Offline` where `HF_HUB_OFFLINE` is set.
    pub reach: Reach,
}

/// How the hub is asked. It has no `Debug`: a token is not for a log.
#[derive(Clone)]
pub(super) struct Account {
    /// Where the hub is, without a slash at its end.
    pub endpoint: String,
    /// What a private or gated repository asks for.
    pub token: Option<String>,
}

impl Account {
    /// Reads `HF_ENDPOINT`, `HF_TOKEN` and the file that the Python client leaves a token in.
    pub(super) fn from_env() -> Self {
        #[allow(clippy::disallowed_methods)] // this file is the one place that may read it
        Self::from_lookup(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        let var = |name: &str| lookup(name).filter(|v| !v.is_empty());
        let text = |name: &str| var(name).map(|v| v.to_string_lossy().trim().to_owned());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let file = var("HF_TOKEN_PATH").map(PathBuf::from).unwrap_or_else(|| {
            let cache = cache(&var, home).join("huggingface");
            var("HF_HOME").map_or(cache, PathBuf::from).join("token")
        });
        let implicit = !text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|v| is_true(&v));
        // A token file that is not there or cannot be read is no token.
        let saved = || std::fs::read_to_string(file).ok().map(|token| token.trim().to_owned());
        let token = || text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(saved);
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: implicit.then(token).flatten().filter(|token| !token.is_empty()),
        }
    }
}

/// The folder of caches.
fn cache(var: &impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> PathBuf {
    var("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home.unwrap_or_else(std::env::temp_dir).join(".cache"))
}

impl Dirs {
    /// Reads the environment.
    #[must_use]
    pub fn from_env() -> Self {
        #[allow(clippy::disallowed_methods)] // this file is the one place that may read it
        Self::from_lookup(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        // An empty variable counts as unset, as the XDG base directory specification asks.
        let var = |name: &str| lookup(name).filter(|v| !v.is_empty());
        let path = |name: &str| var(name).map(PathBuf::from);
        let cache = cache(&var, home);
        let hub = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| path("HF_HOME").map(|p| p.join("hub")))
            .unwrap_or_else(|| cache.join("huggingface").join("hub"));
        let offline = var("HF_HUB_OFFLINE").is_some_and(|v| is_true(&v.to_string_lossy()));
        Self {
            models: cache.join("trimtab").join("models"),
            hub,
            reach: if offline { Reach::Offline } else { Reach::Online },
        }
    }
}

/// The spellings of true that the Python client accepts.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|t| value.eq_ignore_ascii_case(t))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(vars: &[(&str, &str)]) -> Dirs {
        let lookup =
            |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Dirs::from_lookup(lookup, Some("/home/ada".into()))
    }

    #[test]
    fn folders_follow_the_variables_in_their_order() {
        let plain = dirs(&[]);
        assert_eq!(plain.models, PathBuf::from("/home/ada/.cache/trimtab/models"));
        assert_eq!(plain.hub, PathBuf::from("/home/ada/.cache/huggingface/hub"));
        let xdg = dirs(&[("XDG_CACHE_HOME", "/c")]);
        assert_eq!(xdg.models, PathBuf::from("/c/trimtab/models"));
        assert_eq!(xdg.hub, PathBuf::from("/c/huggingface/hub"));
        assert_eq!(dirs(&[("XDG_CACHE_HOME", "relative")]), plain);
        assert_eq!(dirs(&[("XDG_CACHE_HOME", "")]), plain);
        let home = [("XDG_CACHE_HOME", "/c"), ("HF_HOME", "/h")];
        assert_eq!(dirs(&home).hub, PathBuf::from("/h/hub"));
        let cache = [("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")];
        assert_eq!(dirs(&cache).hub, PathBuf::from("/x"));
    }

    #[test]
    fn the_account_follows_the_variables() {
        let account = |vars: &[(&str, &str)]| {
            let lookup =
                |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            Account::from_lookup(lookup, Some("/home/ada/none".into()))
        };
        let plain = account(&[]);
        assert_eq!((plain.endpoint.as_str(), plain.token), ("https://huggingface.co", None));
        let file = std::env::temp_dir().join(format!("trimtab-token-{}", std::process::id()));
        std::fs::write(&file, "saved\n").unwrap();
        let saved = ("HF_TOKEN_PATH", file.to_str().unwrap());
        let set = [("HF_ENDPOINT", "http://mirror/"), ("HF_TOKEN", "told"), saved];
        assert_eq!(account(&set).endpoint, "http://mirror");
        assert_eq!(account(&set).token.as_deref(), Some("told"));
        assert_eq!(account(&[saved]).token.as_deref(), Some("saved"));
        let off = ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
        assert_eq!(account(&[off, saved]).token, None);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn only_true_words_turn_the_network_off() {
        for word in ["1", "ON", "yes", "True"] {
            assert_eq!(dirs(&[("HF_HUB_OFFLINE", word)]).reach, Reach::Offline, "{word}");
        }
        for word in ["", "0", "false", "no", "2"] {
            assert_eq!(dirs(&[("HF_HUB_OFFLINE", word)]).reach, Reach::Online, "{word}");
        }
    }
}
