#!/usr/bin/env bash
# The gate in the store, on a real one: reads are served, the gateway is killed with -9 and its directories are removed; started
# again, every read that was answered has its record, the log verifies and goes on from the checkpoints of before. The store
# hangs and dies in the middle: 503s, then serving resumes. What is not fit is refused and told why.
#
#   KLUIS_BIN=… tests/gate/run.sh      KLUIS_AUDIT_BIN: the auditor's command, else target/debug/kluis-audit
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
export KLUIS_AUDIT_BIN=${KLUIS_AUDIT_BIN:-${CARGO_TARGET_DIR:-$HERE/../../target}/debug/kluis-audit}
[ -x "$KLUIS_AUDIT_BIN" ] ||
    (cd "$HERE/../.." && cargo build -q --locked --ignore-rust-version --features sql --bin kluis-audit)
"$LAB_DIR/install.sh" python
KLUIS_LAB_RUN=$(mktemp -d -t kluis-gate-store-XXXXXX)
export KLUIS_LAB_RUN
stores=(seaweed)
[ ! -x "$LAB_CACHE/bin/garage" ] || stores+=(garage)
trap 'for name in "${stores[@]}"; do "$LAB_DIR/store.sh" stop "$name"; done; rm -rf "$KLUIS_LAB_RUN"' EXIT

"$LAB_DIR/store.sh" start seaweed
part 420 "$HERE/lost.py" "$KLUIS_LAB_RUN/seaweed"
part 120 "$HERE/unfit.py"
if [ -x "$LAB_CACHE/bin/garage" ]; then
    "$LAB_DIR/store.sh" start garage
    part 60 "$HERE/unfit.py" "$KLUIS_LAB_RUN/garage"
else
    echo "SKIP garage: not installed; the same is shown by gate::tests::store"
fi
finish
