#!/usr/bin/env bash
# An hour of people with known tastes who ask and click over sixteen connections: memory must not grow, p99 must not rise, and
# nothing that was acknowledged may be lost. Prints memory as it goes, its slope, and p99 early and late; fails if memory grew
# or anything was lost. The caches are small, so that they are full early and what grows later is no cache.
#
#   tools/soak.sh [MINUTES [CONNECTIONS]] [--set KEY=VALUE …]        60 and 16 if absent
set -euo pipefail
number() { case "${1:-}" in '' | *[!0-9]*) return 1 ;; esac; }
minutes=60 connections=16
if number "${1:-}"; then minutes="$1" && shift; fi
if number "${1:-}"; then connections="$1" && shift; fi
exec "$(dirname "${BASH_SOURCE[0]}")/simulate.sh" --soak "$((minutes * 60))" --connections "$connections" \
    --set store.cache_mib=32 --set recommend.cache_mib=16 "$@"
