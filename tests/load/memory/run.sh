#!/usr/bin/env bash
# Resident memory under streams, parts, chunks, forms and listings of any size: 64 MiB, and 1 MiB for each running stream.
#
#   KLUIS_BIN=… tests/load/memory/run.sh      a release build: another allocates otherwise
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../../lab/common.sh"
. "$HERE/../../lab/suite.sh"

part 180 "$HERE/resident.py"
finish
