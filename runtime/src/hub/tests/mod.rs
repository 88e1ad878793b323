//! The whole way from a name to files, against a stand-in for pip and a hub on this machine.

mod hub;
mod kit;
mod server;
#[cfg(unix)]
mod wheel;
