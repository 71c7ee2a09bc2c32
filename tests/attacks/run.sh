#!/usr/bin/env bash
# Attacks an endpoint over raw sockets, with signatures of our own making, and counts what held.
#
#   tests/attacks/run.sh DIR [--pid PID] [ATTACK…]
#
# DIR holds owner.env, job.env and stranger.env, as `kluis demo --dir DIR` leaves them. With the server's
# PID its memory is watched too; with a local store in DIR/store, blobs are corrupted and put back.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"

[ $# -ge 1 ] && [ -f "$1/owner.env" ] || die "usage: attacks/run.sh DIR [--pid PID] [ATTACK…]"
KLUIS_ENV_DIR=$(cd "$1" && pwd)
shift
if [ "${1:-}" = --pid ]; then
    export KLUIS_PID=$2
    shift 2
fi
ATTACK_SECONDS_MAX=${ATTACK_SECONDS_MAX:-240}
ALL="authentication.py payload.py multipart.py input.py transport.py probing.py store_corruption.py versions.py locks.py api.py"

scratch=$(mktemp -d -t kluis-attacks-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export KLUIS_ENV_DIR KLUIS_SAMPLES=$scratch KLUIS_SCRATCH=$scratch PYTHONPATH=$HERE:$HERE/../clients
for attack in ${@:-$ALL}; do
    t0=$(now) rc=0
    timeout -k 5 "$ATTACK_SECONDS_MAX" "$LAB_CACHE/clients/bin/python" "$HERE/$attack" \
        </dev/null >"$scratch/out" 2>"$scratch/err" || rc=$?
    grep -E '^(PASS|FAIL|SKIP) ' "$scratch/out" | tee -a "$scratch/all" || true
    if [ $rc -ne 0 ] && ! grep -q '^FAIL ' "$scratch/out"; then
        echo "FAIL ${attack%.*}: ended with $rc: $(tail -c 400 "$scratch/err" | tr '\n' ' ')" | tee -a "$scratch/all"
    fi
    say "$attack took $(since "$t0") s"
done
passed=$(grep -c '^PASS ' "$scratch/all" || true)
failed=$(grep -c '^FAIL ' "$scratch/all" || true)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
