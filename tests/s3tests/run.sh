#!/usr/bin/env bash
# Runs a pinned revision of ceph/s3-tests against a Kluis and compares the outcome with docs/s3.md.
#
#   S3TESTS=CHECKOUT tests/s3tests/run.sh [--store seaweed|garage|ceph|s3s-fs] [DIR] [-- PYTEST ARGUMENTS…]
#
# CHECKOUT is a git checkout of https://github.com/ceph/s3-tests at the revision below; no package registry has
# the suite, so that a machine without one says SKIP. DIR is a running `kluis demo`; without it the script serves
# one of its own, of KLUIS_BIN (target/release/kluis), on a directory or on a real store that it starts.
#
# The tests of core.txt run: those that concern an encrypting gateway. Those that docs/s3.md lists with a reason
# must fail, all others pass; a difference either way is a failure. S3TESTS_RESULTS keeps report and log.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
REVISION=8f0ae7b404a3a2fcf7038bf1e6bf29544fe9b6a3
WORKERS=${S3TESTS_WORKERS:-2}
TEST_SECONDS_MAX=60

if [ -z "${S3TESTS:-}" ]; then
    echo "SKIP s3-tests: S3TESTS is not set; git clone https://github.com/ceph/s3-tests, checkout $REVISION"
    echo "0 passed, 0 failed"
    exit 0
fi
S3TESTS=$(cd "$S3TESTS" && pwd)
found=$(git -C "$S3TESTS" rev-parse HEAD)
[ "$found" = "$REVISION" ] || die "$S3TESTS is at $found, not at $REVISION"
git -C "$S3TESTS" diff --quiet HEAD -- s3tests || die "$S3TESTS was changed"

store= served=
[ "${1:-}" != --store ] || { store=${2:?a store} && shift 2; }
case ${1:-} in
'' | --) served=$(mktemp -d -t kluis-s3tests-XXXXXX) dir=$served ;;
*) dir=$(cd "$1" && pwd) && shift ;;
esac
[ "${1:-}" != -- ] || shift
[ -z "$store" ] || [ -n "$served" ] || die "--store and DIR exclude each other"
results=${S3TESTS_RESULTS:-$(mktemp -d -t kluis-s3tests-results-XXXXXX)}
mkdir -p "$results"
ended() {
    [ -z "$served" ] || "$HERE/../lab/kluis.sh" stop "$served"
    [ -z "$store" ] || "$HERE/../lab/store.sh" stop "$store"
    [ -z "$served" ] || rm -rf "$served" "$served-store"
    [ -n "${S3TESTS_RESULTS:-}" ] || rm -rf "$results"
}
trap ended EXIT
if [ -n "$store" ]; then
    export KLUIS_LAB_RUN=$served-store
    "$HERE/../lab/install.sh" python "$([ "$store" = seaweed ] && echo python || echo "$store")"
    "$HERE/../lab/store.sh" start "$store"
fi
[ -z "$served" ] || "$HERE/../lab/kluis.sh" start "$served" ${store:+"$KLUIS_LAB_RUN/$store"}

# The suite takes its account for its own: an owner of the demo's project, who may copy between datasets and bypass governance too, and
# no dataset that is not the suite's.
kluis() { (
    [ -z "$store" ] || load_store_env "$KLUIS_LAB_RUN/$store"
    "${KLUIS_BIN:-$HERE/../../target/release/kluis}" --config "$dir/kluis.toml" "$@" >>"$results/setup.log" 2>&1
); }
if [ ! -f "$dir/suite.env" ]; then
    kluis principal create suite
    for role in owner exporter lock-breaker; do kluis grant create demo --to suite --role "$role" --purpose test:s3 --permit s3-tests --expires 2199-12-31 --credentials "$dir/owner.env"; done
    kluis dataset delete demo/wdbc
    kluis credential create suite --output "$dir/suite.env"
fi

python=$LAB_CACHE/s3tests/bin/python
if ! cmp -s "$HERE/requirements.txt" "$LAB_CACHE/s3tests/installed"; then
    python3 -m venv "$LAB_CACHE/s3tests"
    "$python" -m pip install -q --disable-pip-version-check -r "$HERE/requirements.txt"
    cp "$HERE/requirements.txt" "$LAB_CACHE/s3tests/installed"
fi
python3 "$HERE/outcome.py" configure "$dir" >"$results/s3tests.conf"

mapfile -t tests < <(sed 's#^#s3tests/functional/#' "$HERE/core.txt")
(
    cd "$S3TESTS"
    S3TEST_CONF=$results/s3tests.conf S3_USE_SIGV4=1 AWS_REGION=kluis AWS_DEFAULT_REGION=kluis PYTHONPATH=$S3TESTS \
        "$python" -m pytest -q -p no:cacheprovider --timeout "$TEST_SECONDS_MAX" -n "$WORKERS" --tb=short \
        --junitxml="$results/report.xml" "$@" "${tests[@]}" >"$results/pytest.log" 2>&1
) || [ -s "$results/report.xml" ] || { tail -n 20 "$results/pytest.log"; die "pytest did not run"; }
python3 "$HERE/outcome.py" compare "$results/report.xml" "$HERE/core.txt" "$HERE/../../docs/s3.md"
