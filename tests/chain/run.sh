#!/usr/bin/env bash
# A catalog and a store that do not belong together: a restored backup, two hosts on one store, snapshots that the store hides;
# and kill -9 at each durable step of a recovery and of an adoption, which writes a base of the whole catalog.
#
#   KLUIS_BIN=… tests/chain/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
"$HERE/../lab/install.sh" strace

part 300 "$HERE/apart.py"
part 300 "$HERE/cut.py"
finish
