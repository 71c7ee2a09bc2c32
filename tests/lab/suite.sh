# What the suites with a server of their own share. Sourced by tests/NAME/run.sh, after common.sh.

PYTHON=$LAB_CACHE/clients/bin/python
[ -x "$PYTHON" ] || die "no $PYTHON; tests/lab/install.sh python"
export KLUIS_BIN=${KLUIS_BIN:-$LAB_DIR/../../target/release/kluis} PYTHONUNBUFFERED=1
[ -x "$KLUIS_BIN" ] || die "no $KLUIS_BIN; build it, or set KLUIS_BIN"
INSIDE=()
SUITE_OUT=$(mktemp -t kluis-suite-XXXXXX)
trap 'exit 130' INT TERM

# part SECONDS FILE [ARGUMENT…]: runs a driver, which ends what it started, and says so where it ended without a word.
# INSIDE is what it runs in, where that is set.
part() {
    local seconds=$1 file=$2 rc=0 before
    shift 2
    before=$(grep -c '^FAIL ' "$SUITE_OUT" || true)
    set +e
    timeout -k 20 "$seconds" "${INSIDE[@]}" "$PYTHON" "$file" "$@" </dev/null 2>&1 | tee -a "$SUITE_OUT" | grep -vE '^[0-9]+ passed, '
    rc=${PIPESTATUS[0]}
    set -e
    if [ "$rc" -gt 1 ] || { [ "$rc" != 0 ] && [ "$(grep -c '^FAIL ' "$SUITE_OUT" || true)" = "$before" ]; }; then
        echo "FAIL $(basename "${file%.py}"): ended with $rc" | tee -a "$SUITE_OUT"
    fi
}

# finish: counts what the parts said; the suite's exit code.
finish() {
    local passed failed
    passed=$(grep -c '^PASS ' "$SUITE_OUT" || true)
    failed=$(grep -c '^FAIL ' "$SUITE_OUT" || true)
    rm -f "$SUITE_OUT"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
