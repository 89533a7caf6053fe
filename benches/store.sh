#!/usr/bin/env bash
# Writing: bulk import of a million events from CSV, and single events acknowledged on disk (fsync) from eight threads,
# beside RocksDB alone doing the same puts in the same run; and what the counters of features add to an event's write.
#
#   benches/store.sh            SAVOR_BENCH_DIR=DIR puts the data on another disk than the temporary folder's
#
# The last lines:
#   store feature_update_us=… write_us=… feature_update_share=…
#   store import_per_s=… durable_per_s=… raw_rocksdb_per_s=… ratio=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench store
