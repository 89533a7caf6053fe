#!/usr/bin/env bash
# Fuzzes what reads the files of indexes and snapshots, under AddressSanitizer and with all assertions: each target for so
# many seconds (60), beginning with what is committed in fuzz/corpus. Needs a nightly toolchain; installs cargo-fuzz into the
# cache folder if need be. An input that fails is left in fuzz/artifacts; mend it, and add it to the corpus: tests replay that.
#
#   tools/fuzz.sh [SECONDS [TARGET…]]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
find_cargo
seconds="${1:-60}"
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(index_any index_signed sections_any sections_signed)
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/fuzz"
PATH="$CACHE/tools/bin:$PATH"
has cargo-fuzz || cargo install cargo-fuzz --locked --root "$CACHE/tools"
# Each input becomes a file for a moment.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
cd "$REPO"
for target in "${targets[@]}"; do
    say "$target, $seconds s"
    found="$CARGO_TARGET_DIR/corpus/$target"
    mkdir -p "$found"
    cargo +nightly fuzz run "$target" "$found" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=32768 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
say "nothing found"
