#!/usr/bin/env bash
# Flame graphs of a gateway under large GETs and PUTs, on s3s-fs, and a table of where its time goes. Needs perf and leave
# to use it (root, or kernel.perf_event_paranoid at -1), and kluis and kload built as for measure.sh.
#
#   tests/load/flame.sh OUT_DIR [CASE…]     get-large put-large; OUT_DIR gets CASE.svg
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export KLUIS_LAB_RUN=${KLUIS_LAB_RUN:-$(mktemp -d -t kluis-flame-XXXXXX)}
. "$HERE/../lab/common.sh"
LAB=$HERE/../lab
TARGET=${CARGO_TARGET_DIR:-$HERE/../../target}/release
export KLUIS_BIN=${KLUIS_BIN:-$TARGET/kluis}
KLOAD=${KLOAD:-$TARGET/examples/kload}
SIZE=$((256 << 20))
[ $# -ge 1 ] || die "usage: flame.sh OUT_DIR [CASE…]"
out=$1 kluis=$KLUIS_LAB_RUN/kluis
shift
[ $# -gt 0 ] || set -- get-large put-large
command -v perf >/dev/null || die "no perf (Debian: linux-perf)"
[ -x "$KLOAD" ] && [ -x "$KLUIS_BIN" ] || die "build kluis and kload first (see the head of measure.sh)"
clean_up() {
    "$LAB/kluis.sh" stop "$kluis" || true
    "$LAB/store.sh" stop s3s-fs || true
    rm -rf "$kluis" "$KLUIS_LAB_RUN/perf.data"
    rmdir "$KLUIS_LAB_RUN" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

{
    "$LAB/install.sh" python s3s-fs
    "$LAB/store.sh" start s3s-fs
    "$LAB/kluis.sh" start "$kluis" "$KLUIS_LAB_RUN/s3s-fs"
} >&2
load() { "$KLOAD" --env "$kluis/owner.env" "$1" --size "$SIZE" --objects 8 --connections 8 --seconds "$2" >/dev/null; }
load fill 0
for case in "$@"; do
    load "${case%-*}" 6 &
    running=$!
    sleep 1
    perf record -q -e cpu-clock -F 499 --call-graph dwarf,8192 -p "$(cat "$kluis/kluis.pid")" \
        -o "$KLUIS_LAB_RUN/perf.data" -- sleep 3 >&2
    wait "$running"
    echo "$case:"
    perf script --no-inline -i "$KLUIS_LAB_RUN/perf.data" 2>/dev/null |
        "$LAB_CACHE/clients/bin/python" "$HERE/flame.py" "$case: 256 MiB over 8 connections, s3s-fs" "$out/$case.svg"
done
