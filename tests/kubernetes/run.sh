#!/usr/bin/env bash
# Holds deploy/kubernetes against the API's schemas, and runs the sidecar's own arguments in mount namespaces that are set up
# as a kubelet sets them up. There is no cluster: none installs from a package registry.
#
#   KLUIS_BIN=… tests/kubernetes/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

"$LAB_DIR/install.sh" mount
if [ ! -c /dev/fuse ] || [ "$(id -u)" != 0 ]; then
    echo "SKIP ############ tests/kubernetes: no /dev/fuse, or not root. THE SIDECAR IS NOT RUN HERE. ############"
    exit 0
fi
PYTHON=$LAB_CACHE/mount/bin/python
part 120 "$HERE/manifests.py"
finish
