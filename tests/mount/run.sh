#!/usr/bin/env bash
# Mounts published versions through the real kernel and asks everything of them that docs/mount.md promises.
#
#   KLUIS_BIN=… tests/mount/run.sh [PART…]      KLUIS_SEED=N repeats the choices of a run
#   KLUIS_BIN=… tests/mount/run.sh --more       what takes long: a million entries, a million reads, hundreds of mounts, PyTorch
#
# It needs root, /dev/fuse and fusermount3; without them it says so, loudly, and checks nothing.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

if [ ! -c /dev/fuse ] || [ "$(id -u)" != 0 ]; then
    echo "SKIP ############ tests/mount: no /dev/fuse, or not root. THE MOUNT IS NOT TESTED HERE. ############"
    exit 0
fi
command -v fusermount3 >/dev/null || "$LAB_DIR/install.sh" fuse
"$LAB_DIR/install.sh" mount fio pjdfstest charliecloud base python
export LAB_CACHE

# with ENVIRONMENT FILE…: with the Python of another environment of the lab.
with() {
    local own=$PYTHON
    PYTHON=$LAB_CACHE/$1/bin/python
    shift
    part 600 "$@"
    PYTHON=$own
}

# together NAME…: parts side by side, three at a time, since most of their time is waiting: for leases, deaths, outages. What each
# says is printed as a whole, in the order given.
together() {
    local name out
    out=$(mktemp -d -t kluis-parts-XXXXXX)
    for name; do
        while [ "$(jobs -rp | wc -l)" -ge 3 ]; do wait -n || true; done
        (
            SUITE_OUT=$out/$name
            : >"$SUITE_OUT"
            part 300 "$HERE/$name.py" >"$out/$name.shown" 2>&1
        ) &
    done
    wait
    for name; do
        cat "$out/$name.shown"
        cat "$out/$name" >>"$SUITE_OUT"
    done
    rm -rf "$out"
}

more() {
    KLUIS_MOUNT_OPS=200000 part 1500 "$HERE/semantics.py"
    (cd "$HERE/../.." && cargo build -q --locked --ignore-rust-version --features measure --bin versions)
    VERSIONS_BIN=$HERE/../../target/debug/versions part 1800 "$HERE/crowd.py" 1000000
    KLUIS_FIO_MIB=64 part 1500 "$HERE/fio.py"
    "$LAB_DIR/store.sh" start seaweed
    part 1800 "$HERE/heavy.py" "$LAB_RUN/seaweed"
    "$LAB_DIR/store.sh" stop seaweed
    "$LAB_DIR/install.sh" more
    with more "$HERE/training.py"
    part 600 "$HERE/through_s3.py"
}

if [ "${1:-}" = --more ]; then
    more
elif [ $# -gt 0 ]; then
    together "$@"
else
    # Those that take longest begin first.
    together semantics nothing refused session told signals crash ahead faults rows part through_s3 errnos pjdfstest containers unprivileged root independent fio
    with mount "$HERE/tools.py"
fi
finish
