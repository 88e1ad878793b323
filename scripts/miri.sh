#!/bin/sh
# Miri on the unsafe code of the kernels that it can run: the thread pool with the parts it hands out, and the portable loops.
#
#     rustup component add miri rust-src --toolchain nightly
#     scripts/miri.sh
#
# Miri has no vector units, so each kernel takes its portable path, and no `madvise`, so tests that pack weights are left
# out. The pool's threads live as long as the process, which Miri would call a leak.
set -eu
cd "$(dirname "$0")/.."

export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks ${MIRIFLAGS:-}"
exec cargo +nightly miri test --package trimtab-runtime --lib --target-dir target/miri -- \
    kernels::threads kernels::simd "$@"
