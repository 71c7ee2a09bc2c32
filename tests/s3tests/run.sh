#!/usr/bin/env bash
# Runs a pinned revision of ceph/s3-tests against a Kluis and compares the outcome with docs/s3.md.
#
#   S3TESTS=CHECKOUT tests/s3tests/run.sh [--clock] [--store seaweed|garage|ceph|s3s-fs] [DIR] [-- PYTEST ARGUMENTS…]
#   S3TESTS=CHECKOUT tests/s3tests/run.sh [--whole] [--direct seaweed|garage|ceph] [-- PYTEST ARGUMENTS…]
#
# CHECKOUT is a git checkout of https://github.com/ceph/s3-tests at the revision below; no package registry has
# the suite, so that a machine without one says SKIP. DIR is a running `kluis demo`; without it the script serves
# one of its own, of KLUIS_BIN (target/release/kluis), on a directory or on a real store that it starts.
#
# The tests of core.txt run: those that concern an encrypting gateway. With --clock those of clock.txt, which wait for
# a lifecycle: KLUIS_BIN is then built with `--features short-days`, and a day lasts nine seconds where the suite counts
# ten (Kluis' days end at midnight). Those that docs/s3.md lists with a reason must fail, all others pass; a difference
# either way is a failure.
#
# --whole runs all of the suite but what it marks as of another product's or configuration's (below), and compares it with
# docs/s3.md and docs/s3-tests.md together. --direct runs the tests of both lists, or the whole suite, against a store of the lab itself with no Kluis
# before it: how many pass is printed. S3TESTS_RESULTS keeps report and log.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
REVISION=8f0ae7b404a3a2fcf7038bf1e6bf29544fe9b6a3
WORKERS=${S3TESTS_WORKERS:-2}
TEST_SECONDS_MAX=60 DAY_SECONDS=9
# Waits for clocks, and what no store serves by itself or by S3's interface alone.
APART='not (lifecycle or lifecycle_expiration or lifecycle_transition or cloud_transition or cloud_restore or s3website
 or s3website_routing_rules or s3website_redirect_location or bucket_logging or bucket_logging_cleanup or appendobject or s3select
 or sns or storage_class or iam_account or iam_cross_account or iam_role or iam_tenant or iam_user or fails_on_s3 or auth_aws2
 or target_by_bucket)'
# It ends the radosgw of Ceph 16.2, and all that comes after it.
FATAL_TO_CEPH=test_upload_part_copy_percent_encoded_key

if [ -z "${S3TESTS:-}" ]; then
    echo "SKIP s3-tests: S3TESTS is not set; git clone https://github.com/ceph/s3-tests, checkout $REVISION"
    echo "0 passed, 0 failed"
    exit 0
fi
S3TESTS=$(cd "$S3TESTS" && pwd)
found=$(git -C "$S3TESTS" rev-parse HEAD)
[ "$found" = "$REVISION" ] || die "$S3TESTS is at $found, not at $REVISION"
git -C "$S3TESTS" diff --quiet HEAD -- s3tests || die "$S3TESTS was changed"

store= served= direct= list=core whole=
while :; do
    case ${1:-} in
    --clock) list=clock ;;
    --whole) whole=1 ;;
    --store) store=${2:?a store} && shift ;;
    --direct) direct=${2:?a store} store=$2 && shift ;;
    *) break ;;
    esac
    shift
done
case ${1:-} in
'' | --) served=$(mktemp -d -t kluis-s3tests-XXXXXX) dir=$served ;;
*) dir=$(cd "$1" && pwd) && shift ;;
esac
[ "${1:-}" != -- ] || shift
[ -z "$store" ] || [ -n "$served" ] || die "a store and DIR exclude each other"
[ $list = core ] || [ -n "$served" ] || die "--clock serves a Kluis of its own"
results=${S3TESTS_RESULTS:-$(mktemp -d -t kluis-s3tests-results-XXXXXX)}
mkdir -p "$results"
ended() {
    [ -z "$served" ] || [ -n "$direct" ] || "$HERE/../lab/kluis.sh" stop "$served"
    [ -z "$store" ] || "$HERE/../lab/store.sh" stop "$store"
    [ -z "$served" ] || rm -rf "$served" "$served-store"
    [ -n "${S3TESTS_RESULTS:-}" ] || rm -rf "$results"
}
trap ended EXIT
if [ -n "$store" ]; then
    export KLUIS_LAB_RUN=$served-store KLUIS_LAB_SUITE=$direct
    "$HERE/../lab/install.sh" python "$([ "$store" = seaweed ] && echo python || echo "$store")"
    "$HERE/../lab/store.sh" start "$store"
fi
before=${store:+"$KLUIS_LAB_RUN/$store"}

