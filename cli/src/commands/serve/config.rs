//! What `serve` is to do.

use super::args::ServeArgs;
use crate::args::environment::state_folder;
use crate::document::{CANDLE, GIT, VERSION, features};
use crate::error::{Error, Result};
use crate::flags::model::{Opening, at_least_one};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use trimtab_runtime::engine::EngineOptions;
use trimtab_server::settings::{self, Build, Key, Params};

/// A server: its flags, and what they come to.
#[derive(Debug)]
pub struct Serve {
    pub args: ServeArgs,
    pub opening: Opening,
    /// What the server is told; keys of a file are not in it yet.
    pub params: Params,
    /// The folder of the server's state, if it keeps any.
    pub folder: Option<PathBuf>,
}

impl Serve {
    pub fn of(args: ServeArgs) -> Result<Serve> {
        together(&args)?;
        at_least_one("--parallel", Some(args.parallel))?;
        if !(args.dose_limit > 0.0 && args.dose_limit <= 8.0) {
            let problem = format!("is {}, expected above 0, at most 8", args.dose_limit);
            return Err(Error::usage("--dose-limit", problem));
        }
        let mut opening = Opening::with_variables(args.model.clone(), args.template.clone())?;
        if opening.kv_bytes.is_none() {
            opening.options.pool_sequences = Some(args.parallel);
        }
        let params = params(&args);
        let folder = (!args.no_state).then(|| folder_of_state(args.state_dir.as_ref()));
        Ok(Serve { opening, params, folder: folder.transpose()?, args })
    }

    /// How answers share the device.
    pub fn engine(&self) -> EngineOptions {
        let (parallel, queue) = (self.args.parallel, self.args.max_queue);
        EngineOptions { parallel, queue, chunk: self.opening.chunk }
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

fn params(args: &ServeArgs) -> Params {
    let users = args.api_key.iter().enumerate().map(|(at, text)| user(at, text));
    let switch = |on: bool| if on { settings::Switch::On } else { settings::Switch::Off };
    let admin = args.admin_key.iter().map(|key| Key::admin("admin", key));
    Params {
        address: SocketAddr::new(args.host, args.port),
        names: args.alias.iter().cloned().collect(),
        any_model: switch(args.any_model),
        keys: users.chain(admin).collect(),
        admin: switch(args.admin),
        insecure: switch(args.insecure_no_auth),
        cors_origins: args.cors_origin.clone(),
        no_ui: switch(args.no_ui),
        log_content: switch(args.log_content),
        embedding_site: args.embedding_site,
        max_body: args.max_body,
        timeout: Duration::from_secs(args.timeout),
        drain_timeout: Duration::from_secs(args.drain_timeout),
        build: build(args),
        ..Params::default()
    }
}

/// What the server says it is.
fn build(args: &ServeArgs) -> Build {
    let dtype =
        args.model.dtype.map_or("default".to_owned(), |dtype| format!("{dtype:?}").to_lowercase());
    Build {
        version: VERSION.to_owned(),
        git: GIT.to_owned(),
        tensors: CANDLE.to_owned(),
        features: features().into_iter().map(str::to_owned).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_labels() {
        assert_eq!(user(0, "alice:k"), Key::user("alice", "k"));
        assert_eq!(user(1, "k"), Key::user("key-2", "k"));
    }
}
