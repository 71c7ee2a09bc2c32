#!/usr/bin/env bash
# Sends canaries through the vault by every way in, at the most talkative level of its log, and looks for them everywhere.
#
#   KLUIS_BIN=… tests/canary/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

part 90 "$HERE/canary.py"
finish
