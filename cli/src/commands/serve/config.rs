//! What `serve` is to do.

use super::args::ServeArgs;
use crate::args::environment::state_folder;
use crate::document::{GIT, VERSION, Version};
use crate::error::{Error, Result};
use crate::flags::model::{self, Opening, PoolSize, variables};
use crate::flags::{Named, named};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use trimtab_runtime::engine::EngineOptions;
use trimtab_runtime::site::Site;
use trimtab_server::settings::{self, Build, Key, Params};

/// A server.
#[derive(Debug, PartialEq)]
pub struct Serve {
    /// The model.
    pub opening: Opening,
    /// What the server is told; keys of a file are not in it yet.
    pub params: Params,
    /// A file with keys.
    pub key_file: Option<PathBuf>,
    /// How answers share the device.
    pub engine: EngineOptions,
    /// Vectors that requests may name.
    pub vectors: Vec<Named>,
    /// Where vectors may come from.
    pub sources: Sources,
    /// A file with presets and the default.
    pub presets: Option<PathBuf>,
    /// Where state is kept.
    pub state: State,
    /// Whether the traces of all answers are kept.
    pub traces: bool,
    /// Whether what monitors take back is kept in words.
    pub audit_text: bool,
    /// Policies to judge under, by name or file.
    pub policies: Vec<String>,
}

/// Where vectors may come from while the server runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sources {
    /// The folder.
    pub root: Option<PathBuf>,
    /// Whether requests may name files in it.
    pub by_request: bool,
    /// Whether requests may bring vectors of their own.
    pub inline: bool,
    /// The largest file.
    pub upload: usize,
    /// The limit of all pushes at a site.
    pub dose: f64,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nowhere.
    None,
    /// Where states are usually kept.
    Usual,
    /// In this folder.
    Folder(PathBuf),
}

pub fn serve(args: ServeArgs) -> Result<Serve> {
    together(&args)?;
    let params = params(&args)?;
    let mut opening = Opening::of(args.model)?;
    opening.variables = variables(args.template)?;
    if opening.pool == PoolSize::Usual {
        opening.pool = PoolSize::Sequences(args.parallel.max(1));
    }
    if args.parallel == 0 {
        return Err(Error::usage("--parallel", "is 0, at least 1 is needed"));
    }
    if !(args.dose_limit > 0.0 && args.dose_limit <= 8.0) {
        let problem = format!("is {}, expected above 0, at most 8", args.dose_limit);
        return Err(Error::usage("--dose-limit", problem));
    }
    Ok(Serve {
        engine: EngineOptions {
            parallel: args.parallel,
            queue: args.max_queue,
            chunk: opening.chunk,
        },
        opening,
        params,
        key_file: args.api_key_file,
        vectors: args.vector.iter().map(|text| named(text)).collect::<Result<_>>()?,
        sources: Sources {
            root: args.vector_root,
            by_request: args.allow_source,
            inline: args.allow_inline,
            upload: bytes("--max-upload", &args.max_upload)?,
            dose: args.dose_limit,
        },
        presets: args.presets,
        state: match args.state_dir {
            Some(folder) => State::Folder(folder),
            None => {
                if args.no_state {
                    State::None
                } else {
                    State::Usual
                }
            }
        },
        traces: args.store_traces,
        audit_text: args.audit_text,
        policies: args.policy,
    })
}

/// The folder of a server's state, if it keeps any.
pub fn folder(state: &State) -> Result<Option<PathBuf>> {
    match state {
        State::None => Ok(None),
        State::Folder(folder) => folder_of_state(Some(folder)).map(Some),
        State::Usual => folder_of_state(None).map(Some),
    }
}

/// The folder that was named, or the usual one.
pub fn folder_of_state(named: Option<&PathBuf>) -> Result<PathBuf> {
    let missing = "is missing and there is no home folder";
    named.cloned().or_else(state_folder).ok_or_else(|| Error::usage("--state-dir", missing))
}

/// Refuses flags that are of no use together.
fn together(args: &ServeArgs) -> Result<()> {
    let keeps = args.store_traces || args.audit_text;
    if args.no_state && (args.state_dir.is_some() || keeps) {
        return Err(Error::usage("--no-state", "is given beside a flag that needs state"));
    }
    if args.allow_source && args.vector_root.is_none() {
        let problem = "needs --vector-root, below which files may be";
        return Err(Error::usage("--allow-source", problem));
    }
    Ok(())
}

fn params(args: &ServeArgs) -> Result<Params> {
    let site = args.embedding_site.parse::<Site>().map_err(trimtab_runtime::Error::from)?;
    let users = args.api_key.iter().enumerate().map(|(at, text)| user(at, text));
    let switch = |on: bool| if on { settings::Switch::On } else { settings::Switch::Off };
    let admin = args.admin_key.iter().map(|key| Key::admin("admin", key));
    Ok(Params {
        address: SocketAddr::new(host(&args.host)?, args.port),
        names: args.alias.iter().cloned().collect(),
        any_model: switch(args.any_model),
        keys: users.chain(admin).collect(),
        admin: switch(args.admin),
        insecure: switch(args.insecure_no_auth),
        cors_origins: args.cors_origin.clone(),
        no_ui: switch(args.no_ui),
        log_content: switch(args.log_content),
        embedding_site: site,
        max_body: bytes("--max-body", &args.max_body)?,
        timeout: Duration::from_secs(args.timeout),
        drain_timeout: Duration::from_secs(args.drain_timeout),
        build: build(args),
        ..Params::default()
    })
}

/// What the server says it is.
fn build(args: &ServeArgs) -> Build {
    let version = Version::new();
    let dtype =
        args.model.dtype.map_or("default".to_owned(), |dtype| format!("{dtype:?}").to_lowercase());
    Build {
        version: VERSION.to_owned(),
        git: GIT.to_owned(),
        tensors: version.tensors().to_owned(),
        features: version.features().iter().map(ToString::to_string).collect(),
        dtype,
    }
}

/// A key of the command line: `label:key`, or a key that gets a number for a label.
fn user(at: usize, text: &str) -> Key {
    match text.split_once(':') {
        Some((label, key)) => Key::user(label, key),
        None => Key::user(format!("key-{}", at + 1), text),
    }
}

fn host(text: &str) -> Result<IpAddr> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| {
        Error::usage("--host", format!("is {text:?}, expected an address such as 127.0.0.1 or ::"))
    })
}

fn bytes(flag: &'static str, text: &str) -> Result<usize> {
    let problem = || format!("is {text:?}, expected bytes such as 2M, at least 1");
    model::bytes(text).ok_or_else(|| Error::usage(flag, problem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_labels() {
        assert_eq!(user(0, "alice:k"), Key::user("alice", "k"));
        assert_eq!(user(1, "k"), Key::user("key-2", "k"));
    }

    #[test]
    fn addresses_are_addresses() {
        assert!(host("localhost").unwrap().is_loopback());
        assert!(host("::1").unwrap().is_loopback());
        assert!(host("example.org").is_err());
    }
}
