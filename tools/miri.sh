#!/usr/bin/env bash
# Runs tests of the rooms that hold or call unsafe code under Miri: linalg, index (sieve, graph, frontier, …), and the section
# files of snapshots, as tools/unsafe-code compiles them alone, without RocksDB. Files are read instead of mapped, processors
# have no vector instructions (each kernel's portable twin runs; tools/sanitize.sh looks at the others), and properties are
# tried on two cases. Needs a nightly toolchain.
#
#   tools/miri.sh [FILTER…]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
find_cargo
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/miri"
cargo +nightly miri --version >/dev/null 2>&1 || rustup +nightly component add miri rust-src
# crossbeam, under rayon, is right under tree borrows alone, and keeps what its threads have at exit.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks ${MIRIFLAGS:-}"
export PROPTEST_CASES=2 RUST_BACKTRACE=0
cd "$REPO/tools/unsafe-code"
cargo +nightly miri test --locked --lib -- "$@"
