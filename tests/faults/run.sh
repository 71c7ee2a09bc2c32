#!/usr/bin/env bash
# The disk under the journal or the catalog is full, read-only, or refuses to write: nothing is served without its record,
# and serving resumes by itself. Small file systems are mounted in a mount namespace of their own, which ends with the suite.
#
#   KLUIS_BIN=… tests/faults/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

part 60 "$HERE/no_writes.py"
if [ "$(id -u)" = 0 ]; then own=(unshare --mount); else own=(unshare --mount --map-root-user); fi
if "${own[@]}" sh -c 'mount -t tmpfs -o size=1m none /mnt' 2>/dev/null; then
    INSIDE=("${own[@]}")
    part 120 "$HERE/disks.py"
else
    echo "SKIP disks: mounting is not permitted here"
fi
finish
