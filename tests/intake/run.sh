#!/usr/bin/env bash
# What may not come in is refused before a byte of it is read: a label above the installation's ceiling, a dataset of which nothing is said.
#
#   KLUIS_BIN=… tests/intake/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

part 90 "$HERE/closed.py"
finish
