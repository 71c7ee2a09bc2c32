#!/usr/bin/env bash
# Sessions per second: AssumeRoleWithWebIdentity with tokens of RS256 that are good once, and with one that is read again and again.
# The load generator shares the machine with the gateway.
#
#   tests/load/signin.sh [SECONDS]          KLUIS_BIN names the program (target/release/kluis)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/lab/common.sh
kluis=${KLUIS_BIN:-$PWD/target/release/kluis}
dir=$(mktemp -d -t kluis-load-signin-XXXXXX)
gateway=
trap 'if [ -n "$gateway" ]; then kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$kluis" init --dir "$dir" --project icu --owner ana --listen "127.0.0.1:$port" >/dev/null 2>&1
sed -i -e 's/^# listen = "127.0.0.1:9001"/listen = "127.0.0.1:0"/' -e 's/^# issuers = ""/issuers = "issuers.toml"/' "$dir/kluis.toml"
"$kluis" --config "$dir/kluis.toml" principal link ana --issuer once --subject ana >/dev/null
"$kluis" --config "$dir/kluis.toml" principal link ana --issuer again --subject ana >/dev/null
"$LAB_CACHE/clients/bin/python" tests/load/signin.py prepare "$dir"
"$kluis" --config "$dir/kluis.toml" serve >"$dir/gateway.log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done
"$LAB_CACHE/clients/bin/python" tests/load/signin.py load "$dir" "$port" "$gateway" "${1:-5}"
