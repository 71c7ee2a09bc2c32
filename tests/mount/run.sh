#!/usr/bin/env bash
# Mounts published versions through the real kernel and asks everything of them that docs/mount.md promises.
#
#   KLUIS_BIN=… tests/mount/run.sh      KLUIS_SEED=N repeats the choices of a run
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
part 300 "$HERE/semantics.py"
part 300 "$HERE/faults.py"
[ -x "$LAB_CACHE/bin/weed" ] || "$LAB_DIR/install.sh" seaweed
part 300 "$HERE/ahead.py"
finish
