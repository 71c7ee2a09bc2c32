#!/usr/bin/env bash
# Compares, in one run on one machine: a store itself, a proxy before it that does no cipher (nginx), Kluis
# before it, and `rclone serve s3` over a crypt remote on it. Prints a Markdown table.
#
#   tests/load/measure.sh [--store seaweed|s3s-fs] [--seconds N] [--large-mib N] [CASE…]
#
# Cases: get-small put-small head get-large put-large stalled. Small is 4 KiB over 16 connections, large is
# --large-mib (1024) over 8. All on loopback: the load generator shares the machine with what it measures, so
# trust ratios and CPU seconds, not absolute throughput. Needs kluis and kload built:
#   cargo build --release --locked --ignore-rust-version --bin kluis --example kload
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export KLUIS_LAB_RUN=${KLUIS_LAB_RUN:-$(mktemp -d -t kluis-load-XXXXXX)}
. "$HERE/../lab/common.sh"
LAB=$HERE/../lab
TARGET=${CARGO_TARGET_DIR:-$HERE/../../target}/release
export KLUIS_BIN=${KLUIS_BIN:-$TARGET/kluis}
KLOAD=${KLOAD:-$TARGET/examples/kload}
store=seaweed seconds=10 large_mib=1024 cases=()
while [ $# -gt 0 ]; do
    case $1 in
    --store) store=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --large-mib) large_mib=$2; shift 2 ;;
    -*) die "unknown option $1 (see the head of measure.sh)" ;;
    *) cases+=("$1"); shift ;;
    esac
done
[ ${#cases[@]} -gt 0 ] || cases=(get-small put-small head get-large put-large)
[ -x "$KLOAD" ] && [ -x "$KLUIS_BIN" ] || die "build kluis and kload first (see the head of measure.sh)"

kluis=$KLUIS_LAB_RUN/kluis
clean_up() {
    "$LAB/kluis.sh" stop "$kluis" || true
    for name in rclone-crypt nginx "$store"; do "$LAB/store.sh" stop $name || true; done
    rm -rf "$kluis"
    rmdir "$KLUIS_LAB_RUN" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

{
    "$LAB/install.sh" python nginx "$([ "$store" = seaweed ] && echo python || echo "$store")"
    "$LAB/store.sh" start "$store"
    "$LAB/store.sh" start nginx "$KLUIS_LAB_RUN/$store/owner.env"
    "$LAB/store.sh" start rclone-crypt "$KLUIS_LAB_RUN/$store/owner.env"
    "$LAB/kluis.sh" start "$kluis" "$KLUIS_LAB_RUN/$store"
} >&2

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

results=$(mktemp)
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
