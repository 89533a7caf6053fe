#!/usr/bin/env bash
# Runs the tests of the rooms with unsafe code under AddressSanitizer, with the vector instructions that this processor has:
# what Miri, which has none, cannot look at. Their kernels are compared with portable twins there. Built with the nightly toolchain
# where there is one, else with the stable compiler and RUSTC_BOOTSTRAP=1.
#
#   tools/sanitize.sh [FILTER…]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
find_cargo
nightly
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/sanitize"
export RUSTFLAGS="-Zsanitizer=address -Cdebug-assertions -Copt-level=1 ${RUSTFLAGS:-}"
export PROPTEST_CASES="${PROPTEST_CASES:-64}"
say "instructions: $(grep -ow -m 1 -e avx2 /proc/cpuinfo || true) $(grep -ow -m 1 -e avx512_vnni /proc/cpuinfo || true)"
cd "$REPO/tools/unsafe-code"
cargo "${NIGHTLY[@]}" test --locked --target "$(rustc -vV | sed -n 's/^host: //p')" --lib -- "$@"
