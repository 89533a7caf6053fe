#!/usr/bin/env bash
# Fuzzes every decoder, under AddressSanitizer and with all assertions: each target until it has run so many times (700,000)
# or for so many seconds (900), beginning with what is committed in fuzz/corpus. Prints the executions of each target and of
# all. Needs a nightly toolchain; installs cargo-fuzz into the cache folder if need be. An input that fails is left in
# fuzz/artifacts; mend it, and add it to the corpus: the tests replay that.
#
#   tools/fuzz.sh [EXECUTIONS [SECONDS [TARGET…]]]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
find_cargo
executions="${1:-700000}"
seconds="${2:-900}"
targets=("${@:3}")
cd "$REPO"
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename -s .rs -a fuzz/fuzz_targets/*.rs)
# The C++ of RocksDB is the same with and without a sanitizer for Rust: one that is built is taken.
built="$(compgen -G "$CARGO_TARGET_DIR/release/build/librocksdb-sys-*/out/librocksdb.a" | head -n 1 || true)"
if [ -n "$built" ]; then
    export ROCKSDB_LIB_DIR="${built%/*}" ROCKSDB_STATIC=1
fi
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/fuzz"
PATH="$CACHE/tools/bin:$PATH"
has cargo-fuzz || cargo install cargo-fuzz --locked --root "$CACHE/tools"
# Each input becomes a file for a moment.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
total=0
for target in "${targets[@]}"; do
    say "$target: $executions executions, $seconds s at most"
    found="$CARGO_TARGET_DIR/corpus/$target"
    mkdir -p "$found"
    cargo +nightly fuzz run "$target" "$found" "fuzz/corpus/$target" -- \
        -runs="$executions" -max_total_time="$seconds" -max_len=32768 -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 2>&1 | tee "$log" >&2
    executed="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    printf '%-16s %10d executions\n' "$target" "$executed"
    total=$((total + executed))
done
printf '%-16s %10d executions, nothing found\n' "all" "$total"
