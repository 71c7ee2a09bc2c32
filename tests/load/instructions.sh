#!/usr/bin/env bash
# Counts the instructions of one signed 4 KiB GET through the whole gateway but its sockets and disks, and
# holds them against the figure on record. A step of tests/run.
#
#   tests/load/instructions.sh [--record]      --record writes the new figure to instructions.txt
#
# Callgrind counts the same whatever else the machine does. Two runs of different length cancel what is
# done once. What is left to chance are the seeds of hash tables: less than a hundredth. Under the compiler that
# the record was made with, 3 % more fail; under another one, whose code is another, 15 %.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
BENCH=${CARGO_TARGET_DIR:-$HERE/../../target}/release/instructions
RECORD=$HERE/instructions.txt
FEW=200 MANY=1200

"$LAB_DIR/install.sh" valgrind
# Of the dependencies it takes what the build of `kluis` left; only Kluis itself is compiled again.
(cd "$HERE/../.." && cargo build -q --release --locked --ignore-rust-version --features measure --bin instructions)
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
compiler=$(rustc --version | cut -d' ' -f1,2)
say "instructions of one 4 KiB GET: $each with $compiler"
if [ "${1:-}" = --record ]; then
    printf '%s\n%s\n' "$each" "$compiler" >"$RECORD"
    exit
fi
{ read -r known; read -r known_compiler; } <"$RECORD"
if [ "$compiler" = "$known_compiler" ]; then more=3; else more=15; fi
if [ "$each" -gt $((known + known * more / 100)) ]; then
    echo "FAIL instructions: $each for each GET, more than $more % above the $known on record ($known_compiler)"
    echo "0 passed, 1 failed"
    exit 1
fi
echo "PASS instructions: $each for each GET, $known are on record ($known_compiler), $more % more would fail"
echo "1 passed, 0 failed"
