#!/usr/bin/env bash
# Kills the vault with -9 under load, again and again, and its store too; what was acknowledged must still be there.
#
#   KLUIS_BIN=… tests/crash/run.sh      KLUIS_CRASH_ROUNDS=100 for more; KLUIS_SEED=N repeats the choices of a run
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
export KLUIS_CRASH_ROUNDS=${KLUIS_CRASH_ROUNDS:-12}
KLUIS_LAB_RUN=$(mktemp -d -t kluis-crash-store-XXXXXX)
export KLUIS_LAB_RUN
trap '"$LAB_DIR/store.sh" stop seaweed; rm -rf "$KLUIS_LAB_RUN"' EXIT

part $((60 + 12 * KLUIS_CRASH_ROUNDS)) "$HERE/killed.py"
if [ -x "$LAB_CACHE/bin/weed" ]; then
    "$LAB_DIR/store.sh" start seaweed
    part 180 "$HERE/store_lost.py" "$KLUIS_LAB_RUN/seaweed"
else
    echo "SKIP store_lost: no SeaweedFS; tests/lab/install.sh python"
fi
finish
