#!/usr/bin/env bash
# Slurm's Epilog: unmounts what the prolog mounted, whatever the job's end was, ends the job's rights here,
# and leaves nothing behind. Root runs it on each node. What stays mounted fails it, and Slurm drains the node.
#
#   kluis-epilog.sh --sweep     the same for jobs that this node no longer has and whose epilog never came to its end; of those that
#                               it has, the mounts' end follows the job's, should its time be changed. The prolog does so first, and
#                               a timer may
set -uo pipefail
CONF=${KLUIS_SLURM_CONF:-/etc/kluis/slurm.conf}
[ ! -f "$CONF" ] || . "$CONF"
# Where deploy/README.md installs it, else where a package of a distribution would.
[ -n "${KLUIS:-}" ] || { KLUIS=/usr/local/bin/kluis; [ -x "$KLUIS" ] || KLUIS=/usr/bin/kluis; }
LOG=${KLUIS_LOG:-/var/log/kluis}
RUN=$(realpath -m -- "${KLUIS_RUN:-/run/kluis}")
NODE=${KLUIS_NODE:-/etc/kluis/node.env} STOP_SECONDS_MAX=${KLUIS_STOP_SECONDS:-10} GRACE_SECONDS=${KLUIS_GRACE_SECONDS:-600}

# The number may be another's by now.
is_ours() { tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | grep -qxF -- "$2"; }

# standing JOB: what is mounted below its directory, as the kernel has it: no name is looked up for it.
standing() { awk -v top="$RUN/$1/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo; }

# clean JOB: 1 if anything of it stays mounted; its list stays then, too.
clean() {
    local job=$1 list=$RUN/.$1.mounts again= pid place account right
    [ -f "$list" ] || return 0
    # Root alone from here on, also where an older prolog had made the directory the user's.
    if [ -d "$RUN/$job" ] && [ ! -L "$RUN/$job" ]; then chown -h 0:0 "$RUN/$job" && chmod 0700 "$RUN/$job"; fi
    [ ! -f "$RUN/.$job.again" ] || again=--again
    while read -r pid place account right; do
        # SIGTERM unmounts, and tells the gateway what was read last.
        ! is_ours "$pid" "$place" || kill -TERM "$pid" 2>/dev/null
    done <"$list"
    while read -r pid place account right; do
        for _ in $(seq $((STOP_SECONDS_MAX * 10))); do
            is_ours "$pid" "$place" || break
            sleep 0.1
        done
        ! is_ours "$pid" "$place" || kill -9 "$pid" 2>/dev/null
    done <"$list"
    standing "$job" | while read -r place; do umount -l -- "$place"; done
    while read -r pid place account right; do
        # Without this a right would end by itself, at the latest when the job has run for as long as it may.
        [ -z "$right" ] || timeout "$((STOP_SECONDS_MAX * 2))" "$KLUIS" job end --node "$NODE" --job="$right" --job-number "$job" \
            --account "$account" $again </dev/null >>"$LOG/job-$job.log" 2>&1
    done <"$list"
    if [ -n "$(standing "$job")" ]; then
        echo "kluis: job $job: it cannot be unmounted: $(standing "$job" | tr '\n' ' ')" >&2
        return 1
    fi
    rm -f "$list" "$RUN/.$job.again" "$RUN/.$job.end"
    # Directories alone are left by then; should anything else be, it stays to be seen.
    find "$RUN/$job" -xdev -depth -type d -exec rmdir {} + 2>/dev/null
    return 0
}

if [ "${1:-}" != --sweep ]; then
    clean "${SLURM_JOB_ID:?}"
    exit
fi
compgen -G "$RUN/.*.mounts" >/dev/null || exit 0
# A node that cannot ask ends nothing.
here=$(SLURM_TIME_FORMAT=standard squeue -h -w "${SLURMD_NODENAME:-$(hostname -s)}" -o '%A %e') || exit 0
while read -r job end; do
    [ -n "$end" ] && end=$(date -d "$end" +%s 2>/dev/null) && touch -c -d "@$((end + GRACE_SECONDS))" "$RUN/.$job.end"
done <<<"$here"
failed=0
for list in "$RUN"/.*.mounts; do
    job=${list##*/.}
    job=${job%.mounts}
    # Of a job that is only about to begin, anything that stands is of an earlier start.
    [ "$job" = "${SLURM_JOB_ID:-}" ] || ! grep -q -- "^$job " <<<"$here" || continue
    clean "$job" || failed=1
done
exit $failed
