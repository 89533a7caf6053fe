#!/usr/bin/env bash
# What a key costs: a checked request beside an unchecked one, the first request of a key (Argon2id), and whether the time of a refusal
# tells how much of a secret was right. Makes its own data. The last line:
#   access open_p50_ms=… keyed_p50_ms=… p50_ratio=… open_rps=… keyed_rps=… rps_ratio=… first_ms=… timing_ns=… timing_sd=… unknown_id_ns=…
#
#   benches/access.sh [--seconds S] [--connections C]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench access -- "$@"
