#!/usr/bin/env bash
# A real Slurm cluster of one node, on loopback, with the plugin, prolog and epilog of deploy/slurm: jobs read a published version.
#
#   KLUIS_BIN=… tests/slurm/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

if [ ! -c /dev/fuse ] || [ "$(id -u)" != 0 ]; then
    echo "SKIP ############ tests/slurm: no /dev/fuse, or not root. JOBS ARE NOT TESTED HERE. ############"
    exit 0
fi
command -v fusermount3 >/dev/null && command -v slurmd >/dev/null && [ -f /usr/include/slurm/spank.h ] || "$LAB_DIR/install.sh" fuse slurm
part 300 "$HERE/jobs.py"
finish
