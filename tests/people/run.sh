#!/usr/bin/env bash
# Organisations tell who their people are, with real clients of SCIM: a checker of compliance (PyPI scim2-tester) against a
# real gateway, and a person whose organisation ends her while she reads.
#
#   KLUIS_BIN=… tests/people/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/lab/common.sh
tests/lab/install.sh people
kluis=${KLUIS_BIN:-$PWD/target/release/kluis}
dir=$(mktemp -d -t kluis-people-XXXXXX)
gateway=
trap 'if [ -n "$gateway" ]; then kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$kluis" init --dir "$dir" --project icu --owner ana --listen "127.0.0.1:$port" >/dev/null 2>&1
sed -i 's/^# host_approves = false/host_approves = true/' "$dir/kluis.toml" # the suite is everybody
"$kluis" --config "$dir/kluis.toml" project defaults icu --label internal --source test --basis test --days 365 --by ana >/dev/null 2>&1
sed -i -e 's/^# listen = "127.0.0.1:9001"/listen = "127.0.0.1:0"/' "$dir/kluis.toml"
"$kluis" --config "$dir/kluis.toml" serve >"$dir/gateway.log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done
export KLUIS_ENDPOINT=http://127.0.0.1:$port
for part in compliance revoked; do
    if ! timeout 100 "$LAB_CACHE/people/bin/python" "tests/people/$part.py" "$kluis" "$dir"; then
        tail -n 20 "$dir/gateway.log"
        exit 1
    fi
done
KLUIS_BIN=$kluis timeout 240 "$LAB_CACHE/people/bin/python" tests/people/notices.py
