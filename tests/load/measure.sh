#!/usr/bin/env bash
# Compares, in one run on one machine: a store itself, a proxy before it that does no cipher (nginx), Kluis
# before it, and `rclone serve s3` over a crypt remote on it. Prints a Markdown table.
#
#   tests/load/measure.sh [--store seaweed|s3s-fs] [--seconds N] [--large-mib N] [CASE…]
#   tests/load/measure.sh [--store seaweed|s3s-fs] [--seconds N] [--rounds N] journal
#
# Cases: get-small put-small head get-large put-large stalled. Small is 4 KiB over 16 connections, large is
# --large-mib (1024) over 8. All on loopback: the load generator shares the machine with what it measures, so
# trust ratios and CPU seconds, not absolute throughput. Needs kluis and kload built:
#   cargo build --release --locked --ignore-rust-version --features measure --bins
#
# The case journal stands alone: small GETs over 16 and over 64 connections from two gateways in turn, one with
# its journal on the disk and one with it in memory (tools/memory_journal.rs), --rounds times. Without --store
# theirs is a directory, the fastest there is, so that the journal weighs the most that it can. Figures are
# medians, and so is the ratio, of each round's own.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export KLUIS_LAB_RUN=${KLUIS_LAB_RUN:-$(mktemp -d -t kluis-load-XXXXXX)}
. "$HERE/../lab/common.sh"
LAB=$HERE/../lab
TARGET=${CARGO_TARGET_DIR:-$HERE/../../target}/release
export KLUIS_BIN=${KLUIS_BIN:-$TARGET/kluis}
KLOAD=${KLOAD:-$TARGET/kload}
store= seconds=10 large_mib=1024 rounds=6 cases=()
while [ $# -gt 0 ]; do
    case $1 in
    --store) store=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --large-mib) large_mib=$2; shift 2 ;;
    -*) die "unknown option $1 (see the head of measure.sh)" ;;
    *) cases+=("$1"); shift ;;
    esac
done
case " ${cases[*]} " in " journal ") ;; *" journal "*) die "journal is measured alone" ;; esac
[ "${cases[*]}" = journal ] || store=${store:-seaweed}
[ ${#cases[@]} -gt 0 ] || cases=(get-small put-small head get-large put-large)
[ -x "$KLOAD" ] && [ -x "$KLUIS_BIN" ] || die "build kluis and kload first (see the head of measure.sh)"

kluis=$KLUIS_LAB_RUN/kluis memory=$KLUIS_LAB_RUN/kluis-memory-journal
clean_up() {
    "$LAB/kluis.sh" stop "$kluis" || true
    end_pid "$memory/kluis.pid"
    for name in rclone-crypt nginx $store; do
        [ ! -d "$KLUIS_LAB_RUN/$name" ] || "$LAB/store.sh" stop $name || true
    done
    rm -rf "$kluis" "$memory"
    rmdir "$KLUIS_LAB_RUN" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start_store() {
    "$LAB/install.sh" python "$([ "$store" = seaweed ] && echo python || echo "$store")"
    "$LAB/store.sh" start "$store"
}

start_stores() {
    "$LAB/install.sh" nginx
    start_store
    "$LAB/store.sh" start nginx "$KLUIS_LAB_RUN/$store/owner.env"
    "$LAB/store.sh" start rclone-crypt "$KLUIS_LAB_RUN/$store/owner.env"
    "$LAB/kluis.sh" start "$kluis" "$KLUIS_LAB_RUN/$store"
}

# Two vaults; the second is founded as the first is, then served with its journal in memory.
start_journals() {
    if [ -n "$store" ]; then
        start_store
        make_bucket "$KLUIS_LAB_RUN/$store/owner.env" other-blobs
    else
        "$LAB/install.sh" python
    fi
    "$LAB/kluis.sh" start "$kluis" ${store:+"$KLUIS_LAB_RUN/$store"}
    KLUIS_STORE_BUCKET=other-blobs "$LAB/kluis.sh" start "$memory" ${store:+"$KLUIS_LAB_RUN/$store"}
    "$LAB/kluis.sh" stop "$memory"
    (
        [ -z "$store" ] || load_store_env "$KLUIS_LAB_RUN/$store"
        spawn "$memory" kluis "$TARGET/memory_journal" "$memory/kluis.toml"
    )
    wait_http "$(sed -n 's/^AWS_ENDPOINT_URL=//p' "$memory/owner.env")" 30 "$memory/kluis.log"
}

# A server's directory and its processes: nginx forks workers, which do the work.
dir_of() { case $1 in direct) echo "$KLUIS_LAB_RUN/$store" ;; kluis) echo "$kluis" ;; *) echo "$KLUIS_LAB_RUN/$1" ;; esac; }
pids_of() {
    local pid
    pid=$(cat "$(dir_of "$1")"/{kluis.pid,pid} 2>/dev/null | head -n 1)
    printf -- '--pid %s ' "$pid" $(pgrep -P "$pid" || true)
}

# load SERVER OP SIZE OBJECTS CONNECTIONS SECONDS: one line of JSON.
load() {
    # shellcheck disable=SC2046
    "$KLOAD" --env "$(dir_of "$1")/owner.env" "$2" --prefix "load/$3/" --size "$3" --objects "$4" --connections "$5" \
        --seconds "$6" $(pids_of "$1") || true
}

measure() {
    local case=$1 server=$2 op=${1%-*} size=4096 objects=512 connections=16
    case $case in
    *-large) size=$((large_mib << 20)) objects=8 connections=8 ;;
    esac
    if [ "$op" != put ]; then load "$server" fill "$size" "$objects" "$connections" 0 >/dev/null; fi
    load "$server" "$op" "$size" "$objects" "$connections" "$seconds"
}

# journal CONNECTIONS: both in turn, and in the other order in every second round.
measure_journal() {
    local round server servers
    for server in kluis-memory-journal kluis; do load "$server" fill 4096 512 "$1" 0 >/dev/null; done
    for round in $(seq "$rounds"); do
        servers=(kluis-memory-journal kluis)
        [ $((round % 2)) = 1 ] || servers=(kluis kluis-memory-journal)
        for server in "${servers[@]}"; do
            printf 'journal-%s\t%s\t%s\n' "$1" "$server" "$(load "$server" get 4096 512 "$1" "$seconds")" >>"$results"
        done
    done
}

results=$(mktemp)
if [ "${cases[*]}" = journal ]; then
    start_journals >&2
    for connections in 16 64; do
        say "journal: $connections connections" >&2
        measure_journal $connections
    done
    cases=()
else
    start_stores >&2
fi
for case in "${cases[@]}"; do
    if [ "$case" = stalled ]; then
        "$LAB_CACHE/clients/bin/python" "$HERE/stalled.py" "$kluis/owner.env" "$(cat "$kluis/kluis.pid")"
        continue
    fi
    for server in direct nginx kluis rclone-crypt; do
        say "$case: $server" >&2
        printf '%s\t%s\t%s\n' "$case" "$server" "$(measure "$case" "$server")" >>"$results"
    done
done
"$LAB_CACHE/clients/bin/python" "$HERE/table.py" "$results"
rm -f "$results"
