#!/usr/bin/env bash
# Sign-in with real OpenID providers (npm oauth2-mock-server, and the certified oidc-provider): the web-identity providers of SDKs,
# `kluis login`, and passports with visas of a second issuer (npm jose), with a vault and a clock of their own.
#
#   tests/signin/run.sh
#
# Needs tests/lab/install.sh base python node (and installs faketime); KLUIS_BIN names the program (target/release/kluis).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/lab/common.sh
export LAB_CACHE
kluis=${KLUIS_BIN:-$PWD/target/release/kluis}
dir=$(mktemp -d -t kluis-signin-XXXXXX)
gateway=
trap 'if [ -n "$gateway" ]; then kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$kluis" init --dir "$dir" --project icu --owner ana --listen "127.0.0.1:$port" >/dev/null 2>&1
sed -i 's/^# host_approves = false/host_approves = true/' "$dir/kluis.toml" # the suite is everybody
"$kluis" --config "$dir/kluis.toml" project defaults icu --label internal --source test --basis test --days 365 --by ana >/dev/null 2>&1
sed -i -e 's/^# listen = "127.0.0.1:9001"/listen = "127.0.0.1:0"/' -e 's/^# issuers = ""/issuers = "issuers.toml"/' "$dir/kluis.toml"
grep -q '^issuers = ' "$dir/kluis.toml"
printf '' >"$dir/issuers.toml"
"$kluis" --config "$dir/kluis.toml" serve >"$dir/gateway.log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done
export KLUIS_ENDPOINT=http://127.0.0.1:$port
for part in web_identity login certified; do
    if ! timeout 100 "$LAB_CACHE/clients/bin/python" "tests/signin/$part.py" "$kluis" "$dir" "$PWD/tests/signin/provider.mjs"; then
        tail -n 20 "$dir/gateway.log"
        exit 1
    fi
done

tests/lab/install.sh faketime
faketime=$(compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1')
timeout 100 "$LAB_CACHE/clients/bin/python" tests/signin/visas.py "$kluis" "$dir" "$PWD/tests/signin/provider.mjs" "$faketime"
