#!/usr/bin/env bash
# Slurm's Prolog: mounts the published versions that a job asks for, before its first process starts. Root runs it on each node.
#
# A job asks with its comment:  #SBATCH --comment=kluis=icu-sepsis/ecg-2024@3:b.devries/0199…
# and finds the data in         /run/kluis/$SLURM_JOB_ID/icu-sepsis/ecg-2024@3
#
# What follows the version is the job's right, as `kluis job submit` prints it; several are joined by commas. It is no secret: the
# node's own key ($KLUIS_NODE, readable by root alone) vouches for the job and its account. Nothing of a credential is in the job's
# environment or home, or on a disk. If a version cannot be mounted the prolog fails, and Slurm requeues the job and drains the node.
set -euo pipefail
umask 022
CONF=${KLUIS_SLURM_CONF:-/etc/kluis/slurm.conf}
[ ! -f "$CONF" ] || . "$CONF"
KLUIS=${KLUIS:-/usr/bin/kluis} RUN=${KLUIS_RUN:-/run/kluis} LOG=${KLUIS_LOG:-/var/log/kluis}
NODE=${KLUIS_NODE:-/etc/kluis/node.env} READY_SECONDS_MAX=${KLUIS_READY_SECONDS:-30}

job=${SLURM_JOB_ID:?} user=${SLURM_JOB_USER:-$(id -nu "${SLURM_JOB_UID:?}")}
comment=${SLURM_JOB_COMMENT:-$(scontrol -o show job "$job" | sed -n 's/.* Comment=\([^ ]*\).*/\1/p')}
case $comment in *kluis=*) ;; *) exit 0 ;; esac
wanted=${comment#*kluis=}
wanted=${wanted%%;*}

install -d -m 0755 "$RUN"
install -d -m 0700 "$LOG"
# Only the job's user passes this directory; root's daemon does anyway.
install -d -m 0500 -o "$user" "$RUN/$job"
for word in ${wanted//,/ }; do
    # What comes from a job is a name and nothing else.
    [[ $word =~ ^([a-z0-9-]{1,30}/[a-z0-9-]{1,31}@[1-9][0-9]{0,6}):([a-z0-9._@-]{1,128}/[0-9a-f]{32})$ ]] ||
        { echo "kluis: not a version with a job's right: $word" >&2; exit 1; }
    version=${BASH_REMATCH[1]} right=${BASH_REMATCH[2]}
    place=$RUN/$job/$version
    mkdir -p "$place"
    # A session of its own: the mount outlives the prolog. It asks for the job's credential by itself, and renews it.
    setsid "$KLUIS" mount "$version" "$place" --node "$NODE" --job "$right" --job-number "$job" --account "$user" \
        --allow-other ${KLUIS_MOUNT_OPTIONS:-} </dev/null >>"$LOG/job-$job.log" 2>&1 &
    pid=$!
    echo "$pid $place $right" >>"$RUN/.$job.mounts"
    # The mount must survive a shortage of memory that the job causes.
    echo -900 >"/proc/$pid/oom_score_adj" 2>/dev/null || true
    for _ in $(seq $((READY_SECONDS_MAX * 10))); do
        mountpoint -q "$place" && continue 2
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "kluis: $version is not mounted; see $LOG/job-$job.log" >&2
    # The job will start again somewhere: its right goes on. What was mounted goes with the epilog.
    touch "$RUN/.$job.again"
    exit 1
done
