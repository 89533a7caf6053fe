#!/usr/bin/env bash
# Fuzzes every decoder, under AddressSanitizer and with all assertions, until all targets together have run so many inputs
# (10,000,000), beginning with what is committed in fuzz/corpus. Each target has an equal share of them and so many seconds
# (120); what the slow ones leave over is run by the faster half, however long it takes. Prints the executions of each target and, last, of all:
#
#   fuzz executions=… targets=… findings=… seconds=…
#
# A target that fails is left out from then on, the others go on, and the exit code is 1. The input is left in fuzz/artifacts;
# mend it, and add it to the corpus: the tests replay that.
#
#   tools/fuzz.sh [EXECUTIONS [SECONDS [TARGET…]]]
#
# Built with the nightly toolchain where there is one; else with the stable compiler, which is told by RUSTC_BOOTSTRAP=1 that it may
# do what a nightly does (rustup's toolchain for x86-64 Linux has the runtime of the sanitizer). Installs cargo-fuzz into the cache folder if
# need be.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
find_cargo
wanted="${1:-10000000}"
seconds="${2:-120}"
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
nightly
say "building ${#targets[@]} targets in $CARGO_TARGET_DIR"
# One after the other; after the first, each is linked only.
for target in "${targets[@]}"; do
    cargo "${NIGHTLY[@]}" fuzz build "$target" >&2
done
programs="$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release"
# Each input becomes a file for a moment.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

# fuzz TARGET EXECUTIONS [SECONDS]: runs a target on so many inputs; how many it were is in `executed`. Fails where it does.
fuzz() {
    local found="$CARGO_TARGET_DIR/corpus/$1" artifacts="$REPO/fuzz/artifacts/$1" begun=$SECONDS failed=
    mkdir -p "$found" "$artifacts"
    ASAN_OPTIONS=detect_odr_violation=0 "$programs/$1" "$found" "fuzz/corpus/$1" -artifact_prefix="$artifacts/" \
        -runs="$2" -max_total_time="${3:-0}" -max_len=32768 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        > "$log" 2>&1 || failed=yes
    executed="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)"
    executed="${executed:-0}"
    printf '%-16s %10d executions %6d s%s\n' "$1" "$executed" $((SECONDS - begun)) "${failed:+  FAILED}"
    [ -z "$failed" ] || { grep -a -m 1 -A 2 -e 'panicked at' -e 'ERROR: ' "$log"; tail -n 3 "$log"; return 1; } >&2
}

begun=$SECONDS total=0 findings=0 rates=()
for target in "${targets[@]}"; do
    started=$SECONDS
    if fuzz "$target" $(((wanted + ${#targets[@]} - 1) / ${#targets[@]})) "$seconds"; then
        rates+=("$((executed / (SECONDS - started + 1))) $target")
    else
        findings=$((findings + 1))
    fi
    total=$((total + executed))
done
mapfile -t fast < <(printf '%s\n' "${rates[@]}" | sort -rn | head -n $(((${#rates[@]} + 1) / 2)) | cut -d ' ' -f 2)
for place in "${!fast[@]}"; do
    left=$((wanted - total)) targets_left=$((${#fast[@]} - place))
    [ "$left" -gt 0 ] || break
    fuzz "${fast[$place]}" $(((left + targets_left - 1) / targets_left)) || findings=$((findings + 1))
    total=$((total + executed))
done
echo "fuzz executions=$total targets=${#targets[@]} findings=$findings seconds=$((SECONDS - begun))"
[ "$findings" -eq 0 ] && [ "$total" -ge "$wanted" ]
