#!/usr/bin/env bash
# Slurm's Epilog: unmounts what the prolog mounted, whatever the job's end was, ends the job's rights here,
# and leaves nothing behind. Root runs it on each node.
set -uo pipefail
CONF=${KLUIS_SLURM_CONF:-/etc/kluis/slurm.conf}
[ ! -f "$CONF" ] || . "$CONF"
KLUIS=${KLUIS:-/usr/bin/kluis} RUN=${KLUIS_RUN:-/run/kluis} LOG=${KLUIS_LOG:-/var/log/kluis}
NODE=${KLUIS_NODE:-/etc/kluis/node.env} STOP_SECONDS_MAX=${KLUIS_STOP_SECONDS:-10}
job=${SLURM_JOB_ID:?} user=${SLURM_JOB_USER:-$(id -nu "${SLURM_JOB_UID:?}")}
list=$RUN/.$job.mounts
[ -f "$list" ] || exit 0

# The number may be another's by now.
is_ours() { tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qxF -- "$2"; }

again=
[ ! -f "$RUN/.$job.again" ] || again=--again
while read -r pid place right; do
    # SIGTERM unmounts, and tells the gateway what was read last.
    ! is_ours "$pid" "$place" || kill -TERM "$pid" 2>/dev/null
done <"$list"
while read -r pid place right; do
    for _ in $(seq $((STOP_SECONDS_MAX * 10))); do
        is_ours "$pid" "$place" || break
        sleep 0.1
    done
    ! is_ours "$pid" "$place" || kill -9 "$pid" 2>/dev/null
    ! mountpoint -q "$place" || fusermount3 -u -z "$place" 2>/dev/null || umount -l "$place"
    # Without this a right would end by itself, at the latest when the job has run for as long as it may.
    [ -z "$right" ] || timeout "$((STOP_SECONDS_MAX * 2))" "$KLUIS" job end --node "$NODE" --job "$right" --job-number "$job" \
        --account "$user" $again </dev/null >>"$LOG/job-$job.log" 2>&1
done <"$list"
rm -f "$list" "$RUN/.$job.again"
# Directories alone are left by then; should anything else be, it stays to be seen.
find "$RUN/$job" -depth -type d -exec rmdir {} + 2>/dev/null
exit 0
