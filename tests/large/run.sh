#!/usr/bin/env bash
# Large things, each asked for by name: they take long and much disk, so tests/run passes a small upload only.
#
#   KLUIS_BIN=… tests/large/run.sh                      a small upload with kills
#   KLUIS_BIN=… tests/large/run.sh upload 20 [STORE]    20 GiB, and as much free disk; STORE: seaweed, ceph, garage
#   KLUIS_BIN=… tests/large/run.sh tree 100000          a tree of 100,000 files by rclone, there, again, and back
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
KLUIS_LAB_RUN=$(mktemp -d -t kluis-large-store-XXXXXX)
export KLUIS_LAB_RUN LAB_CACHE
STORE=''
stop_store() {
    [ -z "$STORE" ] || "$LAB_DIR/store.sh" stop "$STORE"
    rm -rf "$KLUIS_LAB_RUN"
}
trap stop_store EXIT

case ${1:-small} in
small) part 200 "$HERE/upload.py" 0.5 ;;
upload)
    STORE=${3:-}
    [ -z "$STORE" ] || "$LAB_DIR/store.sh" start "$STORE"
    part $((300 + 120 * $2)) "$HERE/upload.py" "$2" ${STORE:+"$KLUIS_LAB_RUN/$STORE"}
    ;;
tree) part 3600 "$HERE/tree.py" "$2" ;;
*) die "small, upload GIB [STORE], or tree FILES" ;;
esac
finish
