#!/usr/bin/env bash
# The log's volumes under Object Lock on a real store (SeaweedFS): what its administrator can and cannot do to them.
#
#   KLUIS_BIN=… tests/worm/run.sh      KLUIS_AUDIT_BIN: the auditor's command, else target/debug/kluis-audit
#   KLUIS_WORM_STORE=ceph              the same on Ceph RGW (tests/lab/install.sh ceph)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
STORE=${KLUIS_WORM_STORE:-seaweed}
if [ "$STORE" = seaweed ] && [ ! -x "$LAB_CACHE/bin/weed" ]; then
    echo "SKIP worm: no SeaweedFS; tests/lab/install.sh python"
    exit 0
fi
export KLUIS_AUDIT_BIN=${KLUIS_AUDIT_BIN:-${CARGO_TARGET_DIR:-$HERE/../../target}/debug/kluis-audit}
[ -x "$KLUIS_AUDIT_BIN" ] ||
    (cd "$HERE/../.." && cargo build -q --locked --ignore-rust-version --features sql --bin kluis-audit)
"$LAB_DIR/install.sh" strace
KLUIS_LAB_RUN=$(mktemp -d -t kluis-worm-XXXXXX)
export KLUIS_LAB_RUN
LAB_RUN=$KLUIS_LAB_RUN
stop_all() {
    "$LAB_DIR/store.sh" stop "$STORE" || true
    rm -rf "$LAB_RUN"
}
trap stop_all EXIT

"$LAB_DIR/store.sh" start "$STORE"
part 150 "$HERE/worm.py" "$LAB_RUN/$STORE" "$LAB_RUN"
finish
