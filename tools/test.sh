#!/usr/bin/env bash
# Everything that the tests need, then all tests. The release profile throughout, so that RocksDB is compiled only once.
#
#   tools/test.sh
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$REPO"

say "the library without server and command line"
cargo check --release --locked --lib --no-default-features

say "all tests"
cargo test --release --locked --workspace
