#!/usr/bin/env bash
# What a page of a listing costs in datasets of 100,000 to 10 million objects: time, instructions, memory.
#
#   tests/load/listing.sh [--instructions] [DIR]      DIR: where the catalogs lie, 4.5 GB in all; they are made once and kept
#
# Each catalog holds a dataset of so many objects, half below one prefix and half in a tree, and a dataset of versions with a
# tenth as many objects, as many under delete markers, and one key with a hundredth as many versions. --instructions counts with
# callgrind instead: the same on a busy machine; two runs of different length cancel what is done once.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
LISTING=${LISTING:-${CARGO_TARGET_DIR:-$HERE/../../target}/release/listing}
SIZES=${SIZES:-100000 1000000 10000000}
KINDS="top first second leaf flat middle any marked versions-top versions-gone versions-of-one"
FEW=20 MANY=120
count_it=''
if [ "${1:-}" = --instructions ]; then count_it=1; shift; fi
D=${1:-${TMPDIR:-/tmp}/kluis-listing}
mkdir -p "$D"
[ -x "$LISTING" ] || (cd "$HERE/../.." && cargo build -q --release --locked --ignore-rust-version --features measure --bin listing)

instructions() {
    local out
    out=$(mktemp)
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$LISTING" "$D/$1.db" "$1" run "$2" "$3" 2>"$out" || { cat "$out" >&2; return 1; }
    awk '/Collected/ {print $4}' "$out"
    rm -f "$out"
}

for size in $SIZES; do
    if [ ! -f "$D/$size.filled" ]; then
        rm -f "$D/$size.db"*
        "$LISTING" "$D/$size.db" "$size" fill
        touch "$D/$size.filled"
    fi
done
for size in $SIZES; do
    if [ -z "$count_it" ]; then "$LISTING" "$D/$size.db" "$size" time; continue; fi
    for kind in $KINDS; do
        few=$(instructions "$size" "$kind" $FEW)
        many=$(instructions "$size" "$kind" $MANY)
        echo "| $size | $kind | $(((many - few) / (MANY - FEW))) instructions |"
    done
done
