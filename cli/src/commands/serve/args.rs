//! Flags of `serve`.

use crate::flags::model::{ModelArgs, TemplateArgs, bytes};
use crate::flags::{Named, Parsed, named};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use trimtab_runtime::site::Site;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = host, help_heading = "Server")]
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = 8080, help_heading = "Server")]
    pub port: u16,
    /// Answers that run together (also -np).
    #[arg(
        long,
        visible_alias = "max-seqs",
        value_name = "N",
        default_value_t = 4,
        help_heading = "Server"
    )]
    pub parallel: usize,
    /// Answers that may wait; more are told to come back.
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Server")]
    pub max_queue: usize,
    /// Seconds a request may take.
    #[arg(long, value_name = "S", default_value_t = 600, help_heading = "Server")]
    pub timeout: u64,
    /// Seconds that running answers have when the server is stopped.
    #[arg(long, value_name = "S", default_value_t = 30, help_heading = "Server")]
    pub drain_timeout: u64,
    /// The largest body, with K, M or G for multiples of 1024.
    #[arg(long, value_name = "BYTES", default_value = "2M", value_parser = bytes, help_heading = "Server")]
    pub max_body: usize,
    /// The largest vector file that is taken in.
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = bytes, help_heading = "Server")]
    pub max_upload: usize,
    /// The name that clients call the model by.
    #[arg(short, long, value_name = "NAME", help_heading = "Server")]
    pub alias: Option<String>,
    /// Take any other name for the model's too, for programs that ask for a model they have built in.
    #[arg(long, help_heading = "Server")]
    pub any_model: bool,
    /// Where embeddings are read.
    #[arg(long, value_name = "SITE", default_value = "final", help_heading = "Server")]
    pub embedding_site: Site,
    /// Serve no page at /.
    #[arg(long, help_heading = "Server")]
    pub no_ui: bool,
    /// An origin whose pages may call the server; may be given again.
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub cors_origin: Vec<String>,
    /// A key that clients must send; may be given again. Better in a file, or in TRIMTAB_API_KEY.
    #[arg(long, value_name = "KEY", help_heading = "Keys")]
    pub api_key: Vec<String>,
    /// A file with keys: one per line, as label:key.
    #[arg(long, value_name = "FILE", help_heading = "Keys")]
    pub api_key_file: Option<PathBuf>,
    /// The key of administration.
    #[arg(long, value_name = "KEY", help_heading = "Keys")]
    pub admin_key: Option<String>,
    /// Let the administrator's key change vectors, presets and the default.
    #[arg(long, help_heading = "Keys")]
    pub admin: bool,
    /// Listen without any key, whatever the address.
    #[arg(long, help_heading = "Keys")]
    pub insecure_no_auth: bool,
    /// A vector that requests may name; may be given again.
    #[arg(long, value_name = "ID=FILE", value_parser = named, help_heading = "Steering")]
    pub vector: Vec<Named>,
    /// The folder that vectors may be loaded from.
    #[arg(long, value_name = "DIR", help_heading = "Steering")]
    pub vector_root: Option<PathBuf>,
    /// Let requests name files below the folder of vectors.
    #[arg(long, help_heading = "Steering")]
    pub allow_source: bool,
    /// Let requests bring vectors of their own.
    #[arg(long, help_heading = "Steering")]
    pub allow_inline: bool,
    /// The length of all pushes at a site as a share of the stream's that is never exceeded.
    #[arg(long, value_name = "F", default_value_t = 1.0, help_heading = "Steering")]
    pub dose_limit: f64,
    /// Presets and the default: a file as PUT /v1/steering takes it.
    #[arg(long, value_name = "FILE.json", help_heading = "Steering")]
    pub presets: Option<PathBuf>,
    /// A policy that the model judges its answers under where a monitor says so: default, strict, paper or a file. What the
    /// model's labels mean under it is measured at the first start and kept. May be given again.
    #[arg(long, value_name = "NAME|FILE.toml", help_heading = "Steering")]
    pub policy: Vec<String>,
    /// The folder of the server's state [default: $XDG_STATE_HOME/trimtab].
    #[arg(long, value_name = "DIR", help_heading = "State")]
    pub state_dir: Option<PathBuf>,
    /// Keep no state: no traces, and vectors that were loaded are gone at the end.
    #[arg(long, help_heading = "State")]
    pub no_state: bool,
    /// Keep the traces of all answers, 10,000 for 24 hours. They hold what people wrote.
    #[arg(long, help_heading = "State")]
    pub store_traces: bool,
    /// Keep what monitors take back in words too, as long as a trace. Without it the audit holds numbers and hashes.
    #[arg(long, help_heading = "State")]
    pub audit_text: bool,
    /// Write what people write and get into the log.
    #[arg(long, help_heading = "State")]
    pub log_content: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    // What the chat template is given, below what a request says.
    #[command(flatten)]
    pub template: TemplateArgs,
}

fn host(text: &str) -> Parsed<IpAddr> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| format!("{text:?} is no address such as 127.0.0.1 or ::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_addresses() {
        assert!(host("localhost").unwrap().is_loopback());
        assert!(host("::1").unwrap().is_loopback());
        assert!(host("example.org").is_err());
    }
}
