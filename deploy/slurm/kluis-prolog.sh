#!/usr/bin/env bash
# Slurm's Prolog: mounts the published versions that a job asks for, before its first process starts. Root runs it on each node.
#
# A job asks with  #SBATCH --kluis=icu-sepsis/ecg-2024@3            where the plugin spank_kluis.so is,
#         or with  #SBATCH --comment=kluis=icu-sepsis/ecg-2024@3    where it is not,
# and finds the data in   /run/kluis/$SLURM_JOB_ID/icu-sepsis/ecg-2024@3
#
# Several are joined by commas. With a job's right behind the version, as `kluis job submit` prints it (…@3:b.devries/0199…; no secret),
# the node's own key ($KLUIS_NODE, readable by root alone) vouches for the job and its account, and no credential is on the node.
# Without one it is $KLUIS_CREDENTIALS/<user>.env. Nothing of either is in the job's environment or home. A version that is not written as one, is not there or may not be read ends the job, and it alone:
# nobody drains a node by a name. If a mount fails otherwise the prolog fails, and Slurm requeues the job and drains the node.
set -euo pipefail
umask 022
CONF=${KLUIS_SLURM_CONF:-/etc/kluis/slurm.conf}
[ ! -f "$CONF" ] || . "$CONF"
KLUIS=${KLUIS:-/usr/bin/kluis} RUN=${KLUIS_RUN:-/run/kluis} LOG=${KLUIS_LOG:-/var/log/kluis}
CREDENTIALS=${KLUIS_CREDENTIALS:-/etc/kluis/credentials} NODE=${KLUIS_NODE:-/etc/kluis/node.env}
READY_SECONDS_MAX=${KLUIS_READY_SECONDS:-30}
VERSIONS_MAX=16

job=${SLURM_JOB_ID:?} user=${SLURM_JOB_USER:-$(id -nu "${SLURM_JOB_UID:?}")}
wanted=${SPANK_KLUIS:-}
if [ -z "$wanted" ]; then
    comment=${SLURM_JOB_COMMENT:-$(scontrol -o show job "$job" | sed -n 's/.* Comment=\([^ ]*\).*/\1/p')}
    case $comment in *kluis=*) ;; *) exit 0 ;; esac
    wanted=${comment#*kluis=}
    wanted=${wanted%%;*}
fi

# The job asks for what it cannot have: it ends, and the epilog cleans.
turn_away() {
    echo "kluis: job $job: $1" >&2
    scontrol update jobid="$job" admincomment="kluis: $1" 2>/dev/null || true
    scancel "$job"
    exit 0
}

IFS=, read -r -a versions <<<"$wanted"
[ ${#versions[@]} -le $VERSIONS_MAX ] || turn_away "more than $VERSIONS_MAX versions"
for version in "${versions[@]}"; do
    # What comes from a job is a name and nothing else.
    [[ $version =~ ^[a-z0-9-]{1,30}/[a-z0-9-]{1,31}@([1-9][0-9]{0,6}(:[a-z0-9._@-]{1,128}/[0-9a-f]{32})?|latest)$ ]] || turn_away "a version is written project/dataset@number"
done

install -d -m 0755 "$RUN"
install -d -m 0700 "$LOG"
# The epilog cleans after whatever stands here.
: >"$RUN/.$job.mounts"
# Only the job's user passes this directory; root's daemon does anyway.
install -d -m 0500 -o "$user" "$RUN/$job"
for word in "${versions[@]}"; do
    version=${word%%:*} right=
    proof=(--credentials "$CREDENTIALS/$user.env")
    if [ "$word" != "$version" ]; then
        right=${word#*:}
        proof=(--node "$NODE" --job "$right" --job-number "$job" --account "$user")
    fi
    place=$RUN/$job/$version
    mkdir -p "$place"
    ! mountpoint -q "$place" || continue
    # A session of its own: the mount outlives the prolog. It must survive a shortage of memory that the job causes.
    (
        echo -900 >/proc/self/oom_score_adj 2>/dev/null || true
        exec setsid "$KLUIS" mount "$version" "$place" "${proof[@]}" --allow-other --supervised \
            --plan-writer "$(id -u "$user")" ${KLUIS_MOUNT_OPTIONS:-}
    ) </dev/null >>"$LOG/job-$job.log" 2>&1 &
    pid=$!
    echo "$pid $place $right" >>"$RUN/.$job.mounts"
    for _ in $(seq $((READY_SECONDS_MAX * 10))); do
        mountpoint -q "$place" && continue 2
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    code=0
    kill -0 "$pid" 2>/dev/null || wait "$pid" || code=$?
    # 1 is a no: absent, or not allowed.
    [ "$code" != 1 ] || turn_away "$version is not there, or may not be read"
    echo "kluis: $version is not mounted; see $LOG/job-$job.log" >&2
    # The job will start again somewhere: its right goes on. What was mounted goes with the epilog.
    touch "$RUN/.$job.again"
    exit 1
done
