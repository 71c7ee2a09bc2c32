#!/usr/bin/env bash
# Holds a running vault against the sequential model of S3: histories of concurrent clients, on keys and on versions, with
# kills in between, and multipart uploads that are completed by many at once.
#
#   KLUIS_BIN=… tests/linear/run.sh [--long]      --long: a quarter of an hour; KLUIS_SEED=N repeats the choices of a run
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
if [ "${1:-}" = --long ]; then
    export KLUIS_LINEAR_ROUNDS=200 KLUIS_VERSIONS_ROUNDS=200 KLUIS_ONCE_ROUNDS=300
fi

if "$PYTHON" -m unittest discover -q -s "$HERE" >"$SUITE_OUT.checker" 2>&1; then
    echo "PASS the checker finds what is right and what is wrong" | tee -a "$SUITE_OUT"
else
    echo "FAIL the checker: $(tail -n 5 "$SUITE_OUT.checker" | tr '\n' ' ')" | tee -a "$SUITE_OUT"
fi
rm -f "$SUITE_OUT.checker"
part $((60 + 20 * ${KLUIS_LINEAR_ROUNDS:-9})) "$HERE/histories.py"
part $((60 + 20 * ${KLUIS_VERSIONS_ROUNDS:-6})) "$HERE/versions.py"
part $((60 + 5 * ${KLUIS_ONCE_ROUNDS:-10})) "$HERE/once.py"
finish
