#!/usr/bin/env bash
# Counts the instructions of one signed 4 KiB GET through the whole gateway but its sockets and disks, and
# holds them against the figure on record.
#
#   tests/load/instructions.sh [--record]      --record writes the new figure to instructions.txt
#
# Callgrind counts the same whatever else the machine does. Two runs of different length cancel what is
# done once. A new compiler moves the figure a little, so up to a tenth more is let through.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
TARGET=${CARGO_TARGET_DIR:-$HERE/../../target}/release
BENCH=$TARGET/examples/instructions
RECORD=$HERE/instructions.txt
FEW=200 MANY=1200

[ -x "$BENCH" ] || die "build it: cargo build --release --locked --ignore-rust-version --example instructions"
command -v valgrind >/dev/null || apt_get valgrind
count() {
    local out
    out=$(mktemp)
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$BENCH" "$1" 2>"$out" || { cat "$out" >&2; return 1; }
    awk '/Collected/ {print $4}' "$out"
    rm -f "$out"
}
few=$(count $FEW)
many=$(count $MANY)
each=$(((many - few) / (MANY - FEW)))
say "instructions of one 4 KiB GET: $each"
if [ "${1:-}" = --record ]; then
    echo "$each" >"$RECORD"
    exit
fi
known=$(cat "$RECORD")
if [ "$each" -gt $((known + known / 10)) ]; then
    echo "FAIL instructions: $each for each GET, $known are on record"
    echo "0 passed, 1 failed"
    exit 1
fi
echo "PASS instructions: $each for each GET, $known are on record"
echo "1 passed, 0 failed"
