#!/usr/bin/env bash
# Build `trimtab` with the feature `cuda` on a machine with no GPU and no CUDA toolkit.
#
#   scripts/build_cuda.sh [TOOLKIT_FOLDER]      (default: target/cuda-toolkit)
#
# CUDA_COMPUTE_CAP chooses the GPU's generation (default 90), PYTHON the interpreter (default
# python3). The program lands in target/cuda/release. docs/cuda.md says what to do with it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/scripts/requirements-cuda.txt
symbols=$root/scripts/cuda-driver-symbols.txt
program=$root/target/cuda/release/trimtab
python=${PYTHON:-python3}
compute_cap=${CUDA_COMPUTE_CAP:-90}

say() { printf '== %s\n' "$*"; }

die() {
    printf 'build_cuda: %s\n' "$*" >&2
    exit 1
}

check_machine() {
    local tool
    [[ $(uname -s) == Linux ]] || die "this is $(uname -s), and the packages are for Linux"
    for tool in cargo gcc g++ readelf ldd "$python"; do
        command -v "$tool" >/dev/null || die "$tool is not on PATH"
    done
}

# Leaves the packages' common folder in $cuda.
install_toolkit() {
    if [[ ! -x $toolkit/bin/pip ]]; then
        "$python" -m venv "$toolkit" || die "$python cannot make a virtual environment in $toolkit"
    fi
    "$toolkit/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"

    local found=("$toolkit"/lib/python3*/site-packages/nvidia/cu13)
    cuda=${found[0]}
    [[ -x $cuda/bin/nvcc ]] || die "the packages brought no $cuda/bin/nvcc"
}

# The linker looks for libX.so, and a package brings only libX.so.N.
link_libraries() {
    local name found
    for name in cublas cublasLt cudart curand nvrtc; do
        found=("$cuda/lib/lib$name".so.[0-9]*)
        [[ -e ${found[0]} ]] || die "the packages brought no lib$name in $cuda/lib"
        ln -sfn "$(basename "${found[0]}")" "$cuda/lib/lib$name.so"
    done
    ln -sfn lib "$cuda/lib64"
}

# libcuda comes with the driver and is no package. The stub answers 34, CUDA_ERROR_STUB_LIBRARY.
# Its run-time name lies apart, so that nothing hides a real driver by accident.
make_stub() {
    local stubs=$cuda/lib/stubs
    mkdir -p "$stubs/run"
    sed -n 's/^\(cu[A-Za-z0-9_]*\)$/int \1(void) { return 34; }/p' "$symbols" |
        gcc -x c -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so" -
    ln -sfn ../libcuda.so "$stubs/run/libcuda.so.1"
}

# Writes $toolkit/env.sh, for this script and for anyone who calls cargo himself.
write_environment() {
    local name
    {
        for name in CUDA_HOME CUDA_ROOT CUDA_PATH CUDA_TOOLKIT_ROOT_DIR; do
            printf 'export %s=%q\n' "$name" "$cuda"
        done
        printf 'export NVCC=%q\n' "$cuda/bin/nvcc"
        printf 'export CUDA_COMPUTE_CAP=%q\n' "$compute_cap"
        printf "export PATH=%q:\$PATH\n" "$cuda/bin"
        printf "export LIBRARY_PATH=%q\${LIBRARY_PATH:+:\$LIBRARY_PATH}\n" "$cuda/lib:$cuda/lib/stubs"
    } >"$toolkit/env.sh"
}

check_compute_cap() {
    local known
    known=$("$cuda/bin/nvcc" --list-gpu-arch | sed 's/compute_//' | tr '\n' ' ')
    [[ " $known" == *" ${compute_cap%[af]} "* ]] ||
        die "CUDA_COMPUTE_CAP=$compute_cap is none of $known"
}

build() {
    local log=$toolkit/build.log missing
    cargo build --release --features cuda \
        --manifest-path "$root/Cargo.toml" --target-dir "$root/target/cuda" 2>&1 | tee "$log" && return

    missing=$(sed -nE "s/.*undefined (symbol: |reference to .)(cu[A-Z][A-Za-z0-9_]*).*/\2/p" "$log" | sort -u)
    [[ -n $missing ]] || die "cargo failed, see above or $log"
    printf '%s\n' "$missing" >&2
    die "the stub driver lacks the functions above: add them to $symbols and run this again" \
        "(a linker may stop at twenty, so perhaps more than once)"
}

# A program that needs no libcuda would run here too, and prove nothing.
prove_link() {
    local needed name resolved version
    needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
    say "$program needs"
    printf '%s\n' "$needed"
    for name in libcuda libcudart libcublas libcurand; do
        grep -q "^$name\.so\." <<<"$needed" || die "the program was not linked to $name"
    done

    local -x LD_LIBRARY_PATH=$cuda/lib:$cuda/lib/stubs/run
    resolved=$(ldd "$program")
    say 'ldd, with the packages and the stub driver'
    printf '%s\n' "$resolved"
    ! grep -q 'not found' <<<"$resolved" || die 'a library is missing, see above'
    version=$("$program" --version)
    [[ $version == 'trimtab '* ]] || die "trimtab --version printed '$version'"
    say "$version"
}

check_machine
toolkit=${1:-$root/target/cuda-toolkit}
mkdir -p "$toolkit"
toolkit=$(cd "$toolkit" && pwd)
cuda=

say "toolkit in $toolkit"
install_toolkit
link_libraries
make_stub
check_compute_cap
write_environment
# shellcheck source=/dev/null
source "$toolkit/env.sh"
say "$("$cuda/bin/nvcc" --version | sed -n 's/.*release/nvcc/p'), compute capability $compute_cap"
say 'cargo build --release --features cuda, into target/cuda (minutes: the kernels are compiled)'
build
prove_link
say "$(du -h "$program" | cut -f1) in $SECONDS s; to run it: LD_LIBRARY_PATH=$cuda/lib, and a driver"
