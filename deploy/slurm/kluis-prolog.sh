#!/usr/bin/env bash
# Slurm's Prolog: mounts the published versions that a job asks for, before its first process starts. Root runs it on each node.
#
# A job asks with  #SBATCH --kluis=icu-sepsis/ecg-2024@3            where the plugin spank_kluis.so is,
#         or with  #SBATCH --comment=kluis=icu-sepsis/ecg-2024@3    where it is not,
# and finds the data in   /run/kluis/$SLURM_JOB_ID/icu-sepsis/ecg-2024@3
#
# Several are joined by commas. With a job's right behind the version, as `kluis job submit` prints it (…@3:b.devries/0199…; no secret),
# the node's own key ($KLUIS_NODE, readable by root alone) vouches for the job and its account, and no credential is on the node.
# Without one it is $KLUIS_CREDENTIALS/<user>.env. Nothing of either is in the job's environment or home. A version that is not written as one, is not there,
# may not be read, or for which this node has no credential or identity, ends the job, and it alone: nobody drains a node by a name. If a mount fails otherwise
# the prolog fails, and Slurm requeues the job and drains the node.
#
# Nothing that root walks here belongs to the job's user: of the directory of the job root alone is the owner, and each mount lets
# this one user in (--reader).
set -euo pipefail
umask 022
# A letter is one of 26.
export LC_ALL=C
CONF=${KLUIS_SLURM_CONF:-/etc/kluis/slurm.conf}
[ ! -f "$CONF" ] || . "$CONF"
# Where deploy/README.md installs it, else where a package of a distribution would.
[ -n "${KLUIS:-}" ] || { KLUIS=/usr/local/bin/kluis; [ -x "$KLUIS" ] || KLUIS=/usr/bin/kluis; }
LOG=${KLUIS_LOG:-/var/log/kluis}
RUN=$(realpath -m -- "${KLUIS_RUN:-/run/kluis}")
CREDENTIALS=${KLUIS_CREDENTIALS:-/etc/kluis/credentials} NODE=${KLUIS_NODE:-/etc/kluis/node.env}
READY_SECONDS_MAX=${KLUIS_READY_SECONDS:-30}
MEMORY_MIB=${KLUIS_MEMORY_MIB:-256} GRACE_SECONDS=${KLUIS_GRACE_SECONDS:-600}
# Of a job without an end: as long as a right lasts at most.
VERSIONS_MAX=16 LASTS_SECONDS_MAX=$((30 * 86400))

# What a job left whose epilog did not come to its end, also of an earlier start of this one. Where nothing is, this asks nobody.
sweep=$(dirname "$0")/kluis-epilog.sh
[ ! -x "$sweep" ] || "$sweep" --sweep || exit 1

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
[ ${#versions[@]} -ge 1 ] || turn_away "no version is named"
[ ${#versions[@]} -le $VERSIONS_MAX ] || turn_away "more than $VERSIONS_MAX versions"
# What comes from a job is a name and nothing else, and none that a command would take for an option.
label='[a-z0-9]+(-[a-z0-9]+)*'
name="^($label)/($label)@([1-9][0-9]{0,6}(:[a-z0-9._@][a-z0-9._@-]{0,127}/[0-9a-f]{32})?|latest)\$"
for version in "${versions[@]}"; do
    [ ${#version} -le 300 ] && [[ $version =~ $name ]] && [ ${#BASH_REMATCH[1]} -le 30 ] && [ ${#BASH_REMATCH[3]} -le 63 ] ||
        turn_away "a version is written project/dataset@number"
    case $version in
    *:*) [ -r "$NODE" ] || turn_away "this node has no identity, so it takes no job's right" ;;
    *) [ -r "$CREDENTIALS/$user.env" ] || turn_away "there is no credential of $user on this node" ;;
    esac
done

install -d -m 0755 "$RUN"
install -d -m 0700 "$LOG"
[ -O "$RUN" ] || { echo "kluis: $RUN is not root's" >&2 && exit 1; }
# The epilog cleans after whatever stands here.
list=$RUN/.$job.mounts
(umask 077 && : >"$list")
# Where nothing of Slurm's comes here any more, the mounts end by themselves, soon after the job's time: what this file says.
end=${SLURM_JOB_END_TIME:-}
[ -n "$end" ] || end=$(SLURM_TIME_FORMAT=standard squeue -h -j "$job" -o %e 2>/dev/null) || end=
[[ $end =~ ^[0-9]*$ ]] || end=$(date -d "$end" +%s 2>/dev/null) || end=
(umask 077 && touch -d "@$((${end:-$(($(date +%s) + LASTS_SECONDS_MAX))} + GRACE_SECONDS))" "$RUN/.$job.end")
# One that is there already is nobody's that could be believed.
mkdir -m 0711 "$RUN/$job"
# A job's mounts share one budget of memory, however many it asks for.
share=$((MEMORY_MIB / ${#versions[@]}))
memory=(--memory $((share > 16 ? share : 16)))
case " ${KLUIS_MOUNT_OPTIONS:-}" in *" --memory"*) memory=() ;; esac
for word in "${versions[@]}"; do
    version=${word%%:*} right=
    proof=(--credentials "$CREDENTIALS/$user.env")
    if [ "$word" != "$version" ]; then
        right=${word#*:}
        proof=(--node "$NODE" "--job=$right" --job-number "$job" --account "$user")
    fi
    place=$RUN/$job/$version
    # Named twice.
    [ ! -d "$place" ] || continue
    mkdir -p "$place"
    # A session of its own: the mount outlives the prolog. It must survive a shortage of memory that the job causes.
    (
        # 3: it could not be tried. Who puts mounts into a cgroup of their own bounds what they take.
        [ -z "${KLUIS_CGROUP:-}" ] || echo $BASHPID >>"$KLUIS_CGROUP/cgroup.procs" || exit 3
        echo -900 >/proc/self/oom_score_adj 2>/dev/null || true
        exec setsid "$KLUIS" mount "$version" "$place" "${proof[@]}" --allow-other --supervised \
            --while "$RUN/.$job.end" --reader "${SLURM_JOB_UID:-$(id -u "$user")}" "${memory[@]}" ${KLUIS_MOUNT_OPTIONS:-}
    ) </dev/null >>"$LOG/job-$job.log" 2>&1 &
    pid=$!
    echo "$pid $place $user $right" >>"$list"
    for _ in $(seq $((READY_SECONDS_MAX * 10))); do
        mountpoint -q "$place" && continue 2
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    code=0
    kill -0 "$pid" 2>/dev/null || wait "$pid" || code=$?
    # 1 is a no: absent, or not allowed. 2 is a name or a file that is none: it would be none on the next node, too.
    case $code in
    1) turn_away "$version is not there, or may not be read" ;;
    2) turn_away "$version cannot be asked for so" ;;
    esac
    echo "kluis: $version is not mounted; see $LOG/job-$job.log" >&2
    # The job will start again somewhere: its right goes on. What was mounted goes with the epilog.
    touch "$RUN/.$job.again"
    exit 1
done
