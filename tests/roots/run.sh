#!/usr/bin/env bash
# The root identity behind what really keeps it: custodians with age's own command, a real OpenBao, a PKCS#11 token (SoftHSM), an
# age plugin with a device made of a file.
#
#   KLUIS_BIN=… tests/roots/run.sh [PART…]     parts: custodians transit pkcs11 plugin
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
"$HERE/../lab/install.sh" age bao token
export PATH=$LAB_CACHE/bin:$PATH

for name in "${@:-custodians transit pkcs11 plugin}"; do
    for one in $name; do part 120 "$HERE/$one.py"; done
done
finish
