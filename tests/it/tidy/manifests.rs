//! Which crate depends on which, from `cargo metadata`, which needs no network and no lock.
//!
//! Imports go one way, so that the model can be read without the server. Every crate is in the table
//! below; a crate that is not in it is a finding, so that a new one is argued here first.

use super::tree::read;
use super::{Samples, hold, none};
use std::process::Command;
use trimtab_tests::workspace_root;

/// Direct dependencies of one crate, those of its tests and those that are off by default aside.
const MOST_DEPENDENCIES: usize = 17;

/// Each crate, the workspace crates it may import, and whether it may name candle.
pub const CRATES: [(&str, &[&str], bool); 9] = [
    ("trimtab-runtime", &[], true),
    ("trimtab-steering", &["trimtab-runtime"], true),
    ("trimtab-adapters", &["trimtab-runtime", "trimtab-steering"], true),
    ("trimtab-trainer", &["trimtab-runtime", "trimtab-steering", "trimtab-adapters"], true),
    ("trimtab-server", &["trimtab-runtime", "trimtab-steering", "trimtab-adapters"], false),
    ("trimtab", LIBRARIES, false),
    ("trimtab-examples", LIBRARIES, false),
    ("trimtab-experiments", LIBRARIES, false),
    ("trimtab-tests", LIBRARIES, true),
];

const LIBRARIES: &[&str] = &[
    "trimtab-runtime",
    "trimtab-steering",
    "trimtab-adapters",
    "trimtab-trainer",
    "trimtab-server",
];

/// A workspace crate as cargo sees it.
struct Package {
    name: String,
    /// Its manifest, relative to the workspace.
    manifest: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// `dev`, `build`, or `optional` for one that is off unless a feature asks for it; empty for an ordinary one.
    kind: String,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace_root())
        .output()
        .expect("cargo, which built this test, runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    list(&metadata["packages"]).iter().map(package).collect()
}

fn package(json: &serde_json::Value) -> Package {
    let root = workspace_root();
    let manifest = text(&json["manifest_path"]);
    let relative = std::path::Path::new(&manifest).strip_prefix(&root);
    let dependencies = list(&json["dependencies"]).iter().map(|dependency| Dependency {
        name: text(&dependency["name"]),
        kind: match dependency["optional"].as_bool() {
            Some(true) => "optional".to_owned(),
            _ => dependency["kind"].as_str().unwrap_or_default().to_owned(),
        },
    });
    Package {
        name: text(&json["name"]),
        manifest: relative.expect("a member is in the workspace").display().to_string(),
        dependencies: dependencies.collect(),
    }
}

fn list(json: &serde_json::Value) -> &[serde_json::Value] {
    json.as_array().expect("cargo metadata holds a list here")
}

fn text(json: &serde_json::Value) -> String {
    json.as_str().expect("cargo metadata holds a string here").to_owned()
}

/// What is wrong with the imports of one crate: the dependency and the rule it breaks.
fn wrong_imports(package: &Package) -> Vec<(&str, &'static str)> {
    let Some((_, imports, candle)) = CRATES.iter().find(|entry| entry.0 == package.name) else {
        return vec![("name", "a crate that is not in this test's table")];
    };
    let mut wrong = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        // A crate may name itself, to turn a feature on for its own tests.
        let own = name == package.name;
        if name.starts_with("trimtab") && !own && !imports.contains(&name) {
            wrong.push((name, "imports go one way"));
        }
        if name.starts_with("candle") && !candle {
            wrong.push((name, "this crate does not name candle"));
        }
    }
    wrong
}

fn too_many_dependencies(package: &Package) -> Option<usize> {
    let counts =
        |dependency: &&Dependency| !["dev", "optional"].contains(&dependency.kind.as_str());
    let count = package.dependencies.iter().filter(counts).count();
    (count > MOST_DEPENDENCIES).then_some(count)
}

