#!/usr/bin/env bash
# A vault on SeaweedFS behind nginx, whose access log is held against what Kluis recorded: everything through the
# vault is covered, and what goes around it is found.
#
#   KLUIS_BIN=… tests/reconcile/run.sh      KLUIS_AUDIT_BIN: the auditor's command, else target/debug/kluis-audit
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
if [ ! -x "$LAB_CACHE/bin/weed" ]; then
    echo "SKIP reconcile: no SeaweedFS; tests/lab/install.sh python"
    exit 0
fi
[ -x /usr/sbin/nginx ] || "$LAB_DIR/install.sh" nginx
export KLUIS_AUDIT_BIN=${KLUIS_AUDIT_BIN:-${CARGO_TARGET_DIR:-$HERE/../../target}/debug/kluis-audit}
[ -x "$KLUIS_AUDIT_BIN" ] ||
    (cd "$HERE/../.." && cargo build -q --locked --ignore-rust-version --features sql --bin kluis-audit)
KLUIS_LAB_RUN=$(mktemp -d -t kluis-reconcile-XXXXXX)
export KLUIS_LAB_RUN NGINX_ACCESS_LOG=$KLUIS_LAB_RUN/access.log
LAB_RUN=$KLUIS_LAB_RUN
stop_all() {
    "$LAB_DIR/kluis.sh" stop "$LAB_RUN/vault" || true
    "$LAB_DIR/store.sh" stop nginx || true
    "$LAB_DIR/store.sh" stop seaweed || true
    rm -rf "$LAB_RUN"
}
trap stop_all EXIT

"$LAB_DIR/store.sh" start seaweed
"$LAB_DIR/store.sh" start nginx "$LAB_RUN/seaweed/owner.env"
"$LAB_DIR/kluis.sh" start "$LAB_RUN/vault" "$LAB_RUN/nginx"
part 150 "$HERE/around.py" "$LAB_RUN"
finish
