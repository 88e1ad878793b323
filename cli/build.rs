//! Tells the program which commit it is, and which tensor library and features it was built with.

use std::path::Path;
use std::process::Command;

/// The features of this crate's manifest.
const FEATURES: [&str; 6] = ["cuda", "cudnn", "metal", "accelerate", "mkl", "nccl"];

fn main() {
    let commit = git(&["rev-parse", "--short=7", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=BUILT_FROM_COMMIT={commit}");
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let lock = Path::new("..").join("Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    let text = std::fs::read_to_string(lock).unwrap_or_default();
    let engine = version_of(&text, "candle-core").unwrap_or("unknown");
    println!("cargo:rustc-env=BUILT_ON_CANDLE={engine}");
    let features: Vec<&str> = FEATURES.into_iter().filter(|feature| is_on(feature)).collect();
    println!("cargo:rustc-env=BUILT_WITH_FEATURES={}", features.join(","));
}

#[allow(clippy::disallowed_methods)] // cargo tells build scripts through the environment alone
fn is_on(feature: &str) -> bool {
    let name = feature.replace('-', "_").to_uppercase();
    std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some()
}

/// What git answers; nothing in an unpacked archive.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The version of a package in a lock file.
fn version_of<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    after.split('"').next()
}
