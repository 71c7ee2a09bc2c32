#!/usr/bin/env bash
# Serves a vault for the tests: `kluis demo --headless`, on loopback and a free port.
#
#   tests/lab/kluis.sh start DIR [STORE_DIR]     STORE_DIR: a started store of store.sh, else a local store in DIR/store
#   tests/lab/kluis.sh stop DIR
#
# KLUIS_STORE_BUCKET names another bucket of that store than `blobs`. DIR gets owner.env, job.env, auditor.env and stranger.env; DIR/kluis.pid and DIR/kluis.log are the server's.
# Started again on the same DIR it goes on where it was, on the same port.
set -euo pipefail
. "$(dirname "$0")/common.sh"
KLUIS=${KLUIS_BIN:-$LAB_DIR/../../target/release/kluis}
READY_SECONDS_MAX=60

start() {
    local store=() end
    [ -x "$KLUIS" ] || die "no $KLUIS; build it, or set KLUIS_BIN"
    mkdir -p "$D"
    rm -f "$D/ready"
    [ -f "$D/port" ] || free_ports 1 >"$D/port"
    if [ -n "$STORE" ]; then
        load_store_env "$STORE"
        store=(--store "s3://${KLUIS_STORE_BUCKET:-blobs}" --store-endpoint "$AWS_ENDPOINT_URL")
    fi
    # The server needs nothing of the clients' environment, and must not fall back on it.
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL KLUIS_BUCKET
    spawn "$D" kluis "$KLUIS" demo --dir "$D" --listen "127.0.0.1:$(cat "$D/port")" --headless "${store[@]}"
    end=$((SECONDS + READY_SECONDS_MAX))
    until [ -f "$D/ready" ]; do
        if ! kill -0 "$(cat "$D/kluis.pid")" 2>/dev/null || [ $SECONDS -ge $end ]; then
            tail -n 20 "$D/kluis.log" >&2
            end_pid "$D/kluis.pid"
            die "kluis did not become ready; see $D/kluis.log"
        fi
        sleep 0.1
    done
}

[ $# -ge 2 ] || die "usage: kluis.sh start|stop DIR [STORE_DIR]"
D=$2 STORE=${3:-}
case $1 in
start) start ;;
stop) end_pid "$D/kluis.pid" ;;
*) die "start or stop, not $1" ;;
esac
