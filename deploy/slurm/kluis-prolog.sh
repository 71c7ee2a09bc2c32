#!/usr/bin/env bash
# Slurm's Prolog: mounts the published versions that a job asks for, before its first process starts. Root runs it on each node.
#
# A job asks with its comment:  #SBATCH --comment=kluis=icu-sepsis/ecg-2024@3
# and finds the data in         /run/kluis/$SLURM_JOB_ID/icu-sepsis/ecg-2024@3
#
# Several are joined by commas. The credential is $KLUIS_CREDENTIALS/<user>.env, readable by root alone; nothing of it is in the
# job's environment or home. If a version cannot be mounted the prolog fails, and Slurm requeues the job and drains the node.
set -euo pipefail
umask 022
CONF=${KLUIS_SLURM_CONF:-/etc/kluis/slurm.conf}
[ ! -f "$CONF" ] || . "$CONF"
KLUIS=${KLUIS:-/usr/bin/kluis} RUN=${KLUIS_RUN:-/run/kluis} LOG=${KLUIS_LOG:-/var/log/kluis}
CREDENTIALS=${KLUIS_CREDENTIALS:-/etc/kluis/credentials} READY_SECONDS_MAX=${KLUIS_READY_SECONDS:-30}

job=${SLURM_JOB_ID:?} user=${SLURM_JOB_USER:-$(id -nu "${SLURM_JOB_UID:?}")}
comment=${SLURM_JOB_COMMENT:-$(scontrol -o show job "$job" | sed -n 's/.* Comment=\([^ ]*\).*/\1/p')}
case $comment in *kluis=*) ;; *) exit 0 ;; esac
wanted=${comment#*kluis=}
wanted=${wanted%%;*}

install -d -m 0755 "$RUN"
install -d -m 0700 "$LOG"
# Only the job's user passes this directory; root's daemon does anyway.
install -d -m 0500 -o "$user" "$RUN/$job"
for version in ${wanted//,/ }; do
    # What comes from a job is a name and nothing else.
    [[ $version =~ ^[a-z0-9-]{1,30}/[a-z0-9-]{1,31}@[1-9][0-9]{0,6}$ ]] || { echo "kluis: not a version: $version" >&2; exit 1; }
    place=$RUN/$job/$version
    mkdir -p "$place"
    # A session of its own: the mount outlives the prolog.
    setsid "$KLUIS" mount "$version" "$place" --credentials "$CREDENTIALS/$user.env" --allow-other ${KLUIS_MOUNT_OPTIONS:-} \
        </dev/null >>"$LOG/job-$job.log" 2>&1 &
    pid=$!
    echo "$pid $place" >>"$RUN/.$job.mounts"
    # The mount must survive a shortage of memory that the job causes.
    echo -900 >"/proc/$pid/oom_score_adj" 2>/dev/null || true
    for _ in $(seq $((READY_SECONDS_MAX * 10))); do
        mountpoint -q "$place" && continue 2
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "kluis: $version is not mounted; see $LOG/job-$job.log" >&2
    exit 1
done