/// The line of a manifest that names a dependency, or the first.
fn line_of(manifest: &str, dependency: &str) -> usize {
    manifest.lines().position(|line| line.starts_with(dependency)).map_or(1, |at| at + 1)
}

fn made_up(name: &str, dependencies: &[&str]) -> Package {
    let dependency = |name: &&str| Dependency { name: (*name).to_owned(), kind: String::new() };
    Package {
        name: name.to_owned(),
        manifest: String::new(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

#[test]
fn imports_go_one_way() {
    for (name, import) in [
        ("trimtab-runtime", "trimtab-steering"),
        ("trimtab-server", "trimtab-trainer"),
        ("trimtab", "trimtab-tests"),
        ("trimtab-server", "candle-core"),
        ("trimtab", "candle-nn"),
        ("trimtab-surprise", "serde"),
    ] {
        assert_eq!(
            wrong_imports(&made_up(name, &[import])).len(),
            1,
            "blind to {name} <- {import}"
        );
    }
    assert!(wrong_imports(&made_up("trimtab", &["trimtab-trainer", "clap"])).is_empty());

    let packages = packages();
    assert_eq!(packages.len(), CRATES.len(), "a crate of the table is no member of the workspace");
    let found = packages.iter().flat_map(|package| {
        let manifest = read(&package.manifest);
        let wrong = wrong_imports(package).into_iter();
        wrong.map(move |(name, rule)| {
            let line = line_of(&manifest, name);
            format!("{}:{line}: imports_go_one_way: {name}: {rule}", package.manifest)
        })
    });
    none(found.collect());
}

#[test]
fn dependencies_are_few() {
    let many: Vec<String> = (0..=MOST_DEPENDENCIES).map(|at| format!("crate-{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(too_many_dependencies(&made_up("trimtab", &many)).is_some());
    assert!(too_many_dependencies(&made_up("trimtab", &many[1..])).is_none());

    let packages = packages();
    let found = packages.iter().filter_map(|package| {
        let count = too_many_dependencies(package)?;
        let most = MOST_DEPENDENCIES;
        Some(format!("{}:1: dependencies_are_few: {count}, at most {most}", package.manifest))
    });
    none(found.collect());
}

#[test]
fn every_crate_takes_the_denied_lints() {
    let takes = |manifest: &str| manifest.contains("[lints]\nworkspace = true");
    assert!(!takes("[lints.clippy]\ntodo = \"allow\""));
    let packages = packages();
    let without = packages.iter().filter(|package| !takes(&read(&package.manifest)));
    let rule = "every_crate_takes_the_denied_lints: `[lints]` is not the workspace's";
    none(without.map(|package| format!("{}:1: {rule}", package.manifest)).collect());
}

#[test]
fn server_and_cli_do_not_name_candle() {
    let samples = Samples {
        bad: &[
            ("server/src/app.rs", "use candle_core::Tensor;"),
            ("cli/src/main.rs", "fn a() -> trimtab_runtime::candle::Device {}"),
        ],
        good: &[
            ("runtime/src/device.rs", "use candle_core::Device;"),
            ("server/src/app.rs", "// candle runs on the engine's thread\nfn a() {}"),
        ],
    };
    let rule = |source: &super::Source| {
        if !source.is_in(&["server/", "cli/"]) {
            return Vec::new();
        }
        let lines = source.code_lines_with("candle").into_iter();
        lines.map(|(line, _)| (line, "candle is the engine's business".to_owned())).collect()
    };
    hold("server_and_cli_do_not_name_candle", rule, &samples);

    let manifests = ["server/Cargo.toml", "cli/Cargo.toml"];
    let named = |path: &&&str| {
        let text = read(path);
        text.lines().any(|line| !line.starts_with('#') && line.contains("candle"))
    };
    let found = manifests.iter().filter(named);
    let rule = "server_and_cli_do_not_name_candle";
    none(found.map(|path| format!("{path}:1: {rule}: candle in the manifest")).collect());
}
