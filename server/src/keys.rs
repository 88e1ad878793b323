//! Keys, and the caller that a request's key stands for.

use crate::refusal::Refusal;
use crate::settings::{Key, Role};
use crate::wire::error::Code;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use std::fmt;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key's label; what is kept for a user is kept under it.
    pub(crate) label: Arc<str>,
    /// What the key may do.
    pub(crate) role: Role,
}

/// Whom a server without keys serves.
const NOBODY: &str = "local";

impl Caller {
    /// A number for the engine, which gives every owner their turn.
    pub(crate) fn owner(&self) -> u64 {
        Fingerprint::builder("trimtab.owner").text(&self.label).finish().to_u64()
    }
}

/// All keys, as digests.
#[derive(Clone)]
pub(crate) struct Keys(Vec<(Fingerprint, Caller)>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn digest(key: &str) -> Fingerprint {
    Fingerprint::builder("trimtab.key").text(key).finish()
}

/// Whether two digests are equal, in a time that does not depend on them.
fn same(a: &Fingerprint, b: &Fingerprint) -> bool {
    let pairs = a.as_bytes().iter().zip(b.as_bytes());
    black_box(pairs.fold(0, |differ, (x, y)| black_box(differ | (x ^ y)))) == 0
}

impl Keys {
    pub(crate) fn new(keys: &[Key]) -> Keys {
        let caller = |key: &Key| Caller { label: key.label.as_str().into(), role: key.role };
        Keys(keys.iter().map(|key| (digest(key.secret.text()), caller(key))).collect())
    }

    /// Whose key this is. Every key is looked at, whichever it is.
    fn find(&self, key: &str) -> Option<Caller> {
        let given = digest(key);
        let found = self.0.iter().enumerate().fold(0, |found, (index, (digest, _))| {
            black_box(found | (usize::from(same(&given, digest)) * (index + 1)))
        });
        self.0.get(found.checked_sub(1)?).map(|(_, caller)| caller.clone())
    }

    /// Who asks with these headers. Without keys, whoever calls this machine by a name of its own: a page that has made
    /// its name mean this machine must not get in.
    pub(crate) fn caller(&self, headers: &HeaderMap, hosts: Hosts) -> Result<Caller, Refusal> {
        if self.0.is_empty() {
            if hosts == Hosts::Own && !is_own(headers) {
                let what = "host is no name of this machine; set a key, or --insecure-no-auth";
                return Err(Refusal::new(Code::InvalidApiKey, what));
            }
            return Ok(Caller { label: NOBODY.into(), role: Role::User });
        }
        let refused = |what| Refusal::new(Code::InvalidApiKey, what);
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Err(refused("key is missing; send authorization: Bearer KEY"));
        };
        let key = value.to_str().ok().and_then(bearer);
        let key = key.ok_or_else(|| refused("authorization is not Bearer KEY"))?;
        self.find(key).ok_or_else(|| refused("key is not known"))
    }
}

/// By which names a server without keys may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Addresses, and `localhost`.
    Own,
    /// Any.
    Any,
}

/// Whether a request calls the server by an address, by `localhost`, or not at all.
fn is_own(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).map(|host| host.to_str().unwrap_or("?")) else {
        return true;
    };
    let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let bare = bare.map_or(host, |(bare, _)| bare).trim_matches(['[', ']']);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// The key of an authorization header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn label(keys: &Keys, value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        keys.caller(&headers, Hosts::Own).ok().map(|caller| caller.label.to_string())
    }

    #[test]
    fn a_key_is_found_wherever_it_is_and_case_counts() {
        let keys =
            Keys::new(&[Key::user("a", "one"), Key::admin("b", "two"), Key::user("c", "six")]);
        for (value, who) in [("Bearer one", "a"), ("bearer two", "b"), ("Bearer  six", "c")] {
            assert_eq!(label(&keys, value).as_deref(), Some(who), "{value}");
        }
        for value in ["Bearer One", "Bearer ", "Bearer", "one", "Basic one", "Bearer one two", ""] {
            assert_eq!(label(&keys, value), None, "{value}");
        }
        assert!(keys.caller(&HeaderMap::new(), Hosts::Own).is_err());
        assert_eq!(format!("{keys:?}"), "***");
    }

    #[test]
    fn without_keys_everybody_is_one_user() {
        let caller = Keys::new(&[]).caller(&HeaderMap::new(), Hosts::Own).unwrap();
        assert_eq!((&*caller.label, caller.role), (NOBODY, Role::User));
    }

    #[test]
    fn a_keyless_server_answers_to_its_own_names_only() {
        let host = |name: &str| HeaderMap::from_iter([(HOST, name.parse().unwrap())]);
        let keys = Keys::new(&[]);
        for own in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]", "10.0.0.1"]
        {
            assert!(keys.caller(&host(own), Hosts::Own).is_ok(), "{own}");
        }
        for strange in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.x"]
        {
            assert!(keys.caller(&host(strange), Hosts::Own).is_err(), "{strange}");
            assert!(keys.caller(&host(strange), Hosts::Any).is_ok(), "{strange}");
        }
    }
}
