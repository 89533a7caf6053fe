#!/usr/bin/env bash
# An hour of people with known tastes who ask and click over sixteen connections: memory must not grow, p99 must not rise, and
# nothing that was acknowledged may be lost. Prints memory as it goes, its slope, and p99 early and late; fails if memory grew
# or anything was lost.
#
#   tools/soak.sh [MINUTES] [CONNECTIONS]        60 and 16 if absent
set -euo pipefail
minutes="${1:-60}" connections="${2:-16}"
case "$minutes$connections" in *[!0-9]*) printf 'usage: %s [MINUTES] [CONNECTIONS]\n' "$0" >&2; exit 2 ;; esac
exec "$(dirname "${BASH_SOURCE[0]}")/simulate.sh" --soak "$((minutes * 60))" --connections "$connections"
