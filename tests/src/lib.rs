//! Test support: what more than one module of the integration binary needs.
//!
//! The tests themselves are in `it/`, one binary, so that linking is paid once. This library holds
//! only what they share: where the workspace and the golden files are. It asserts nothing, and no
//! other crate may depend on it.

use std::path::{Path, PathBuf};

/// The folder of the workspace's own `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The path of a committed golden file, by its name below `tests/golden/`.
pub fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_workspace() {
        let manifest = std::fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
        assert!(golden_path("x").starts_with(workspace_root()));
    }
}

pub mod golden;
pub mod real;
pub mod rig;

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
