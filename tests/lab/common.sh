# What the lab's shell scripts share. Sourced, never run.
#
# LAB_CACHE holds what is installed (kept between runs); LAB_RUN holds the servers of one run:
# a directory per server with its data, its log, its pid file and the env files of its users.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_CACHE=${KLUIS_LAB:-$HOME/.cache/kluis-lab}
LAB_RUN=${KLUIS_LAB_RUN:-$LAB_CACHE/run}

# Loopback only: no proxy, no foreign bundle of certificates, no profile of the person who runs this.
unset AWS_CA_BUNDLE AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL_S3
export no_proxy='*' NO_PROXY='*' AWS_EC2_METADATA_DISABLED=true AWS_PAGER='' PYTHONDONTWRITEBYTECODE=1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null

say() { printf '   %s\n' "$*"; }
die() { printf 'lab: error: %s\n' "$*" >&2; exit 1; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

# free_ports N: N free loopback ports, held together for a moment so that no two are the same.
# They stay below the range that the kernel hands to clients.
free_ports() {
    python3 - "$1" <<'P'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(12000, 28000)))
        held.append(s)
    except OSError:
        s.close()
print(*(s.getsockname()[1] for s in held))
P
}

# spawn DIR NAME COMMAND…: starts COMMAND in a session of its own; DIR/NAME.pid and DIR/NAME.log.
spawn() {
    local dir=$1 name=$2
    shift 2
    setsid "$@" </dev/null >>"$dir/$name.log" 2>&1 &
    echo $! >"$dir/$name.pid"
}

# end_pid FILE: ends the process that FILE names, and those it started, within about ten seconds.
end_pid() {
    local file=$1 pid
    [ -f "$file" ] || return 0
    pid=$(cat "$file")
    rm -f "$file"
    kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 -- "-$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null || true
}

# wait_http URL SECONDS LOG: until URL answers anything at all.
wait_http() {
    local end=$((SECONDS + $2))
    until curl -s -o /dev/null --max-time 2 "$1"; do
        if [ $SECONDS -ge $end ]; then
            tail -n 20 "$3" >&2
            die "no answer at $1 after $2 s; see $3"
        fi
        sleep 0.2
    done
}

# write_env FILE ENDPOINT KEY SECRET REGION BUCKET: a credential, in the shape that `kluis demo` writes.
write_env() {
    printf '%s\n' "AWS_ENDPOINT_URL=$2" "AWS_ACCESS_KEY_ID=$3" "AWS_SECRET_ACCESS_KEY=$4" \
        "AWS_REGION=$5" "KLUIS_BUCKET=$6" >"$1"
    chmod 600 "$1"
}

# load_env FILE: the variables of an env file, exported.
load_env() {
    set -a
    # shellcheck disable=SC1090
    . "$1"
    AWS_DEFAULT_REGION=$AWS_REGION
    set +a
}

# load_store_env DIR: the started store of DIR as Kluis' backend: AWS_ENDPOINT_URL, and its credentials under the
# names that Kluis reads.
load_store_env() {
    load_env "$1/owner.env"
    export KLUIS_STORE_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID KLUIS_STORE_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY
}

# make_bucket ENV BUCKET: creates BUCKET as the user of the env file; asks again while the store starts.
make_bucket() {
    (
        load_env "$1"
        "$LAB_CACHE/clients/bin/python" "$LAB_DIR/make_bucket.py" "$2"
    )
}
