#!/usr/bin/env bash
# Compares, in one run on one machine: a store itself, a proxy before it that does no cipher (nginx), Kluis
# before it, and `rclone serve s3` over a crypt remote on it. Prints a Markdown table.
#
#   tests/load/measure.sh [--store seaweed|s3s-fs] [--seconds N] [--large-mib N] [CASE…]
#   tests/load/measure.sh [--store seaweed|s3s-fs] [--seconds N] [--rounds N] journal
#   tests/load/measure.sh [--store seaweed] [--seconds N] [--rounds N] gate
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
#
# The case gate stands alone, too: small GETs over 16 and over 64 connections from three gateways on one store in
# turn, with `journal.gate` local, both and store, --rounds times.
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
case " ${cases[*]} " in
" journal " | " gate ") ;;
*" journal "* | *" gate "*) die "journal and gate are measured alone" ;;
esac
[ "${cases[*]}" = journal ] || store=${store:-seaweed}
[ ${#cases[@]} -gt 0 ] || cases=(get-small put-small head get-large put-large)
[ -x "$KLOAD" ] && [ -x "$KLUIS_BIN" ] || die "build kluis and kload first (see the head of measure.sh)"

kluis=$KLUIS_LAB_RUN/kluis memory=$KLUIS_LAB_RUN/kluis-memory-journal
clean_up() {
    for name in kluis gate-local gate-both gate-store; do "$LAB/kluis.sh" stop "$KLUIS_LAB_RUN/$name" || true; done
    end_pid "$memory/kluis.pid"
    for name in rclone-crypt nginx $store; do
        [ ! -d "$KLUIS_LAB_RUN/$name" ] || "$LAB/store.sh" stop $name || true
    done
    rm -rf "$kluis" "$memory" "$KLUIS_LAB_RUN"/gate-{local,both,store}
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

# Three vaults on one store, each with a bucket of its own; founded alike, then served with their gates.
start_gates() {
    local gate
    start_store
    for gate in local both store; do
        make_bucket "$KLUIS_LAB_RUN/$store/owner.env" "blobs-$gate"
        export KLUIS_STORE_BUCKET=blobs-$gate
        "$LAB/kluis.sh" start "$KLUIS_LAB_RUN/gate-$gate" "$KLUIS_LAB_RUN/$store"
        "$LAB/kluis.sh" stop "$KLUIS_LAB_RUN/gate-$gate"
        printf '\n' >>"$KLUIS_LAB_RUN/gate-$gate/kluis.toml"
        sed -i -e "s/^\[journal\]/&\ngate = \"$gate\"/" -e 's/^\[catalog\]/&\nsnapshot_wait = true/' \
            "$KLUIS_LAB_RUN/gate-$gate/kluis.toml"
        grep -q '^gate = ' "$KLUIS_LAB_RUN/gate-$gate/kluis.toml" || die "no section [journal] to set the gate in"
        "$LAB/kluis.sh" start "$KLUIS_LAB_RUN/gate-$gate" "$KLUIS_LAB_RUN/$store"
    done
    unset KLUIS_STORE_BUCKET
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

# in_turn CASE CONNECTIONS SERVER…: small GETs from all in turn, and in the other order in every second round.
in_turn() {
    local case=$1 connections=$2 round server servers
    shift 2
    for server in "$@"; do load "$server" fill 4096 512 "$connections" 0 >/dev/null; done
    for round in $(seq "$rounds"); do
        servers=("$@")
        [ $((round % 2)) = 1 ] || mapfile -t servers < <(printf '%s\n' "$@" | tac)
        for server in "${servers[@]}"; do
            printf '%s-%s\t%s\t%s\n' "$case" "$connections" "$server" \
                "$(load "$server" get 4096 512 "$connections" "$seconds")" >>"$results"
        done
    done
}

results=$(mktemp)
if [ "${cases[*]}" = journal ]; then
    start_journals >&2
    for connections in 16 64; do
        say "journal: $connections connections" >&2
        in_turn journal $connections kluis-memory-journal kluis
    done
    cases=()
elif [ "${cases[*]}" = gate ]; then
    start_gates >&2
    for connections in 16 64; do
        say "gate: $connections connections" >&2
        in_turn gate $connections gate-local gate-both gate-store
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
