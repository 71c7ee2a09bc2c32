#!/usr/bin/env bash
# Records on their way into volumes: the command that ships them killed with -9 at each of its durable steps, which strace
# finds and injects the kill at; then nothing is lost or doubled, and the log verifies.
#
#   KLUIS_BIN=… tests/shipping/run.sh      KLUIS_AUDIT_BIN: the auditor's command, else target/debug/kluis-audit
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
export KLUIS_AUDIT_BIN=${KLUIS_AUDIT_BIN:-${CARGO_TARGET_DIR:-$HERE/../../target}/debug/kluis-audit}
[ -x "$KLUIS_AUDIT_BIN" ] ||
    (cd "$HERE/../.." && cargo build -q --locked --ignore-rust-version --features sql --bin kluis-audit)
"$LAB_DIR/install.sh" strace

part 240 "$HERE/steps.py"
finish
