#!/usr/bin/env bash
# The log streamed to real receivers, rsyslog over TLS and one of OpenTelemetry, that are killed, hang and lie.
#
#   KLUIS_BIN=… tests/streams/run.sh
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"

"$HERE/../lab/install.sh" rsyslog
part 120 "$HERE/streams.py"
finish
