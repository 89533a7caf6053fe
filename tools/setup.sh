# Sourced by tools/demo.sh, tools/test.sh and the benchmarks: finds the repository, says where build products go, and
# installs the system packages that the build needs and this machine lacks. Does nothing twice.

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/savor"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/target}"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# bindgen, which writes the Rust face of RocksDB, loads this library.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib/*/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib64/libclang*.so*' >/dev/null
}

missing_packages() {
    has c++ || has g++ || has clang++ || echo g++
    has clang || echo clang
    has_libclang || echo libclang-dev
    has curl || echo curl
    has python3 || echo python3
    has python3 && python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
}

install_missing_packages() {
    local packages sudo=()
    packages="$(missing_packages | tr '\n' ' ')"
    [ -n "${packages// /}" ] || return 0
    has apt-get || die "please install what corresponds to these Debian packages: $packages"
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || die "please install these packages as root: $packages"
        sudo=(sudo)
    fi
    say "installing system packages: $packages"
    "${sudo[@]}" apt-get update -q >&2
    # shellcheck disable=SC2086 # one word is one package
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages >&2
}

find_cargo() {
    has cargo || PATH="$HOME/.cargo/bin:$PATH"
    has cargo || die "Rust is missing; https://rustup.rs tells how to install it"
}

# Features that are not stable yet, such as sanitizers: NIGHTLY has the words after `cargo` for a nightly toolchain; without one
# the stable compiler is told that it may.
nightly() {
    NIGHTLY=()
    if cargo +nightly --version >/dev/null 2>&1; then
        NIGHTLY=(+nightly)
    else
        export RUSTC_BOOTSTRAP=1
    fi
}

# Builds the binary; its path is in SAVOR afterwards. The first time this compiles RocksDB: some minutes.
build_savor() {
    say "building savor (release) in $CARGO_TARGET_DIR"
    cargo build --release --locked --manifest-path "$REPO/Cargo.toml" --bin savor
    SAVOR="$CARGO_TARGET_DIR/release/savor"
}

# The folder of MovieLens-100K is in FILMS afterwards: the one given, or one in the cache folder, filled if need be.
find_films() {
    FILMS="${1:-$CACHE/ml-100k}"
    [ -n "${1:-}" ] || "$REPO/tools/fetch-movielens.sh" "$FILMS" >&2
    [ -f "$FILMS/ml-100k.inter" ] || die "$FILMS holds no ml-100k.inter: expected the MovieLens-100K files of RecBole"
}

install_missing_packages
find_cargo