# The suite takes its account for its own: an owner of the demo's project, who may copy between datasets and bypass governance too, and
# no dataset that is not the suite's.
kluis() { (
    [ -z "$store" ] || load_store_env "$before"
    "${KLUIS_BIN:-$HERE/../../target/release/kluis}" --config "$dir/kluis.toml" "$@" >>"$results/setup.log" 2>&1
); }
people() {
    [ ! -f "$dir/suite.env" ] || return 0
    kluis principal create suite
    for role in owner exporter lock-breaker; do kluis grant create demo --to suite --role "$role" --purpose test:s3 --permit s3-tests --expires 2199-12-31 --credentials "$dir/owner.env"; done
    kluis dataset delete demo/wdbc
    kluis credential create suite --output "$dir/suite.env"
}
if [ -z "$direct" ]; then
    [ -z "$served" ] || "$HERE/../lab/kluis.sh" start "$served" ${before:+"$before"}
    people
    if [ $list = clock ]; then
        "$HERE/../lab/kluis.sh" stop "$served"
        printf '\n[sweep]\ninterval = "1s"\n' >>"$served/kluis.toml"
        KLUIS_DAY_SECONDS=$DAY_SECONDS "$HERE/../lab/kluis.sh" start "$served" ${before:+"$before"}
        grep -q 'a build for tests' "$served/kluis.log" || die "KLUIS_BIN has no short days: cargo build --features short-days"
        # They wait and do little beside that.
        WORKERS=${S3TESTS_WORKERS:-16} TEST_SECONDS_MAX=240
    fi
fi

python=$LAB_CACHE/s3tests/bin/python
if ! cmp -s "$HERE/requirements.txt" "$LAB_CACHE/s3tests/installed"; then
    python3 -m venv "$LAB_CACHE/s3tests"
    "$python" -m pip install -q --disable-pip-version-check -r "$HERE/requirements.txt"
    cp "$HERE/requirements.txt" "$LAB_CACHE/s3tests/installed"
fi
if [ -n "$direct" ]; then
    python3 "$HERE/outcome.py" direct "$before" >"$results/s3tests.conf"
    region=$(sed -n 's/^AWS_REGION=//p' "$before/owner.env")
else
    python3 "$HERE/outcome.py" configure "$dir" >"$results/s3tests.conf"
    region=kluis
fi

# suite REPORT WORKERS SECONDS ARGUMENTS…: one run of pytest.
suite() {
    local report=$1 workers=$2 seconds=$3
    shift 3
    (
        cd "$S3TESTS"
        S3TEST_CONF=$results/s3tests.conf S3_USE_SIGV4=1 AWS_REGION=$region AWS_DEFAULT_REGION=$region PYTHONPATH=$S3TESTS \
            "$python" -m pytest -q -p no:cacheprovider --timeout "$seconds" -n "$workers" --tb=short \
            --junitxml="$results/$report.xml" "$@" >"$results/$report.log" 2>&1
    ) || [ -s "$results/$report.xml" ] || { tail -n 20 "$results/$report.log"; die "pytest did not run"; }
}
but=()
[ "$direct" != ceph ] || but=(--deselect "s3tests/functional/test_s3.py::$FATAL_TO_CEPH")
mapfile -t core < <(sed 's#^#s3tests/functional/#' "$HERE/core.txt")
mapfile -t clock < <(sed 's#^#s3tests/functional/#' "$HERE/clock.txt")
if [ -n "$whole" ]; then
    suite report "$WORKERS" "$TEST_SECONDS_MAX" "$@" "${but[@]}" -m "${APART//$'\n'/}" \
        s3tests/functional/test_s3.py s3tests/functional/test_headers.py
    if [ -n "$direct" ]; then
        python3 "$HERE/outcome.py" count "$results/report.xml" "$HERE/core.txt" "$HERE/clock.txt"
    else
        python3 "$HERE/outcome.py" whole "$results/report.xml" "$HERE"/../../docs/{s3,s3-tests}.md
    fi
elif [ -n "$direct" ]; then
    suite clock 16 240 "$@" "${clock[@]}"
    python3 "$HERE/outcome.py" count "$results/clock.xml" "$HERE/clock.txt"
    suite report "$WORKERS" "$TEST_SECONDS_MAX" "$@" "${but[@]}" "${core[@]}"
    python3 "$HERE/outcome.py" count "$results/report.xml" "$HERE/core.txt"
else
    [ $list = core ] && tests=("${core[@]}") || tests=("${clock[@]}")
    suite report "$WORKERS" "$TEST_SECONDS_MAX" "$@" "${tests[@]}"
    python3 "$HERE/outcome.py" compare "$results/report.xml" "$HERE/$list.txt" "$HERE/../../docs/s3.md"
fi
