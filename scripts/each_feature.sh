#!/usr/bin/env bash
# Checks that every feature that needs no toolkit builds alone, the licences and advisories of dependencies where cargo-deny
# is installed, and that every crate can be packaged.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo check --release -p trimtab-runtime --no-default-features
cargo check --release -p trimtab-runtime --features testing
cargo check --release -p trimtab-steering --features openapi
cargo check --release -p trimtab-adapters --features openapi
if cargo deny --version >/dev/null 2>&1; then
  cargo deny check
else
  echo "cargo-deny is not installed: licences and advisories are not checked"
fi
# While `publish = false` holds, cargo looks for the crates of this workspace on the registry to write a lock file.
cargo package --workspace --no-verify --exclude-lockfile --allow-dirty --quiet
