#!/usr/bin/env bash
# Runs real S3 clients against an endpoint and counts what they say.
#
#   tests/clients/run.sh DIR [--all | CLIENT…]      --all: those too that take long to install
#
# DIR holds owner.env and, where the endpoint knows them, job.env and stranger.env: the directory of
# `kluis demo`, or of tests/lab/store.sh. A client prints lines `PASS name` and `FAIL name: why`; one that
# ends badly without a FAIL line counts as one failure. Last line: `N passed, N failed`.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"

[ $# -ge 1 ] && [ -f "$1/owner.env" ] || die "usage: clients/run.sh DIR [--all | CLIENT…], with DIR/owner.env"
KLUIS_ENV_DIR=$(cd "$1" && pwd)
shift
CLIENT_SECONDS_MAX=${CLIENT_SECONDS_MAX:-300}
ALL="boto3_default.py boto3_versions.py boto3_locks.py boto3_crt.py minio_py.py pyarrow_fs.py duckdb_httpfs.py fsspec_s3fs.py obstore_rs.py
    polars_frames.py delta_lake.py node_sdk.mjs node_minio.mjs curl_sigv4.sh awscli1.sh awscli2.sh rclone.sh rclone160.sh
    s3cmd.sh s5cmd.sh restic.sh s3fs_mount.sh"
# What takes long to install: tests/lab/install.sh more.
MORE="iceberg_commits.py tensorstore_arrays.py torch_connector.py"

export KLUIS_ENV_DIR LAB_CACHE LAB_DIR PATH="$LAB_CACHE/bin:$PATH"
scratch=$(mktemp -d -t kluis-clients-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export KLUIS_SAMPLES=$scratch/samples
mkdir "$KLUIS_SAMPLES"
head -c 41943040 /dev/urandom >"$KLUIS_SAMPLES/large.bin" # five parts of 8 MiB
head -c 5120 /dev/urandom >"$KLUIS_SAMPLES/small.bin"
: >"$KLUIS_SAMPLES/empty.bin"

interpreter() {
    case $1 in
    fsspec_*.py | obstore_*.py | polars_*.py | delta_*.py) echo "$LAB_CACHE/data/bin/python" ;;
    iceberg_*.py | tensorstore_*.py | torch_*.py) echo "$LAB_CACHE/more/bin/python" ;;
    *.py) echo "$LAB_CACHE/clients/bin/python" ;;
    *.mjs) echo node ;;
    *) echo bash ;;
    esac
}

if [ "${1:-}" = --all ]; then set -- $ALL $MORE; fi
for client in ${@:-$ALL}; do
    t0=$(now) rc=0
    export KLUIS_SCRATCH=$scratch/${client%.*}
    mkdir -p "$KLUIS_SCRATCH"
    timeout -k 5 "$CLIENT_SECONDS_MAX" "$(interpreter "$client")" "$HERE/$client" \
        </dev/null >"$scratch/out" 2>"$scratch/err" || rc=$?
    grep -E '^(PASS|FAIL|SKIP) ' "$scratch/out" | tee -a "$scratch/all" || true
    if [ $rc -ne 0 ] && ! grep -q '^FAIL ' "$scratch/out"; then
        echo "FAIL ${client%.*}: ended with $rc: $(tail -c 400 "$scratch/err" | tr '\n' ' ')" | tee -a "$scratch/all"
    elif ! grep -qE '^(PASS|FAIL|SKIP) ' "$scratch/out"; then
        echo "FAIL ${client%.*}: checked nothing" | tee -a "$scratch/all"
    fi
    say "$client took $(since "$t0") s"
    rm -rf "$KLUIS_SCRATCH"
done

passed=$(grep -c '^PASS ' "$scratch/all" || true)
failed=$(grep -c '^FAIL ' "$scratch/all" || true)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
