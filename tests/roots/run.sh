#!/usr/bin/env bash
# The root identity behind what really keeps it: custodians with age's own command, and a real OpenBao.
#
#   KLUIS_BIN=… tests/roots/run.sh [PART…]     parts: custodians transit
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
"$HERE/../lab/install.sh" age bao
export PATH=$LAB_CACHE/bin:$PATH

for name in "${@:-custodians transit}"; do
    for one in $name; do part 120 "$HERE/$one.py"; done
done
finish
