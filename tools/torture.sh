#!/usr/bin/env bash
# Kills a real Savor at random moments and at named fault points, and compares everything with what was acknowledged. The
# schedules are those of the seed, which is printed. --help says what is counted as what. Ends with an error where anything was found.
#
#   tools/torture.sh [--seconds 600] [--kills N] [--seed N] [--worlds N] [--findings N] [--all-points] [--verbose]
#
# The last line:
#   torture kills=… lost=… failed_opens=… mixed=… panics=… seed=… wrong_answers=… acknowledged=… seconds=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
say "building torture (release) in $CARGO_TARGET_DIR"
cargo build --release --locked --manifest-path "$REPO/Cargo.toml" -p torture
"$CARGO_TARGET_DIR/release/torture" "$@"
